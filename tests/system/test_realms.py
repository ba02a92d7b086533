# SPDX-License-Identifier: Apache-2.0
"""Several realms in one server: users, secrets, quotas, peers and bandwidth of each, from [realm] sections and from
the tables of coturn's database, and which realm a request is judged in."""
import base64
import contextlib
import hashlib
import hmac
import os
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

import signed
import turn
from conftest import STERNA, wait_for
from test_users import needs_coturn

MAIN = {"no_auth": None, "lt_cred_mech": True, "user": "joe:main-pw", "realm": "main.example"}
SECTIONS = """
[realm "one.example"]
user = joe:one-pw
user = ann:one-pw
static-auth-secret = north
origin = https://one.example
user-quota = 1
denied-peer-ip = 127.0.0.2
[realm "two.example"]
user = joe:two-pw
total-quota = 2
origin = https://two.example:8443/
max-bps = 1000
"""
FORBIDDEN, QUOTA, CAPACITY, WRONG = 403, 486, 508, 441


class Client(signed.Client):
    """One that speaks of a realm, or whose page has an origin, in all requests."""

    def __init__(self, server, password, user="joe", realm=None, origin=None):
        super().__init__(("127.0.0.1", server.port), user, password)
        self.own_realm, self.origin = realm, origin

    def learn(self, challenge):
        super().learn(challenge)
        if self.own_realm is not None:
            self.realm = self.own_realm.encode()
            self.key = hashlib.md5(b":".join([self.user, self.realm, self.password.encode()])).digest()

    def ask(self, method, *attributes, after=()):
        origin = [] if self.origin is None else [(signed.ORIGIN, self.origin.encode())]
        return super().ask(method, *origin, *attributes, after=after)


def challenge(server, *attributes, sock=None, method=turn.ALLOCATE):
    """The REALM of the 401 to a stranger's request."""
    with contextlib.ExitStack() as stack:
        client = signed.Client(("127.0.0.1", server.port), sock=sock)
        if sock is None:
            stack.callback(client.sock.close)
        answer = turn.Message(client.exchange(signed.message(method, [signed.TRANSPORT_UDP, *attributes])))
        assert answer.code == 401
        return answer.get(signed.REALM).decode()


def origin(text):
    return signed.ORIGIN, text.encode()


@pytest.fixture
def realms(sterna):
    return sterna(sections=SECTIONS, **MAIN)


# --- sections ---------------------------------------------------------------------------------------------------------


def test_users_are_of_their_realm(realms):
    for realm, password in (None, "main-pw"), ("one.example", "one-pw"), ("two.example", "two-pw"):
        with Client(realms, password, realm=realm) as client:
            assert client.allocate().code == 0
        for wrong in {"main-pw", "one-pw", "two-pw"} - {password}:
            with Client(realms, wrong, realm=realm) as client:
                assert client.allocate().code == 401
    with Client(realms, "one-pw", user="ann") as client:
        assert client.allocate().code == 401  # she is not of the main realm
    with Client(realms, "one-pw", realm="three.example") as client:
        assert client.allocate().code == 401
    realms.wait_log('realm="one.example"')
    assert 'realm="main.example"' not in realms.text


def rest(secret, user="guest"):
    name = f"{int(time.time()) + 600}:{user}"
    return name, base64.b64encode(hmac.digest(secret.encode(), name.encode(), "sha1")).decode()


def test_secrets_are_of_their_realm(realms):
    name, password = rest("north")
    with Client(realms, password, user=name, realm="one.example") as client:
        assert client.allocate().code == 0
    for realm in None, "two.example":
        with Client(realms, password, user=name, realm=realm) as client:
            assert client.allocate().code == 401


def test_quotas_are_of_their_realm(realms):
    with contextlib.ExitStack() as stack:
        def allocate(**who):
            return stack.enter_context(Client(realms, **who)).allocate().code
        assert allocate(password="one-pw", realm="one.example") == 0
        assert allocate(password="one-pw", realm="one.example") == QUOTA  # user-quota = 1
        assert allocate(password="one-pw", user="ann", realm="one.example") == 0
        assert [allocate(password="two-pw", realm="two.example") for _ in range(3)] == [0, 0, CAPACITY]
        assert [allocate(password="main-pw") for _ in range(4)] == [0] * 4


@pytest.mark.parametrize("engine", ["reuseport", "connected", "paired", "dispatch"])
def test_quotas_hold_for_all_workers(sterna, engine):
    """Whichever worker a session comes to, or goes to: its realm keeps count of it."""
    server = sterna(network_engine=engine, workers=3, sections=SECTIONS, **MAIN)
    for _ in range(3):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(server, "two-pw", realm="two.example")) for _ in range(8)]
            assert sorted(client.allocate().code for client in clients) == [0] * 2 + [CAPACITY] * 6
            others = [stack.enter_context(Client(server, "main-pw")) for _ in range(8)]
            assert [client.allocate().code for client in others] == [0] * 8
            assert all(client.refresh(0).code == 0 for client in clients + others if client.relayed)


def test_a_quota_counts_again_what_was_given_back(realms):
    for _ in range(3):
        with Client(realms, "one-pw", realm="one.example") as client:
            assert client.allocate().code == 0
            assert client.refresh(0).code == 0


def test_peers_are_of_their_realm(realms):
    with Client(realms, "one-pw", realm="one.example") as one, Client(realms, "two-pw", realm="two.example") as two:
        one.allocated()
        two.allocated()
        assert one.permit("127.0.0.2").code == FORBIDDEN
        assert one.permit("127.0.0.1").code == 0
        assert two.permit("127.0.0.2").code == 0


PACKETS = 120  # of 1000 bytes: nearly twice what a full bucket lets through, whatever its rate


def relayed(client):
    """How many of those packets, sent as fast as they are taken, reach a peer."""
    arrived = 0
    with signed.bound() as there:
        there.setblocking(False)
        assert client.bind(0x4000, there.getsockname()).code == 0
        for _ in range(PACKETS // 10):
            for _ in range(10):
                client.channel_send(0x4000, bytes(1000))
            client.settle()
            with contextlib.suppress(BlockingIOError):
                while there.recv(65536):
                    arrived += 1
    client.refresh(0)
    client.allocated()  # the number is free again
    return arrived


def test_bandwidth_is_of_its_realm(realms):
    """At 1000 bytes a second the rest would take a minute."""
    with Client(realms, "one-pw", realm="one.example") as one, Client(realms, "two-pw", realm="two.example") as two:
        one.allocated()
        two.allocated()
        assert relayed(one) == PACKETS
        assert relayed(two) < 90


def test_a_realm_that_goes_keeps_its_sessions(realms):
    with Client(realms, "one-pw", realm="one.example") as client:
        client.allocated()
        sections, realms.sections = realms.sections, SECTIONS[SECTIONS.index('[realm "two'):]
        realms.write_conf()
        realms.signal(signal.SIGHUP)
        realms.wait_log("reload.done")
        with Client(realms, "one-pw", user="ann", realm="one.example") as other:
            assert other.allocate().code == 401
        assert challenge(realms, origin("https://one.example")) == "main.example"
        assert client.refresh(600).code == 0
        assert client.permit("127.0.0.2").code == 0  # its rules have gone with it
        realms.sections = sections
        realms.write_conf()
        realms.signal(signal.SIGHUP)
        realms.wait_log("reload.done", 2)
        with Client(realms, "one-pw", realm="one.example") as other:
            assert other.allocate().code == QUOTA  # it was counted all the time
        assert client.permit("127.0.0.2").code == FORBIDDEN
        assert client.refresh(0).code == 0
        with Client(realms, "one-pw", realm="one.example") as other:
            assert other.allocate().code == 0


def test_a_session_goes_on_when_the_main_realm_gets_another_name(realms):
    """Also when it changes places with another one: each is given back where it was counted."""
    with Client(realms, "one-pw", realm="one.example") as one, Client(realms, "main-pw") as main:
        one.allocated()
        main.allocated()
        realms.sections = SECTIONS.replace("one.example", "main.example").replace("user = ann:one-pw\n", "")
        realms.write_conf(realm="one.example", user="joe:one-pw")
        realms.signal(signal.SIGHUP)
        realms.wait_log("reload.done")
        assert challenge(realms) == "one.example"
        assert one.refresh(600).code in (0, WRONG, 401)
        assert main.refresh(600).code in (0, WRONG, 401)
        with Client(realms, "one-pw") as client:
            assert client.allocate().code == 0
    assert realms.stop() == 0


def check_config(conf):
    return subprocess.run([STERNA, "check-config", "-c", str(conf)], capture_output=True, text=True, timeout=60,
                          check=False)


@pytest.mark.parametrize("text, faults", [
    ("[realm \"x\"]\norigin=http://a\n[realm \"y\"]\nuser=n:secret-word\norigin=http://A:80\n[realm \"x\"]\n",
     {3: "nobody can log in in this realm", 7: "this origin was given in line 4 before",
      8: "this realm has a section in line 3 already"}),
    ("[realm \"x\"]\nuser=n:secret-word\ndenied-peer-ip=10.0.0.9-10.0.0.1\nuser-quota=many\n",
     {5: "'denied-peer-ip' wants", 6: "'user-quota' wants"}),
])
def test_check_config_judges_realms(tmp_path, text, faults):
    conf = tmp_path / "c.conf"
    conf.write_text("realm=main\nuser=a:b\n" + text)
    done = check_config(conf)
    told = done.stdout + done.stderr
    assert done.returncode != 0
    for line, part in faults.items():
        assert any(f"{conf}:{line}:" in one and part in one for one in told.splitlines()), told
    assert "secret-word" not in told


def test_check_config_shows_whom_a_realm_reaches(tmp_path):
    conf = tmp_path / "c.conf"
    conf.write_text("realm=main\nuser=a:b\n" + SECTIONS)
    done = check_config(conf)
    assert done.returncode == 0, done.stdout
    assert f'And in the realm "one.example":\n  denied     127.0.0.2 ({conf}:10)\n' in done.stdout
    assert "two.example" not in done.stdout  # it has no rules of its own


# --- ORIGIN -----------------------------------------------------------------------------------------------------------


def test_origin_chooses_the_realm_of_the_challenge(realms):
    for text, realm in ("https://one.example", "one.example"), ("HTTPS://One.Example:443/page", "one.example"), \
                       ("https://two.example:8443", "two.example"), ("https://two.example", "main.example"), \
                       ("https://unheard.example", "main.example"), ("x" * 200, "main.example"), \
                       ("https://one.example\0", "main.example"), ("", "main.example"):
        assert challenge(realms, origin(text)) == realm
    with Client(realms, "one-pw", origin="https://one.example") as client:
        assert client.allocate().code == 0
        assert client.realm == b"one.example"


def test_the_first_origin_that_is_known_counts(realms):
    unheard, one, two = (origin(text) for text in ("https://carleon.gov", "https://one.example",
                                                   "https://two.example:8443"))
    assert challenge(realms, unheard, one, two) == "one.example"
    assert challenge(realms, unheard, two, one) == "two.example"
    assert challenge(realms, unheard, unheard) == "main.example"


@needs_coturn
def test_uclients_origin_chooses_the_realm(sterna):
    """It sends two more origins, around the one that it is told."""
    server = sterna(sections='[realm "uc.example"]\nuser = joe:uc-pw\norigin = https://uc.example\n',
                    rfc5766_channel_numbers=True, **MAIN)

    def run(*words):
        return subprocess.run(["turnutils_uclient", "-y", "-c", "-m", "1", "-n", "1", "-p", str(server.port),
                               "-u", "joe", "-w", "uc-pw", *words, "127.0.0.1"], capture_output=True, text=True,
                              timeout=60, check=False)
    done = run("-o", "https://uc.example")
    assert done.returncode == 0, done.stdout + done.stderr
    server.wait_log('realm="uc.example"')
    assert run().returncode != 0


def test_origin_before_authentication_binds_nothing(realms):
    """coturn's hole 23: whoever could send one packet in a client's name chose the client's realm for good."""
    with signed.bound() as sock:
        assert challenge(realms, origin("https://one.example"), sock=sock) == "one.example"
        assert challenge(realms, sock=sock) == "main.example"
        assert challenge(realms, origin("https://two.example:8443"), sock=sock) == "two.example"
        client = signed.Client(("127.0.0.1", realms.port), "joe", "main-pw", sock=sock)
        assert client.allocate().code == 0
        assert client.realm == b"main.example"
        # Nor does it take a session from its realm, once there is one.
        raw = signed.message(turn.REFRESH, [origin("https://one.example")])
        assert turn.Message(client.exchange(raw)).get(signed.REALM) == b"main.example"
        assert client.refresh(600).code == 0


def test_origin_before_authentication_binds_no_connection(realms):
    with socket.create_connection(("127.0.0.1", realms.port), 20) as s:
        def ask(*attributes):
            raw = signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP, *attributes])
            s.sendall(raw)
            data = b""
            while len(data) < 20 or len(data) < 20 + int.from_bytes(data[2:4], "big"):
                data += s.recv(65536)
            return turn.Message(data).get(signed.REALM)
        assert ask(origin("https://one.example")) == b"one.example"
        assert ask() == b"main.example"


def test_origin_behind_the_integrity_is_ignored(realms):
    """RFC 8489 section 14.5: attributes after MESSAGE-INTEGRITY count for nothing."""
    with Client(realms, "main-pw") as client:
        client.learn(turn.Message(client.exchange(signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP]))))
        assert client.ask(turn.ALLOCATE, signed.TRANSPORT_UDP, after=[origin("https://one.example")]).code == 0
        assert client.realm == b"main.example"
    with Client(realms, "x") as client:
        raw = signed.message(turn.ALLOCATE, [signed.TRANSPORT_UDP], key=os.urandom(16),
                             after=[origin("https://one.example")])
        answer = turn.Message(client.exchange(raw))
        assert answer.get(signed.REALM) in (None, b"main.example")


def test_origin_consistency_is_demanded_where_it_is_wanted(sterna):
    server = sterna(sections=SECTIONS, check_origin_consistency=True, **MAIN)
    with Client(server, "one-pw", origin="https://one.example") as client:
        client.allocated()
        assert client.refresh(600).code == 0
        client.origin = "https://two.example:8443"
        assert client.refresh(600).code == WRONG
        client.origin = None
        assert client.refresh(600).code == WRONG
        client.origin = "https://one.example"
        assert client.permit("127.0.0.1").code == 0
    with Client(server, "main-pw") as client:
        client.allocated()
        client.origin = "https://unheard.example"
        assert client.refresh(600).code == WRONG
    server.write_conf(check_origin_consistency=None)
    server.signal(signal.SIGHUP)
    server.wait_log("reload.done")
    with Client(server, "main-pw") as client:
        client.allocated()
        client.origin = "https://unheard.example"
        assert client.refresh(600).code == 0


# --- the database -----------------------------------------------------------------------------------------------------


class Database:
    """coturn's tables, written as another program would."""

    def __init__(self, path):
        self.path = path

    def __call__(self, statement, *values):
        with contextlib.closing(sqlite3.connect(self.path, timeout=20)) as db, db:
            db.execute(statement, values)

    def user(self, name, realm, password):
        key = hashlib.md5(f"{name}:{realm}:{password}".encode()).hexdigest()
        self("insert into turnusers_lt (realm, name, hmackey) values (?, ?, ?)", realm, name, key)


@pytest.fixture
def database(tmp_path):
    return Database(tmp_path / "users.sqlite")


@pytest.fixture
def served(sterna, database):
    return sterna(userdb=database.path, use_auth_secret=True, user_cache_ttl=0, sections=SECTIONS, **MAIN)


def code_of(server, password, user="joe", realm=None, origin=None):
    with Client(server, password, user, realm, origin) as client:
        code = client.allocate().code
        if code == 0:
            assert client.refresh(0).code == 0
        return code


@pytest.mark.long
def test_a_realm_of_the_database_comes_and_goes(served, database):
    assert code_of(served, "db-pw", realm="db.example") == 401
    database.user("joe", "db.example", "db-pw")
    wait_for(lambda: code_of(served, "db-pw", realm="db.example") == 0, "the new realm")
    assert code_of(served, "main-pw", realm="db.example") == 401
    assert code_of(served, "main-pw") == 0
    served.wait_log("realms.changed")
    database("insert into turn_origin_to_realm (origin, realm) values ('https://db.example:443', 'db.example')")
    wait_for(lambda: challenge(served, origin("https://db.example")) == "db.example", "the origin")
    assert code_of(served, "db-pw", origin="https://db.example") == 0
    database("delete from turn_origin_to_realm")
    wait_for(lambda: challenge(served, origin("https://db.example")) == "main.example", "the origin to go")
    database("delete from turnusers_lt")
    wait_for(lambda: code_of(served, "db-pw", realm="db.example") == 401, "the realm to go")


def test_users_of_the_database_are_of_their_realm(served, database):
    """The same name in three realms is three users."""
    for realm in "main.example", "one.example", "db.example":
        database.user("max", realm, f"{realm}-pw")
    for realm in "main.example", "one.example", "db.example":
        wait_for(lambda realm=realm: code_of(served, f"{realm}-pw", "max", realm) == 0, realm)
        for other in {"main.example", "one.example", "db.example"} - {realm}:
            assert code_of(served, f"{other}-pw", "max", realm) == 401


def test_secrets_of_the_database_are_of_their_realm(served, database):
    database("insert into turn_secret (realm, value) values ('db.example', 'south')")
    name, password = rest("south")
    wait_for(lambda: code_of(served, password, name, "db.example") == 0, "the secret")
    assert code_of(served, password, name, "one.example") == 401
    assert code_of(served, password, name) == 401
    database("insert into turn_secret (realm, value) values ('one.example', 'east')")
    name, password = rest("east")
    wait_for(lambda: code_of(served, password, name, "one.example") == 0, "the other secret")
    assert code_of(served, *reversed(rest("north")), "one.example") == 0  # that of the section, too


@pytest.mark.long
def test_limits_of_the_database_are_followed(served, database):
    def option(realm, name, value):
        database("delete from turn_realm_option where realm = ? and opt = ?", realm, name)
        if value is not None:
            database("insert into turn_realm_option (realm, opt, value) values (?, ?, ?)", realm, name, str(value))

    def second():
        return code_of(served, "main-pw")
    with Client(served, "main-pw") as client:
        client.allocated()
        assert second() == 0
        option("main.example", "user-quota", 1)
        wait_for(lambda: second() == QUOTA, "user-quota")
        option("main.example", "user-quota", 0)
        wait_for(lambda: second() == 0, "no user-quota")
        option("main.example", "total-quota", 1)
        wait_for(lambda: second() == CAPACITY, "total-quota")
        option("main.example", "total-quota", None)
        wait_for(lambda: second() == 0, "no total-quota")
        assert relayed(client) == PACKETS
        option("main.example", "max-bps", 1000)
        wait_for(lambda: relayed(client) < 90, "max-bps")


@pytest.mark.long
def test_peers_of_the_database_are_followed(served, database):
    with Client(served, "main-pw") as main, Client(served, "one-pw", realm="one.example") as one:
        main.allocated()
        one.allocated()
        assert main.permit("127.0.0.3").code == 0
        database("insert into denied_peer_ip (realm, ip_range) values ('main.example', '127.0.0.3')")
        wait_for(lambda: main.permit("127.0.0.3").code == FORBIDDEN, "the range")
        assert one.permit("127.0.0.3").code == 0
        assert one.permit("127.0.0.2").code == FORBIDDEN  # that of the section
        database("insert into allowed_peer_ip (realm, ip_range) values ('one.example', '127.0.0.1-127.0.0.2')")
        wait_for(lambda: one.permit("127.0.0.2").code == 0, "what is allowed to win")
        database("insert into denied_peer_ip (realm, ip_range) values ('', '127.0.0.4-127.0.0.9')")
        wait_for(lambda: one.permit("127.0.0.5").code == FORBIDDEN, "the range of all realms")
        assert main.permit("127.0.0.9").code == FORBIDDEN
        database("insert into denied_peer_ip (realm, ip_range) values ('main.example', 'everything')")
        served.wait_log("realms.ignored")
        database("delete from denied_peer_ip")
        wait_for(lambda: main.permit("127.0.0.3").code == 0, "all to be open again")


def test_what_the_options_forbid_is_not_read(sterna, database):
    served = sterna(userdb=database.path, sections=SECTIONS, no_dynamic_realms=True, no_dynamic_ip_list=True, **MAIN)
    database("insert into turn_origin_to_realm (origin, realm) values ('https://db.example:443', 'db.example')")
    database("insert into turn_realm_option (realm, opt, value) values ('main.example', 'total-quota', '1')")
    database("insert into denied_peer_ip (realm, ip_range) values ('main.example', '127.0.0.3')")
    database.user("max", "db.example", "max-pw")
    database.user("max", "one.example", "max-pw")
    wait_for(lambda: code_of(served, "max-pw", "max", "one.example") == 0, "a user of a realm that is configured")
    assert code_of(served, "max-pw", "max", "db.example") == 401
    assert challenge(served, origin("https://db.example")) == "main.example"
    with Client(served, "main-pw") as client:
        client.allocated()
        assert code_of(served, "main-pw") == 0
        assert client.permit("127.0.0.3").code == 0
        served.write_conf(no_dynamic_realms=None, no_dynamic_ip_list=None)
        served.signal(signal.SIGHUP)
        served.wait_log("reload.done")
        wait_for(lambda: code_of(served, "main-pw") == CAPACITY, "the option")
        wait_for(lambda: client.permit("127.0.0.3").code == FORBIDDEN, "the range")
        wait_for(lambda: challenge(served, origin("https://db.example")) == "db.example", "the origin")
