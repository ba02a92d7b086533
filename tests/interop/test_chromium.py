# SPDX-License-Identifier: Apache-2.0
"""Chromium, headless: two RTCPeerConnections that may use relay candidates only (browser.html)."""
import http.server
import json
import pathlib
import queue
import shutil
import subprocess
import threading

import pytest

PAGE = pathlib.Path(__file__).with_name("browser.html")
CHROMIUM = shutil.which("chromium")


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


def open_page(tmp_path, ice):
    """Show the page in a browser of its own; returns what it posts."""
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.ice, web.results = ice, queue.Queue()
    threading.Thread(target=web.serve_forever, daemon=True).start()
    browser = subprocess.Popen(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required",
         f"--user-data-dir={tmp_path}/profile", f"http://127.0.0.1:{web.server_port}/"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return web.results.get(timeout=90)
    finally:
        browser.terminate()
        browser.wait()
        web.shutdown()
        web.server_close()


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_relay_only_data_and_video(server, tmp_path):
    ice = {"iceServers": [{"urls": [f"turn:127.0.0.1:{server.port}?transport=udp"],
                           "username": server.user, "credential": server.password}]}
    outcome = open_page(tmp_path, ice)
    assert "error" not in outcome, outcome
    assert outcome["a"] == ["relay", "relay"] and outcome["b"] == ["relay", "relay"], outcome
    assert min(outcome["received"]) >= 1 << 20
    assert outcome["frames"] >= 50
