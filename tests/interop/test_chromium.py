# SPDX-License-Identifier: Apache-2.0
"""Chromium, headless: two RTCPeerConnections that may use relay candidates only (browser.html), over UDP, TCP
and TLS."""
import http.server
import json
import os
import pathlib
import queue
import shutil
import subprocess
import threading

import pytest

PAGE = pathlib.Path(__file__).with_name("browser.html")
CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, body=b"", kind="text/plain"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/":
            self.answer(PAGE.read_bytes(), "text/html")
        elif self.path == "/ice":
            self.answer(json.dumps(self.server.ice).encode(), "application/json")
        else:
            self.answer()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer()
        self.server.results.put(json.loads(body))

    def log_message(self, *args):
        pass


def trusting_home(directory, authority):
    """A home directory whose owner trusts that authority, as Chromium reads it on Linux."""
    database = directory / ".pki" / "nssdb"
    database.mkdir(parents=True)
    for arguments in (["-N", "--empty-password"], ["-A", "-n", "interop", "-t", "C,,", "-i", str(authority)]):
        subprocess.run(["certutil", "-d", f"sql:{database}", *arguments], check=True, capture_output=True, timeout=60)
    return directory


def open_page(home, ice):
    """Show the page in a browser of its own; returns what it posts."""
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.ice, web.results = ice, queue.Queue()
    threading.Thread(target=web.serve_forever, daemon=True).start()
    browser = subprocess.Popen(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required",
         f"--user-data-dir={home}/profile", f"http://127.0.0.1:{web.server_port}/"],
        env={**os.environ, "HOME": str(home)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return web.results.get(timeout=90)
    finally:
        browser.terminate()
        browser.wait()
        web.shutdown()
        web.server_close()


def outcome_over(server, url, home):
    return open_page(home, {"iceServers": [{"urls": [url], "username": server.user, "credential": server.password}]})


def expect_data_and_video(outcome, protocol):
    """All of it went through two allocations, which were made over that protocol."""
    assert "error" not in outcome, outcome
    for side in outcome["a"], outcome["b"]:
        assert side == {"local": "relay", "remote": "relay", "protocol": protocol}, outcome
    assert min(outcome["received"]) >= 1 << 20
    assert outcome["frames"] >= 50


def test_relay_only_data_and_video(server, tmp_path):
    outcome = outcome_over(server, f"turn:127.0.0.1:{server.port}?transport=udp", tmp_path)
    expect_data_and_video(outcome, "udp")


def test_over_tcp(stream_server, tmp_path):
    server = stream_server()
    outcome = outcome_over(server, f"turn:127.0.0.1:{server.port}?transport=tcp", tmp_path)
    expect_data_and_video(outcome, "tcp")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_over_tls(stream_server, certificates, tmp_path, host):
    server = stream_server()
    home = trusting_home(tmp_path, certificates.ca)
    outcome = outcome_over(server, f"turns:{host}:{server.tls_port}?transport=tcp", home)
    expect_data_and_video(outcome, "tls")


def test_over_tls_without_trust(stream_server, tmp_path):
    """A browser that does not know the authority gets no candidate: the test above proves the certificate."""
    server = stream_server()
    outcome = outcome_over(server, f"turns:127.0.0.1:{server.tls_port}?transport=tcp", tmp_path)
    assert "candidate error" in outcome.get("error", ""), outcome
