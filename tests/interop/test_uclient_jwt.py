# SPDX-License-Identifier: Apache-2.0
"""coturn's own client with a JSON Web Token in place of a user: no client needs to know what it is."""
import pytest

import outside
from conftest import KIND
from test_uclient import uclient

pytestmark = pytest.mark.skipif(KIND == "coturn", reason="these are claims about sterna")


# Proves T-JWT-1-01
@pytest.mark.parametrize("flags", [[], ["-t"], ["-y", "-m", "2"]], ids=["UDP", "TCP", "client to client"])
def test_a_token_is_name_and_password(make_server, echo_peer, flags):
    server = make_server(jwt_secret=outside.SECRET)
    credentials = outside.login(outside.hs256(outside.claims()))
    code, sent, received, output = uclient(server, echo_peer, "-n", "50", *flags,
                                           credentials=["-u", credentials["user"], "-w", credentials["password"]])
    assert code == 0, output
    assert sent > 0 and received == sent, output


def test_a_token_that_is_over(make_server, echo_peer):
    server = make_server(jwt_secret=outside.SECRET)
    credentials = outside.login(outside.hs256(outside.claims(seconds=-60)))
    code, _, _, _ = uclient(server, echo_peer, "-n", "1",
                            credentials=["-u", credentials["user"], "-w", credentials["password"]])
    assert code != 0 and "code=401" in server.log.read_text()
