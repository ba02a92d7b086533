# SPDX-License-Identifier: Apache-2.0
"""What stands outside of a TURN server and tells it of users: an application that makes JSON Web Tokens, and one
that answers over HTTP, well or badly."""
import base64
import hashlib
import hmac
import http.server
import json
import ssl
import threading
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

SECRET = "a secret that applications sign with"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def of_json(value):
    return base64url(json.dumps(value, separators=(",", ":")).encode())


def claims(subject="alice", seconds=600, **more):
    return {"sub": subject, "exp": int(time.time()) + seconds, **more}


# --- tokens ----------------------------------------------------------------------------------------


def half(body, kid=None):
    """header.payload of HS256."""
    head = {"alg": "HS256"} if kid is None else {"alg": "HS256", "kid": kid}
    return of_json(head) + "." + of_json(body)


def hs256(body, secret=SECRET, kid=None):
    """A whole token.  As an application makes it: the user name is the token up to its last dot, the password all
    of it."""
    text = half(body, kid)
    return text + "." + base64url(hmac.digest(secret.encode(), text.encode(), hashlib.sha256))


def login(token):
    """What a client is given that has `token` of HS256."""
    return {"user": token.rpartition(".")[0], "password": token}


def whole(token):
    """What a client is given that has `token` of any algorithm."""
    return {"user": token, "password": token}


class Signer:
    """A key pair of RS256 or ES256."""

    def __init__(self, alg, kid):
        self.alg, self.kid = alg, kid
        self.key = rsa.generate_private_key(65537, 2048) if alg == "RS256" else ec.generate_private_key(ec.SECP256R1())

    def token(self, body):
        text = of_json({"alg": self.alg, "kid": self.kid}) + "." + of_json(body)
        if self.alg == "RS256":
            signature = self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            r, s = utils.decode_dss_signature(self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return text + "." + base64url(signature)

    def jwk(self):
        numbers = self.key.public_key().public_numbers()
        if self.alg == "RS256":
            n = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
            return {"kty": "RSA", "kid": self.kid, "use": "sig", "n": base64url(n), "e": "AQAB"}
        x, y = (base64url(part.to_bytes(32, "big")) for part in (numbers.x, numbers.y))
        return {"kty": "EC", "kid": self.kid, "crv": "P-256", "x": x, "y": y}

    def public_pem(self):
        return self.key.public_key().public_bytes(serialization.Encoding.PEM,
                                                  serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def key_set(*signers):
    return json.dumps({"keys": [signer.jwk() for signer in signers]})


# --- an application over HTTP ----------------------------------------------------------------------


class Application:
    """An HTTP server.  `answer(question, headers)` gives (status, body) or (status, body, headers); the question is
    None for a GET.  While `stalled` is set no answer comes."""

    def __init__(self, answer, tls=None):
        self.answer = answer
        self.questions = []
        self.headers = []
        self.waiting = 0
        self.stalled = threading.Event()
        self.go_on = threading.Event()
        self.lock = threading.Lock()
        application = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                """Be quiet."""

            def do_POST(self):
                application.serve(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def do_GET(self):
                application.serve(self, None)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.scheme = "http" if tls is None else "https"
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def url(self, path="/", host="127.0.0.1"):
        return f"{self.scheme}://{host}:{self.port}{path}"

    def serve(self, handler, question):
        with self.lock:
            self.questions.append(question)
            self.headers.append(handler.headers)
            self.waiting += 1
        if self.stalled.is_set():
            self.go_on.wait(60)
        status, body, *more = self.answer(question, handler.headers)
        body = body if isinstance(body, bytes) else body.encode()
        with self.lock:
            self.waiting -= 1
        try:
            handler.send_response(status)
            for name, value in (more[0] if more else {}).items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            handler.close_connection = True  # whoever asked has given up

    def asked_for(self, name):
        """How often it was asked for that user."""
        return sum(1 for question in self.questions if question is not None and question["username"] == name)

    def close(self):
        self.stalled.clear()
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
