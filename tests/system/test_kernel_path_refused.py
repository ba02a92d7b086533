# SPDX-License-Identifier: Apache-2.0
"""Where the kernel path cannot be, in whole or in part: the server starts, says why, and relays in user space. And what
it may do no more once it runs."""
import os
import pathlib
import shutil
import signal
import sys

import pytest

import kernel_path
import signed
from kernel_path import CHANNEL, MODES, SERVER, TO_CLIENT, V4, Pair, lines, text
from conftest import STERNA, free_port, wait_for

pytestmark = pytest.mark.skipif(kernel_path.missing() is not None, reason=str(kernel_path.missing()))

NOBODY = 65534
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--no-new-privs")
ANYBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--no-new-privs")
WITHOUT_BPF = (sys.executable, str(pathlib.Path(__file__).with_name("without_bpf.py")))
BTF = "/sys/kernel/btf"


def in_mounts(script):
    """A prefix: the server sees the mounts that the script makes."""
    return "unshare", "-m", "sh", "-ec", f'{script}; exec "$@"', "sh"


def expect_user_space(server, *words):
    """One line says that it is off, and why."""
    found = lines(server, "offload.off")
    assert len(found) == 1, server.text
    why = text(found[0], "why")
    assert why and any(word in why for word in words), found[0]
    assert not lines(server, "offload.ready")
    held = kernel_path.bpf_objects(server.process.pid)
    names = [kernel_path.bpftool("prog", "show", "id", str(number)).get("name") for number in held["prog"]]
    assert not [name for name in names if name.startswith("forward_")]


def relays(lab):
    with lab.pair() as pair:
        for _ in range(5):
            pair.ping()


@pytest.mark.parametrize("mode", [*MODES, "auto"])
@pytest.mark.parametrize("prefix, words", [
    (UNPRIVILEGED, ["CAP_BPF"]),
    (("setpriv", "--bounding-set=-bpf,-sys_admin"), ["CAP_BPF"]),
    (("setpriv", "--bounding-set=-net_admin,-sys_admin"), ["CAP_NET_ADMIN"]),
    (WITHOUT_BPF, ["CAP_BPF", "bpf(2)", "bpf()"]),
], ids=["none", "bpf", "net-admin", "seccomp"])
def test_without_the_right_to(lab, mode, prefix, words):
    server = lab.start_server(offload=mode, prefix=prefix)
    expect_user_space(server, *words)
    relays(lab)


def anybody_reaches(path):
    return all(os.stat(one).st_mode & 1 for one in [path, *path.parents])


def test_an_ordinary_user(lab, tmp_path):
    if not anybody_reaches(pathlib.Path(shutil.which(STERNA) or STERNA).resolve()):
        pytest.skip("nobody else may run this binary where it lies")
    for one in tmp_path, *tmp_path.parents[:2]:
        one.chmod(one.stat().st_mode | 0o055)
    server = lab.start_server(offload="tc", prefix=ANYBODY)
    expect_user_space(server, "CAP_BPF")
    relays(lab)


@pytest.mark.parametrize("mode", MODES)
def test_without_types_of_the_kernel(lab, mode):
    """The programs know nothing of the kernel's own structures, so they need no BTF."""
    if not os.path.isdir(BTF):
        pytest.skip("this kernel has no BTF anyhow")
    lab.serve(mode, prefix=in_mounts(f"mount -t tmpfs none {BTF}"))
    with lab.pair() as pair:
        lab.warm(pair)


@pytest.mark.parametrize("mode", MODES)
def test_sysctls_that_cannot_be_written(lab, mode):
    """As in a container: without that one, routes cannot be looked up for packets of ours."""
    server = lab.start_server(offload=mode, prefix=in_mounts(
        "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys"))
    assert "lo.forwarding" in server.text
    relays(lab)


@pytest.mark.parametrize("mode", MODES)
def test_sysctls_that_cannot_be_written_and_need_not_be(lab, mode):
    lab.sysctl(SERVER, "net.ipv4.conf.lo.forwarding=1", "net.ipv6.conf.lo.forwarding=1")
    lab.serve(mode, prefix=in_mounts("mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys"))
    with lab.pair() as pair:
        lab.warm(pair)


# --- interfaces ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [*MODES, "auto"])
def test_on_lo_alone(lab, mode):
    server = lab.start_server(offload=mode, listening_ip="127.0.0.1", relay_ip="127.0.0.1", allow_loopback_peers=True)
    expect_user_space(server, "lo")
    client = signed.Client(("127.0.0.1", server.port), sock=lab.socket(SERVER, "127.0.0.1"))
    assert client.allocate().code == 0
    peer = lab.socket(SERVER, "127.0.0.1")
    assert client.bind(CHANNEL, peer.getsockname()).code == 0
    with Pair(client, peer) as pair:
        pair.ping()


@pytest.mark.parametrize("mode", [*MODES, "auto"])
def test_lo_is_left_out_and_the_rest_is_served(lab, mode):
    """lo carries packets of this host: user space relays those."""
    server = lab.start_server(offload=mode, listening_ip=[V4["server"], "127.0.0.1"])
    if (why := kernel_path.why_not(mode)) is not None:
        pytest.skip(why)
    assert lines(server, "offload.ready"), server.text
    lab.counts = kernel_path.Counts(server)
    with lab.pair() as pair:
        lab.warm(pair)


@pytest.mark.parametrize("mode", [*MODES, "auto"])
def test_on_a_bridge(lab, mode):
    """The clients' cable ends in a bridge, which has the address: it serves, or says why not and relays."""
    for command in (("link", "add", "br0", "type", "bridge"), ("link", "set", "s0", "master", "br0"),
                    ("address", "flush", "dev", "s0"), ("link", "set", "br0", "up")):
        lab.net.run("ip", "-n", lab.ns[SERVER], *command)
    lab.net.address(lab.ns[SERVER], "br0", f"{V4['server']}/24", f"{kernel_path.V6['server']}/64")
    server = lab.start_server(offload=mode)
    found = [line for line in lines(server, "offload.interface") if text(line, "name") == "br0"]
    assert len(found) == 1, server.text
    assert text(found[0], "mode") != "off" or "bridge" in text(found[0], "why")
    relays(lab)


@pytest.mark.parametrize("mode", MODES)
def test_an_interface_that_is_not_there(lab, mode):
    server = lab.start_server(offload=mode, offload_interface="nosuch0")
    expect_user_space(server, "nosuch0")
    relays(lab)


@pytest.mark.parametrize("mode", MODES)
def test_one_interface_of_two(lab, mode):
    """Only what comes in by the one named is the kernel's."""
    server = lab.start_server(offload=mode, offload_interface="s0")
    assert lines(server, "offload.ready"), server.text
    lab.counts = kernel_path.Counts(server)
    with lab.pair() as pair:
        for _ in range(5):
            pair.ping()
        assert lab.counts.read()[TO_CLIENT] == 0


@pytest.mark.parametrize("first, second", [("tc", "tc"), ("xdp", "tc"), ("tc", "xdp"), ("xdp-generic", "tc")])
def test_two_servers_on_one_interface(lab, first, second):
    """In modes that go together, each forwards its own."""
    lab.serve(first)
    with lab.pair() as pair:
        lab.warm(pair)
        other = kernel_path.Lab.__new__(kernel_path.Lab)
        other.__dict__.update(lab.__dict__)
        other.serve(second, min_port=30000, max_port=32000, listening_port=free_port())
        with other.pair() as another:
            other.warm(another)
            with other.counting(forwarded_to_peer=1, forwarded_to_client=1):
                another.ping()
        with lab.counting(forwarded_to_peer=1, forwarded_to_client=1):
            pair.ping()


@pytest.mark.parametrize("mode", ["xdp", "xdp-generic"])
def test_an_interface_that_another_program_has(lab, mode):
    """An interface takes one XDP program: the second server leaves the first one's alone, and says so."""
    lab.serve(mode)
    with lab.pair() as pair:
        lab.warm(pair)
        first, lab.server = lab.server, None
        second = lab.start_server(offload=mode, min_port=30000, max_port=32000, listening_port=free_port())
        expect_user_space(second, "another", "program", "in use")
        relays(lab)
        lab.server = first
        with lab.counting(forwarded_to_peer=1, forwarded_to_client=1):
            pair.ping()


# --- rights that are given up ----------------------------------------------------------------------

CAPABILITIES = {"net_admin": 12, "net_raw": 13, "sys_module": 16, "sys_ptrace": 19, "sys_admin": 21, "perfmon": 38,
                "bpf": 39}


def held_by(status):
    """Names of those of CAPABILITIES in any set but the bounding one, and whether new ones can come."""
    values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    masks = [int(values[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")]
    return {name for name, bit in CAPABILITIES.items() if any(mask >> bit & 1 for mask in masks)}, values["NoNewPrivs"]


@pytest.mark.parametrize("mode", MODES)
def test_capabilities_are_dropped_once_it_runs(lab, mode):
    """By every thread; and what it forwards then, and gives up at its end, takes none of them."""
    server = lab.serve(mode, relay_threads=2)
    threads = list(pathlib.Path(f"/proc/{server.process.pid}/task").iterdir())
    assert len(threads) >= 3
    for thread in threads:
        name = (thread / "comm").read_text(encoding="ascii").strip()
        assert held_by((thread / "status").read_text(encoding="ascii")) == (set(), "1"), name
    with lab.pair() as pair:
        lab.warm(pair)
        assert pair.client.refresh(0).code == 0
    assert server.stop() == 0
    assert "ermission" not in server.text and "not permitted" not in server.text, server.text


def test_what_root_can_still_do(lab, tmp_path):
    """Open its log anew where another user has it, and listen at a port below 1024 that a reload adds."""
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o700)
    log = logs / "log"
    log.touch(mode=0o600)
    for path in logs, log:
        os.chown(path, NOBODY, NOBODY)
    server = lab.start_server(offload="auto", log_file=str(log), wait=False)
    wait_for(lambda: "server.ready" in log.read_text(encoding="utf-8"), "the server")
    log.rename(logs / "log.1")
    server.write_conf(listening_port=900)
    server.signal(signal.SIGHUP)
    wait_for(lambda: log.exists() and "reload.done" in log.read_text(encoding="utf-8"), "the reload")
    assert f"listener.opened listener={V4['server']}:900 " in log.read_text(encoding="utf-8")
