# SPDX-License-Identifier: Apache-2.0
"""Users whom an application tells of over HTTP: fast, slow, dead, wrong; and all kinds of credentials at once."""
import base64
import hashlib
import hmac
import json
import signal
import ssl
import subprocess
import time

import pytest

import outside
import signed
import streams
import turn
from conftest import STERNA, free_port, is_free, wait_for

PASSWORDS = {"hugo": "from the hook", "ida": "also from it"}


def telling(users):
    """An application that knows these passwords."""
    def answer(question, _):
        name = question["username"]
        return (200, json.dumps({"password": users[name]})) if name in users else (404, "")
    return answer


@pytest.fixture
def application():
    made = []

    def make(*arguments, **more):
        made.append(outside.Application(*arguments, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def code_of(server, **credentials):
    with signed.client(server, **credentials) as client:
        return client.allocate().code


def is_dropped(server, user, password="x"):
    """Is a request with a good NONCE neither granted nor refused?  What is sent behind it is answered."""
    with signed.client(server, user=user, password=password) as client:
        client.learn(turn.Message(client.exchange(signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP]))))
        ask = signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP, *client.credentials()], key=client.key)
        client.sock.send(ask)
        client.settle()
        client.sock.send(ask)
        client.settle()
        return not client.inbox


def hooked(sterna, app, **options):
    return sterna(**{"no_auth": None, "auth_hook": app.url(), **options})


# --- an answer -------------------------------------------------------------------------------------


def test_a_hook_knows_users(sterna, application):
    app = application(telling(PASSWORDS))
    server = hooked(sterna, app, auth_hook_header=["Authorization: Bearer xyz", "X-Site: a"])
    with signed.client(server, user="hugo", password="from the hook") as client:
        client.allocated()
        assert client.refresh(600).code == 0
    assert code_of(server, user="hugo", password="wrong") == 401
    assert code_of(server, user="nobody", password="x") == 401
    assert app.questions[0] == {"username": "hugo", "realm": "example.org", "client": "127.0.0.1",
                                "transport": "udp", "method": "allocate"}
    assert app.headers[0]["Authorization"] == "Bearer xyz" and app.headers[0]["X-Site"] == "a"
    assert app.headers[0]["Content-Type"] == "application/json"
    assert "xyz" not in server.text


def test_answers_are_kept_for_their_time(sterna, application):
    times = {"short": 2, "long": 600}
    app = application(lambda question, _: (200, json.dumps({"password": "x", "ttl": times[question["username"]]}))
                      if question["username"] in times else (403, ""))
    server = hooked(sterna, app, auth_hook_negative_ttl=2, relay_threads=1)
    for _ in range(3):
        assert [code_of(server, user=name, password="x") for name in ("short", "long", "none")] == [0, 0, 401]

    def asked_again():
        for name in "short", "long", "none":
            code_of(server, user=name, password="x")
        return app.asked_for("short") > 1 and app.asked_for("none") > 1
    wait_for(asked_again, "answers to become too old")
    assert app.asked_for("long") == 1


def test_keys_in_place_of_passwords(sterna, application):
    key = hashlib.md5(b"hugo:example.org:secret").hexdigest()
    app = application(lambda *_: (200, json.dumps({"md5": key})))
    assert code_of(hooked(sterna, app), user="hugo", password="secret") == 0


def test_quotas_count_the_account(sterna, application):
    app = application(lambda *_: (200, json.dumps({"password": "x", "account": "acme"})))
    server = hooked(sterna, app, user_quota=2)
    clients = [signed.client(server, user=name, password="x") for name in ("a", "b", "c")]
    assert [client.allocate().code for client in clients] == [0, 0, 486]
    assert 'user=acme' in server.text.replace('"', "")
    for client in clients:
        client.sock.close()


def test_an_answer_is_for_the_client_that_it_was_asked_for(sterna, application):
    """A hook may judge by the address: who is refused at one locks nobody out at another, and lets nobody in there."""
    inside = "127.0.0.1"
    app = application(lambda question, _: (200, '{"password": "x", "ttl": 600}') if question["client"] == inside
                      else (403, ""))
    server = hooked(sterna, app, auth_hook_negative_ttl=600, relay_threads=1)

    def code_from(ip):
        return code_of(server, user="hugo", password="x", sock=signed.bound(ip))
    assert [code_from(ip) for ip in ("127.0.0.2", inside, "127.0.0.2", inside)] == [401, 0, 401, 0]
    before = len(app.questions)
    assert code_from(inside) == 0
    assert len(app.questions) == before  # the same client is not asked about again


def test_nobody_is_asked_for_strangers(sterna, application):
    """Who has not shown that his address is his own causes no question."""
    app = application(telling(PASSWORDS))
    server = hooked(sterna, app)
    with signed.client(server, user="hugo", password="x") as client:
        client.learn(turn.Message(client.exchange(signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP]))))
        for nonce in b"made up", client.nonce[:-1] + bytes([client.nonce[-1] ^ 1]):
            client.nonce = nonce
            raw = signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP, *client.credentials()], key=client.key)
            assert turn.Message(client.exchange(raw)).code == 438
    assert app.questions == []


def test_tls_is_verified(sterna, application, tmp_path):
    certificates = streams.Certificates(tmp_path)
    cert, key = certificates.make("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    app = application(telling(PASSWORDS), tls=context)
    server = hooked(sterna, app, auth_hook=app.url(host="localhost"), auth_hook_ca_file=str(certificates.ca))
    assert code_of(server, user="hugo", password="from the hook") == 0
    for options in ({"auth_hook": app.url(host="localhost")},  # an authority that nobody knows
                    {"auth_hook": app.url(), "auth_hook_ca_file": str(certificates.ca)}):  # another name
        server = hooked(sterna, app, **options)
        assert is_dropped(server, "ida")
        server.wait_log("auth.hook_failed")
    assert app.asked_for("ida") == 0


# --- no answer -------------------------------------------------------------------------------------


# Proves T-HOOK-1-01
@pytest.mark.parametrize("answer", [
    (500, ""), (401, ""), (204, ""), (302, "", {"Location": "/other"}), (200, ""), (200, "{"), (200, "[]"),
    (200, '{"password": "x", "password": "x"}'), (200, '{"password": 7}'), (200, '{"md5": "12"}'),
    (200, '{"password": "x", "ttl": -1}'), (200, b"\xff\xfe"), (200, json.dumps({"password": "x", "y": "z" * 70000})),
    (200, "[" * 60000)])
def test_what_is_no_answer_lets_nobody_in(sterna, application, answer):
    app = application(lambda question, _: answer if question["username"] == "hugo" else (404, ""))
    server = hooked(sterna, app, lt_cred_mech=True, user="bob:builder")
    assert is_dropped(server, "hugo")
    server.wait_log("auth.hook_failed")
    assert code_of(server, user="nobody", password="x") == 401
    server.wait_log("auth.hook_back")
    assert code_of(server, user="bob", password="builder") == 0
    assert len(app.questions) <= 3  # redirects are not followed, failures not repeated at once


def test_a_dead_hook_lets_nobody_in_and_comes_back(sterna, application):
    port = next(port for port in iter(free_port, None) if is_free("127.0.0.1", port))
    server = sterna(no_auth=None, auth_hook=f"http://127.0.0.1:{port}/", user="bob:builder", lt_cred_mech=True)
    assert is_dropped(server, "hugo") and is_dropped(server, "ida")
    server.wait_log("auth.hook_failed")
    assert code_of(server, user="bob", password="builder") == 0
    app = application(telling(PASSWORDS))
    server.write_conf(auth_hook=app.url())
    server.signal(signal.SIGHUP)
    server.wait_log("reload.done")
    assert code_of(server, user="hugo", password="from the hook") == 0
    assert server.text.count("auth.hook_failed") == 1  # told once


def test_a_hook_that_fails_for_some_does_not_fill_the_log(sterna, application):
    """Whoever finds a name that the application stumbles over writes no line for each attempt."""
    app = application(lambda question, _: (500, "") if question["username"].startswith("bad") else (404, ""))
    server = hooked(sterna, app, unauthorized_ratelimit=False)
    began = time.monotonic()
    for i in range(20):
        assert is_dropped(server, f"bad{i}")
        assert code_of(server, user=f"good{i}", password="x") == 401
    assert len(app.questions) > 20  # that many failed and that many did not, give or take what was asked in vain
    assert 0 < server.text.count("auth.hook_failed") <= 1 + (time.monotonic() - began) // 10


def test_a_hook_that_is_down_gets_few_questions(sterna, application):
    """Each would cost a socket, and a thread where its name is resolved, until its time-out."""
    port = next(port for port in iter(free_port, None) if is_free("127.0.0.1", port))
    server = sterna(no_auth=None, auth_hook=f"http://127.0.0.1:{port}/", relay_threads=1, user="bob:builder",
                    lt_cred_mech=True, auth_hook_timeout=9000, unauthorized_ratelimit=False)
    assert is_dropped(server, "first")
    server.wait_log("auth.hook_failed")
    app = application(telling(PASSWORDS))
    app.stalled.set()
    server.write_conf(auth_hook=app.url())
    server.signal(signal.SIGHUP)
    server.wait_log("reload.done")
    clients = stalled_clients(server, app, 60)
    assert code_of(server, user="bob", password="builder") == 0  # all were looked at
    assert is_dropped(server, "last")
    assert len(app.questions) <= 8
    app.stalled.clear()
    app.go_on.set()
    wait_for(lambda: not is_dropped(server, "hugo", "from the hook"), "the hook")
    for client in clients:
        client.sock.close()


# Proves T-HOOK-1-01
def test_an_old_answer_is_not_used_beyond_its_time(sterna, application):
    """Unlike the database's: whoever was thrown out must not come back because the hook is down."""
    broken = []
    app = application(lambda *_: (500, "") if broken else (200, json.dumps({"password": "x", "ttl": 2})))
    server = hooked(sterna, app, relay_threads=1)
    with signed.client(server, user="hugo", password="x") as session:
        session.allocated()
        broken.append(True)

        def is_shut():
            return is_dropped(server, "hugo")
        wait_for(is_shut, "the answer's end")
        assert session.refresh(600).code == 0  # a session needs no answer


def stalled_clients(server, app, count):
    """Clients whose requests the hook does not answer."""
    clients = [signed.client(server, user=f"slow{i}", password="x") for i in range(count)]
    for client in clients:
        client.learn(turn.Message(client.exchange(signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP]))))
        client.sock.send(signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP, *client.credentials()], key=client.key))
    wait_for(lambda: app.waiting > 0, "questions at the hook")
    return clients


# Proves T-HOOK-1-02
def test_a_hanging_hook_holds_nobody_up(sterna, application, tmp_path):
    """One worker, whose every question is stalled: fixed, time-limited and database users come in, and data flows."""
    database = tmp_path / "users.db"
    subprocess.run([STERNA, "user", "add", f"--userdb={database}", "--realm=example.org", "--password-stdin", "dora"],
                   input="of the database\n", text=True, check=True, timeout=30, capture_output=True)
    app = application(telling(PASSWORDS))
    app.stalled.set()
    server = hooked(sterna, app, relay_threads=1, user="bob:builder", lt_cred_mech=True, static_auth_secret="north",
                    userdb=str(database), auth_hook_timeout=9000, unauthorized_ratelimit=False)
    with signed.client(server, user="bob", password="builder") as session, signed.bound() as peer:
        session.allocated()
        assert session.bind(0x4000, peer.getsockname()).code == 0
        clients = stalled_clients(server, app, 200)
        wait_for(lambda: app.waiting == 64, "as many questions as one worker may ask")
        session.channel_send(0x4000, b"on it goes")
        assert peer.recv(100) == b"on it goes"
        assert code_of(server, user="bob", password="builder") == 0
        name = f"{int(time.time()) + 600}:rita"
        password = base64.b64encode(hmac.digest(b"north", name.encode(), "sha1")).decode()
        assert code_of(server, user=name, password=password) == 0
        # The burst may fill the places for look-ups for a moment: clients ask again, as this one does.
        wait_for(lambda: not is_dropped(server, "dora", "of the database"), "the database")
        assert code_of(server, user="dora", password="of the database") == 0
        assert app.waiting == 64  # still
        app.stalled.clear()
        app.go_on.set()
        wait_for(lambda: app.waiting == 0, "the stalled answers")
        wait_for(lambda: not is_dropped(server, "hugo", "from the hook"), "the hook")
        assert code_of(server, user="hugo", password="from the hook") == 0
    for client in clients:
        client.sock.close()


def test_a_hook_that_is_too_slow_is_given_up(sterna, application):
    app = application(telling(PASSWORDS))
    app.stalled.set()
    server = hooked(sterna, app, auth_hook_timeout=100)
    assert is_dropped(server, "hugo", "from the hook")
    server.wait_log("auth.hook_failed")
    app.stalled.clear()
    app.go_on.set()
    wait_for(lambda: not is_dropped(server, "hugo", "from the hook"), "the hook")


# Proves T-HOOK-1-02
def test_a_server_stops_while_the_hook_hangs(sterna, application):
    app = application(telling(PASSWORDS))
    app.stalled.set()
    server = hooked(sterna, app, auth_hook_timeout=9000)
    clients = stalled_clients(server, app, 20)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert app.waiting > 0
    for client in clients:
        client.sock.close()


# --- all kinds at once -----------------------------------------------------------------------------


# Proves T-HOOK-1-04
def test_all_kinds_in_their_order(sterna, application, tmp_path):
    """Fixed users, time-limited names, the database, tokens, the hook: who is known earlier is not asked for later."""
    database = tmp_path / "users.db"
    for name in "dora", "bob":
        subprocess.run([STERNA, "user", "add", f"--userdb={database}", "--realm=example.org", "--password-stdin", name],
                       input="of the database\n", text=True, check=True, timeout=30, capture_output=True)
    token = outside.hs256(outside.claims())
    expired = outside.hs256(outside.claims(seconds=-600))
    app = application(lambda question, _: (200, '{"password": "of the hook"}'))
    server = hooked(sterna, app, user="bob:builder", lt_cred_mech=True, static_auth_secret="north",
                    userdb=str(database), jwt_secret=outside.SECRET)
    name = f"{int(time.time()) + 600}:rita"
    password = base64.b64encode(hmac.digest(b"north", name.encode(), "sha1")).decode()
    known = [("bob", "builder"), (name, password), ("dora", "of the database"), tuple(outside.login(token).values())]
    for user, word in known:
        assert code_of(server, user=user, password=word) == 0
    assert app.questions == []
    for user in [user for user, _ in known]:  # what comes later does not help
        assert code_of(server, user=user, password="of the hook") == 401
    assert code_of(server, user="bob", password="of the database") == 401
    assert app.questions == []
    for user in "hugo", f"{int(time.time()) - 600}:rita":
        assert code_of(server, user=user, password="of the hook") == 0
    assert code_of(server, **outside.login(expired)) == 401
    assert {question["username"] for question in app.questions} == {"hugo", f"{user}"}


def test_the_hook_is_not_asked_while_the_database_is_away(sterna, application, tmp_path):
    """Whom the database may know nobody else may speak for."""
    database = tmp_path / "users.db"
    app = application(lambda question, _: (200, '{"password": "of the hook"}'))
    server = hooked(sterna, app, lt_cred_mech=True, userdb=str(database), jwt_secret=outside.SECRET)
    assert code_of(server, user="hugo", password="of the hook") == 0
    database.rename(tmp_path / "away")
    server.wait_log("auth.database_failed")
    before = len(app.questions)
    assert is_dropped(server, "ida")
    assert len(app.questions) == before
    assert code_of(server, **outside.login(outside.hs256(outside.claims()))) == 0  # a token proves by itself


# --- what is behind the server ---------------------------------------------------------------------


# Proves T-HOOK-1-03
def test_clients_cannot_reach_the_hook(sterna, application):
    """The relay is no way to the application, even where loopback peers are allowed."""
    app = application(telling(PASSWORDS))
    server = hooked(sterna, app)
    with signed.client(server, user="hugo", password="from the hook") as client:
        client.allocated()
        assert client.bind(0x4000, ("127.0.0.1", app.port)).code == 403
        assert client.bind(0x4000, ("127.0.0.1", app.port + 1)).code == 0


# Proves T-HOOK-1-03
def test_clients_cannot_reach_a_hook_that_has_a_name(sterna, application):
    """Where it is is known once it was connected to, which is done at start."""
    app = application(telling(PASSWORDS))
    server = hooked(sterna, app, auth_hook=app.url(host="localhost"), user="bob:builder", lt_cred_mech=True)
    with signed.client(server, user="bob", password="builder") as client:
        client.allocated()
        wait_for(lambda: client.bind(0x4000, ("127.0.0.1", app.port)).code == 403, "the gate")
    assert app.questions == []
