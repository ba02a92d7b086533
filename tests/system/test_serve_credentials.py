# SPDX-License-Identifier: Apache-2.0
"""What a 401 offers follows the users of the database while the server runs."""
import subprocess

from conftest import STERNA, wait_for
from test_users import needs_coturn, turnadmin


def probe(server, user, password):
    return subprocess.run([STERNA, "probe", f"turn:127.0.0.1:{server.port}", "-u", user, "--password-stdin"],
                          input=password + "\n", capture_output=True, text=True, timeout=60, check=False)


@needs_coturn
def test_a_user_added_by_coturns_tool_is_served(sterna, tmp_path):
    """turnadmin stores an MD5 key alone: SHA-256 must not be offered from then on."""
    database = tmp_path / "users.sqlite"
    server = sterna(no_auth=None, lt_cred_mech=True, userdb=database)
    assert turnadmin("-a", "-b", str(database), "-u", "old", "-r", "example.org", "-p", "pw").returncode == 0
    server.wait_log("credentials.offer_changed")
    wait_for(lambda: probe(server, "old", "pw").returncode == 0, "the new user to be served")
    assert probe(server, "old", "wrong").returncode != 0
