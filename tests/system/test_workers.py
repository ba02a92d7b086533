# SPDX-License-Identifier: Apache-2.0
"""How many workers there are, and where they run: by affinity mask, control group and options."""
import contextlib
import os
import pathlib
import re

import pytest

GROUPS = pathlib.Path("/sys/fs/cgroup")
ALLOWED = sorted(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def nothing_is_told(monkeypatch):
    """What is found counts here, whatever the environment tells all tests."""
    monkeypatch.delenv("STERNA_RELAY_THREADS", raising=False)


def workers(server):
    return int(re.search(r" server\.plan .*\bworkers=(\d+)", server.text).group(1))


def threads(server):
    """Name and CPUs of each thread."""
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        yield (task / "comm").read_text(encoding="ascii").strip(), os.sched_getaffinity(int(task.name))


def usable():
    """What a process may use that neither mask nor quota of ours limits further."""
    return len(ALLOWED)


def test_there_is_a_worker_for_each_allowed_cpu(sterna):
    assert workers(sterna(prefix=["taskset", "-c", str(ALLOWED[-1])])) == 1
    assert workers(sterna()) in range(1, usable() + 1)  # we may run under a quota ourselves


def test_options_are_stronger_than_what_is_found(sterna):
    one_cpu = ["taskset", "-c", str(ALLOWED[0])]
    assert workers(sterna(cpus=3, prefix=one_cpu)) == 3
    assert workers(sterna(relay_threads=2, prefix=one_cpu)) == 2
    assert workers(sterna(relay_threads=2, cpus=1)) == 2


@contextlib.contextmanager
def control_group(*names):
    """A new control group of the CPU controller, version 1 or 2; None when the system lets us have none."""
    roots = [root for root in (GROUPS / "cpu", GROUPS / "cpu,cpuacct") if (root / "cgroup.procs").exists()]
    with contextlib.suppress(OSError):
        if "cpu" in (GROUPS / "cgroup.subtree_control").read_text(encoding="ascii").split():
            roots.append(GROUPS)
    made = []
    try:
        path = roots[0] if roots else None
        for name in names:
            path = path and path / name
            if path is not None:
                try:
                    path.mkdir()
                    made.append(path)
                except OSError:
                    path = None
        yield path
    finally:
        for path in reversed(made):
            path.rmdir()


def limit(group, percent):
    """So much of one CPU; false when the kernel cannot."""
    try:
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{percent * 1000} 100000", encoding="ascii")
        else:
            (group / "cpu.cfs_period_us").write_text("100000", encoding="ascii")
            (group / "cpu.cfs_quota_us").write_text(str(percent * 1000), encoding="ascii")
    except OSError:
        return False
    return True


def enter(group):
    return ["sh", "-c", f"echo $$ > {group}/cgroup.procs; exec \"$@\"", "sh"]


@pytest.mark.parametrize("nested", [False, True])
def test_the_quota_of_a_control_group_counts(sterna, nested):
    name = f"sterna-test-{os.getpid()}"
    with control_group(name, *(["inner"] if nested else [])) as group:
        if group is None or not limit(group.parent if nested else group, 80):
            pytest.skip("no control group with a quota can be made here")
        server = sterna(prefix=enter(group))
        count = workers(server)
        server.stop()  # it holds the group
    assert count == 1


def test_workers_run_where_they_are_put(sterna):
    server = sterna(relay_threads=3, worker_affinity="cpu").wait_log("worker.pinned", 3)
    pinned = {name: cpus for name, cpus in threads(server) if name.startswith("worker-")}
    assert pinned == {f"worker-{i}": {ALLOWED[i % len(ALLOWED)]} for i in range(3)}
    others = [cpus for name, cpus in threads(server) if not name.startswith("worker-")]
    assert others and all(cpus == set(ALLOWED) for cpus in others)
    with server.client() as client:
        assert client.allocate().code == 0


def test_workers_are_free_when_nobody_asks(sterna):
    server = sterna(relay_threads=2)
    assert all(cpus == set(ALLOWED) for _, cpus in threads(server))
    assert "worker.pinned" not in server.text
