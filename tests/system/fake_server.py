# SPDX-License-Identifier: Apache-2.0
"""A server that answers what a test wants it to, for clients that are to be shown what no sane server does."""
import select
import socket
import threading

import turn


class FakeServer(threading.Thread):
    """A TURN server without credentials that answers as a table says: method -> attributes, or an error code."""

    def __init__(self, answers):
        super().__init__(daemon=True)
        self.answers = answers
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.over = socket.socketpair()

    @property
    def port(self):
        return self.sock.getsockname()[1]

    @property
    def uri(self):
        return f"turn:127.0.0.1:{self.port}"

    def answer(self, raw):
        method, tid = int.from_bytes(raw[:2], "big"), raw[8:20]
        answer = self.answers(method, raw)
        if isinstance(answer, int):
            error = bytes([0, 0, answer // 100, answer % 100])
            return turn.encode(method | turn.ERROR, [(turn.ERROR_CODE, error)], tid)
        return turn.encode(method | turn.SUCCESS, [a(tid) if callable(a) else a for a in answer], tid)

    def run(self):
        while True:
            ready = select.select([self.sock, self.over[1]], [], [])[0]
            if self.over[1] in ready:
                return
            raw, source = self.sock.recvfrom(65536)
            if len(raw) >= 20 and raw[0] < 4:  # a STUN message
                self.sock.sendto(self.answer(raw), source)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over[0].send(b"x")
        self.join()
        for sock in self.sock, *self.over:
            sock.close()
