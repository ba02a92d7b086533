# SPDX-License-Identifier: Apache-2.0
"""JSON Web Tokens as credentials: made by an application, known to nobody beforehand."""
import signal
import time

import pytest

import outside
import signed
import streams
from conftest import free_port, wait_for

NAME = "turn.example"
OPTIONS = {"no_auth": None, "jwt_secret": outside.SECRET}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return streams.Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def signers():
    return outside.Signer("RS256", "r"), outside.Signer("ES256", "e")


@pytest.fixture
def application():
    made = []

    def make(*arguments, **more):
        made.append(outside.Application(*arguments, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def code_of(server, ip="127.0.0.1", **credentials):
    with signed.client(server, ip, **credentials) as client:
        return client.allocate().code


def tls_code(server, certificates, token):
    client = streams.Client(("127.0.0.1", server.options["tls_listening_port"]), **outside.whole(token),
                            tls=certificates.context(), name=NAME)
    with client:
        return client.allocate().code


@pytest.fixture
def secure(certificates):
    """Options of a server with TLS."""
    cert, key = certificates.make(NAME)
    return {"cert": cert, "pkey": key, "tls_listening_port": free_port()}


# --- header.payload --------------------------------------------------------------------------------


# Proves T-JWT-1-01, T-7519-4.1.4-01
def test_a_token_relays_and_outlives_itself(sterna):
    """Its age is looked at when an allocation is made; the session goes on without it."""
    server = sterna(**OPTIONS)
    token = outside.hs256(outside.claims(seconds=-28))  # clocks may differ by 30 s
    with signed.client(server, **outside.login(token)) as client, signed.bound() as peer:
        client.allocated()
        assert client.bind(0x4000, peer.getsockname()).code == 0
        client.channel_send(0x4000, b"hello")
        assert peer.recv(100) == b"hello"

        def is_expired():
            return code_of(server, **outside.login(token)) == 401
        wait_for(is_expired, "the end of the token")
        assert client.refresh(600).code == 0


@pytest.mark.parametrize("body", [
    outside.claims(seconds=-40), outside.claims(nbf=int(time.time()) + 600), outside.claims(realm="example.net"),
    outside.claims(aud="others"), {"sub": "alice"}, outside.claims(subject=""), outside.claims(subject="x" * 129)])
def test_a_token_that_does_not_fit_is_refused(sterna, body):
    server = sterna(**OPTIONS)
    assert code_of(server, **outside.login(outside.hs256(body))) == 401
    assert code_of(server, **outside.login(outside.hs256(outside.claims(realm="example.org", aud="example.org")))) == 0


def test_who_does_not_have_the_signature_is_refused(sterna):
    server = sterna(**OPTIONS)
    token = outside.hs256(outside.claims())
    forged = outside.hs256(outside.claims(), secret="another secret of thirty-two bytes")
    assert code_of(server, **outside.login(forged)) == 401
    assert code_of(server, user=token.rpartition(".")[0], password=token.rpartition(".")[0]) == 401
    assert code_of(server, **outside.login(token)) == 0


def test_a_secret_is_changed_while_the_server_runs(sterna, tmp_path):
    """First the new one beside the old one, then alone."""
    other = "another secret of thirty-two bytes"
    secrets = tmp_path / "secrets"
    secrets.write_text(outside.SECRET + "\n")
    server = sterna(no_auth=None, jwt_secret_file=str(secrets))
    old, new = (outside.login(outside.hs256(outside.claims(), secret)) for secret in (outside.SECRET, other))
    assert [code_of(server, **one) for one in (old, new)] == [0, 401]
    secrets.write_text(outside.SECRET + "\n" + other + "\n")
    server.signal(signal.SIGHUP)
    server.wait_log("reload.done")
    assert [code_of(server, **one) for one in (old, new)] == [0, 0]
    secrets.write_text(other + "\n")
    server.signal(signal.SIGHUP)
    server.wait_log("reload.done", 2)
    assert [code_of(server, **one) for one in (old, new)] == [401, 0]


# Proves T-JWT-1-03
def test_quotas_count_the_subject(sterna):
    """However many tokens somebody has."""
    server = sterna(user_quota=2, **OPTIONS)
    clients = [signed.client(server, **outside.login(outside.hs256(outside.claims(jti=i)))) for i in range(3)]
    assert [client.allocate().code for client in clients] == [0, 0, 486]
    assert code_of(server, **outside.login(outside.hs256(outside.claims(subject="bob")))) == 0
    assert "user=alice" in server.text.replace('"', "")
    for client in clients:
        client.sock.close()


def test_strangers_cannot_push_users_out(sterna):
    """Names that anybody can make up take a quarter of the memory, as unknown names do."""
    server = sterna(user_cache_size=16, relay_threads=1, **OPTIONS)
    good = outside.login(outside.hs256(outside.claims()))
    with signed.client(server, **good) as client:
        client.allocated()
        for i in range(100):
            assert code_of(server, user=outside.half(outside.claims(jti=i)), password="x") == 401
        assert client.refresh(600).code == 0
    assert code_of(server, **good) == 0


# --- whole tokens and key sets ---------------------------------------------------------------------


# Proves T-JWT-1-02
def test_whole_tokens_need_tls(sterna, certificates, secure, signers, tmp_path):
    """Whoever reads them can use them."""
    jwks = tmp_path / "jwks.json"
    jwks.write_text(outside.key_set(*signers))
    server = sterna(jwt_jwks=str(jwks), **OPTIONS, **secure)
    for token in [signer.token(outside.claims()) for signer in signers] + [outside.hs256(outside.claims())]:
        assert tls_code(server, certificates, token) == 0
        assert code_of(server, **outside.whole(token)) == 401
        assert token not in server.text and token.rpartition(".")[2] not in server.text
    for changes, code in ({"jwt_plain": True}, 0), ({"jwt_plain": None}, 401):
        done = server.text.count("reload.done")
        server.write_conf(**changes)
        server.signal(signal.SIGHUP)
        server.wait_log("reload.done", done + 1)
        assert code_of(server, **outside.whole(signers[1].token(outside.claims()))) == code


# Proves T-8725-3.1-01, T-8725-3.2-01
def test_public_keys_are_no_secrets(sterna, certificates, secure, signers, tmp_path):
    """Algorithm confusion, "none", and the signature of somebody else."""
    jwks = tmp_path / "jwks.json"
    jwks.write_text(outside.key_set(*signers))
    server = sterna(no_auth=None, jwt_jwks=str(jwks), **secure)
    text = signers[0].public_pem()
    confused = outside.hs256(outside.claims(), secret=text, kid="r")
    none = outside.of_json({"alg": "none"}) + "." + outside.of_json(outside.claims()) + ".AAAA"
    stranger = outside.Signer("ES256", "e").token(outside.claims())
    for token in confused, none, stranger:
        assert tls_code(server, certificates, token) == 401
    assert code_of(server, **outside.login(confused)) == 401
    assert tls_code(server, certificates, signers[0].token(outside.claims())) == 0


def test_a_key_set_in_a_file_is_followed(sterna, certificates, secure, signers, tmp_path):
    jwks = tmp_path / "jwks.json"
    jwks.write_text(outside.key_set(signers[0]))
    server = sterna(no_auth=None, jwt_jwks=str(jwks), **secure)
    assert tls_code(server, certificates, signers[0].token(outside.claims())) == 0
    jwks.write_text("{")
    server.wait_log("auth.jwks_failed")
    assert tls_code(server, certificates, signers[0].token(outside.claims(jti=1))) == 0  # the last good keys
    jwks.write_text(outside.key_set(signers[1]))
    server.wait_log("auth.jwks_back")
    assert tls_code(server, certificates, signers[0].token(outside.claims(jti=2))) == 401
    assert tls_code(server, certificates, signers[1].token(outside.claims())) == 0


def test_a_file_that_is_no_key_set_is_told_at_start(sterna, tmp_path):
    jwks = tmp_path / "jwks.json"
    jwks.write_text("{}")
    server = sterna(wait=False, no_auth=None, jwt_jwks=str(jwks))
    assert server.wait() != 0
    assert "no JSON Web Key Set" in server.text


def test_a_new_key_is_fetched_when_it_is_met(sterna, certificates, secure, signers, application):
    """Keys rotate by kid: the first token of a new one waits for the fetch, and no longer."""
    current = [signers[0]]
    app = application(lambda *_: (200, outside.key_set(*current)))
    server = sterna(no_auth=None, jwt_jwks=app.url("/jwks"), **secure)
    server.wait_log("auth.jwks_read")
    assert tls_code(server, certificates, signers[0].token(outside.claims())) == 0
    current[:] = [signers[1]]

    def is_known():  # an unknown kid has it fetched anew every ten seconds at most
        return tls_code(server, certificates, signers[1].token(outside.claims(jti=time.time()))) == 0
    wait_for(is_known, "the new key")
    assert len(app.questions) <= 3
    assert tls_code(server, certificates, signers[0].token(outside.claims(jti=3))) == 401


def test_a_key_set_that_cannot_be_had(sterna, certificates, secure, signers, application):
    """At start no token counts, everything else does; later the last good keys do."""
    answers = [(500, "")]
    app = application(lambda *_: answers[0])
    server = sterna(user="bob:builder", jwt_jwks_refresh=10, jwt_jwks=app.url(),
                    lt_cred_mech=True, no_auth=None, **secure)
    server.wait_log("auth.jwks_failed")
    assert code_of(server, user="bob", password="builder") == 0
    answers[0] = (200, outside.key_set(*signers))
    server.wait_log("auth.jwks_back")
    assert tls_code(server, certificates, signers[0].token(outside.claims())) == 0
    answers[0] = (200, "x" * (1 << 20))
    server.wait_log("auth.jwks_failed", 2)
    assert tls_code(server, certificates, signers[0].token(outside.claims(jti=1))) == 0
    assert server.text.count("auth.jwks_failed") == 2  # each failure is told once


# --- configuration ---------------------------------------------------------------------------------


@pytest.mark.parametrize("options, words", [
    ({"jwt_secret": "short"}, "jwt-secret"),
    ({"jwt_jwks": "ftp://example.org/x"}, "https://"),
    ({"jwt_jwks": "https:///x"}, "no URL with a host"),
    ({"auth_hook": "example.org"}, "https://"),
    ({"auth_hook": "https://user:pass@example.org/"}, "auth-hook-header"),
    ({"auth_hook": "https://example.org/", "auth_hook_header": "no colon"}, "Name: value"),
    ({"auth_hook": "https://example.org/", "no_auth": True}, "one side only"),
])
def test_what_cannot_work_is_told(sterna, options, words):
    server = sterna(wait=False, **{"no_auth": None, **options})
    assert server.wait() != 0
    assert words in server.text
