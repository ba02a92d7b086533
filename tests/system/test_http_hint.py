# SPDX-License-Identifier: Apache-2.0
"""A browser, or an ACME validator, on the TURN port."""
import pytest

import streams
from conftest import free_port

HOST = "turn.example"
REDIRECT = "http://acme.example/challenge/"


def ask(connection, *parts):
    """What comes back up to the end: head and body."""
    for part in parts:
        connection.send(part)
    data, how = connection.end()
    connection.close()
    assert how == streams.FIN
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode(), body.decode()


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "HEAD /x HTTP/1.0", "POST /y HTTP/1.1", "OPTIONS * HTTP/1.1",
                                  "PRI * HTTP/2.0"])
def test_a_browser_is_told_where_it_is(sterna, line):
    server = sterna()
    head, body = ask(streams.dial(server.address), f"{line}\r\nHost: turn.example\r\n\r\n".encode())
    assert head.startswith("HTTP/1.1 400 ")
    assert "TURN" in body or line.startswith("HEAD")
    assert streams.is_served(server)


def test_a_request_line_may_come_in_pieces(sterna):
    server = sterna()
    head, _ = ask(streams.dial(server.address), *(bytes([byte]) for byte in b"GET / HTTP/1.1\r\n\r\n"))
    assert head.startswith("HTTP/1.1 400 ")


def test_challenges_are_redirected(sterna):
    server = sterna(acme_redirect=REDIRECT)
    head, _ = ask(streams.dial(server.address), b"GET /.well-known/acme-challenge/to_ken-1 HTTP/1.1\r\n\r\n")
    assert head.startswith("HTTP/1.1 301 ")
    assert f"Location: {REDIRECT}to_ken-1" in head.split("\r\n")
    for path in "/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/a%0d%0aX:y":
        head, _ = ask(streams.dial(server.address), f"GET {path} HTTP/1.1\r\n\r\n".encode())
        assert head.startswith("HTTP/1.1 400 ") and "Location" not in head


def test_there_is_no_redirect_without_the_option(sterna):
    server = sterna()
    head, _ = ask(streams.dial(server.address), b"GET /.well-known/acme-challenge/token HTTP/1.1\r\n\r\n")
    assert head.startswith("HTTP/1.1 400 ")


def test_it_works_under_tls(sterna, tmp_path):
    certificates = streams.Certificates(tmp_path)
    cert, key = certificates.make(HOST)
    server = sterna(cert=cert, pkey=key, tls_listening_port=free_port(), acme_redirect=REDIRECT)
    address = "127.0.0.1", server.options["tls_listening_port"]
    connection = streams.dial(address, tls=certificates.context(), name=HOST)
    head, _ = ask(connection, b"GET /.well-known/acme-challenge/token HTTP/1.1\r\n\r\n")
    assert head.startswith("HTTP/1.1 301 ")


def test_an_endless_request_line_ends(sterna):
    server = sterna()
    connection = streams.dial(server.address)
    connection.send(b"GET /" + b"x" * 3000)
    assert connection.end()[0].startswith(b"HTTP/1.1 400 ")
    connection.close()
