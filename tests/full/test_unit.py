"""The daemon's systemd unit: written, enabled and started by the real systemd, which is the first process of a host."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from agent.wiring import unit
from tests.frozen.program import BUILT
from tests.signing import usual_signer, write_config
from tests.testbed.booted import BootedHost, booted_host
from tests.testbed.node import REGISTRY, Node

pytestmark = [pytest.mark.real, pytest.mark.full]

CONFIG = "/etc/nodeseal config/of $this node (100 %)"
"""A folder whose name has all that means something in a unit."""

THRESHOLD = "18"
"""Exposure that `systemd-analyze security` may find, in tenths; what an ordinary service has is 96."""

PROGRAM = "/opt/nodeseal/current/nodeseal"


@pytest.fixture(scope="module")
def host(node: Node) -> Iterator[BootedHost]:
    """A host that booted."""
    with booted_host(node, BUILT) as host:
        yield host


def status(host: BootedHost) -> dict[str, str]:
    """What the kernel says of the daemon's process."""
    text = host.must("cat", f"/proc/{host.shows(unit.NAME, 'MainPID')}/status")
    return {line.partition(":")[0]: line.partition(":")[2].strip() for line in text.splitlines()}


def limited(host: BootedHost) -> tuple[int, int, int]:
    """What the daemon's control group may have of memory, as the kernel says; how often that was hit before, and after.

    What hits it is a process that is put beside the daemon, and wants 400 MiB.
    """
    group = host.shows(unit.NAME, "ControlGroup")
    folder = f"/sys/fs/cgroup/memory{group}"
    most, hits = "memory.limit_in_bytes", "cat memory.failcnt"
    if host.run("test", "-e", f"/sys/fs/cgroup{group}/memory.max").code == 0:
        folder = f"/sys/fs/cgroup{group}"
        most, hits = "memory.max", "sed -n 's/^max //p' memory.events"
    greedy = "(echo 0 > cgroup.procs && exec dd if=/dev/zero of=/dev/null bs=400M count=1) >&2"
    said = host.must("sh", "-c", f"cd {folder} && cat {most} && {hits} && {{ {greedy}; {hits}; }}").split()
    return int(said[0]), int(said[1]), int(said[2])


def proved(host: BootedHost) -> dict[str, Any]:
    """What `status` says once the daemon, which was there before containerd was restarted, has proved it anew."""
    end = time.monotonic() + 60
    while True:
        said: dict[str, Any] = json.loads(host.must(PROGRAM, "status", "--format", "json"))
        if said["daemon"]["proof"]["state"] == "enforcing" or time.monotonic() > end:
            return said
        time.sleep(0.5)


def test_unit_of_a_host_that_booted_is_installed_serves_and_goes(node: Node, host: BootedHost) -> None:
    write_config(host.root / CONFIG.lstrip("/"), usual_signer("nobody.example.com").root_pem)
    before = host.tree()
    words = ("--systemd", "--config", CONFIG, "--bin-dir", "/srv/verifiers", "--must-enforce")
    dry = host.must("/built/nodeseal", "install", "--dry-run", *words)
    assert f"+++ {unit.PATH}\n" in dry
    assert f"start {unit.NAME}, and wait until the daemon answers" in dry
    assert host.tree() == before

    told = json.loads(host.must("/built/nodeseal", "install", *words, "--format", "json"))
    assert (told["restarted"], told["proof"]["state"]) == (True, "enforcing")
    assert [host.shows(unit.NAME, name) for name in ("ActiveState", "UnitFileState", "Result")] == [
        "active", "enabled", "success"
    ]  # fmt: skip
    assert host.must("systemd-analyze", "verify", unit.PATH) == ""
    checked = host.run("systemd-analyze", "security", "--offline=yes", f"--threshold={THRESHOLD}", unit.PATH)
    assert checked.code == 0, checked.out
    assert "nodeseal.service" in host.shows("containerd.service", "After").split()
    assert not {"nodeseal.service"} & {
        word
        for name in ("Requires", "Wants", "BindsTo", "Requisite")
        for word in host.shows("containerd.service", name).split()
    }

    process = status(host)
    assert {process[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (process["NoNewPrivs"], process["Seccomp"], process["Uid"].split()[0]) == ("1", "2", "0")
    inside = ["nsenter", "--target", host.shows(unit.NAME, "MainPID"), "--mount", "--"]
    for path in ("/etc/nodeseal/x", "/opt/nodeseal/x", "/var/lib/x", "/run/x", "/srv/verifiers/x", "/usr/x"):
        assert "Read-only file system" in host.run(*inside, "touch", path).err, path
    for folder in ("/var/lib/nodeseal", "/var/cache/nodeseal", "/var/log/nodeseal", "/run/nodeseal"):
        host.must(*inside, "sh", "-c", f"touch {folder}/x && rm {folder}/x")
        assert host.must("stat", "--format=%a", folder).strip() == "700"

    doors: list[str] = []
    while len(doors) < 5 and "daemon" not in doors:  # one that is kept from the processor for a second is done without
        name = f"unit/unsigned{'-again' * len(doors)}"
        node.push_image(name)
        refused = host.pull(f"{REGISTRY}/{name}:1")
        assert not refused.ok
        assert "00-nodeseal rejected image" in refused.error
        spool = [json.loads(line) for line in (host.root / "var/log/nodeseal/spool.jsonl").read_text().splitlines()]
        doors += [each["door"] for each in spool if f"{name}@" in each["image"] or f"{name}:" in each["image"]][:1]
    assert doors[-1] == "daemon"

    said = proved(host)
    assert said["unit"]["running"] is True
    assert said["daemon"]["proof"]["state"] == "enforcing"
    assert said["daemon"]["bugs"] == {}
    again = json.loads(host.must("/built/nodeseal", "install", *words, "--format", "json"))
    assert again["steps"] == ["prove by the pull of a canary that pulls are verified"]

    first = host.shows(unit.NAME, "MainPID")
    most, before_it, after_it = limited(host)
    assert host.shows(unit.NAME, "MemoryMax") == str(most) == str(256 * 1024 * 1024)
    assert after_it > before_it, "the kernel holds it to that"
    assert host.shows(unit.NAME, "MainPID") == first, "and of what takes too much, the greedy one ends"
    host.must("kill", "-KILL", first)
    pid = f"pid=$(systemctl show --value -p MainPID {unit.NAME})"
    host.must("sh", "-c", f"until {pid}; test $pid -gt 0 -a $pid -ne {first}; do sleep 0.1; done")
    assert host.shows(unit.NAME, "MainPID") != first, "it is started again"
    host.must("systemctl", "stop", unit.NAME)
    assert not host.pull(f"{REGISTRY}/unit/unsigned:1").ok, "nothing depends on it"
    found = json.loads(host.run(PROGRAM, "doctor", "--format", "json").out)
    assert re.match(
        "nodeseal.service is inactive", next(each for each in found["findings"] if each["id"] == "daemon.unit")["got"]
    )
    host.must("/built/nodeseal", "install", *words)
    assert host.shows(unit.NAME, "ActiveState") == "active"

    done = host.run(PROGRAM, "uninstall")
    assert (done.code, done.err) == (0, ""), done.out
    assert f"stopped {unit.NAME}" in done.out
    assert host.shows(unit.NAME, "LoadState") == "not-found"
    assert host.pull(f"{REGISTRY}/unit/unsigned:1").ok
    assert host.tree() == before


def test_host_that_is_prepared_starts_it_when_it_boots_and_containerd_whatever_becomes_of_it(
    node: Node, host: BootedHost
) -> None:
    before = host.tree()
    words = ("--root", "/", "--no-restart", "--systemd")
    assert "installed; not proved" in host.must("/built/nodeseal", "install", *words)
    assert host.shows(unit.NAME, "ActiveState") == "inactive"
    host.must("systemctl", "daemon-reload")
    assert host.shows(unit.NAME, "UnitFileState") == "enabled"
    host.must("systemctl", "stop", "containerd.service")
    host.must("systemctl", "start", "--no-block", "multi-user.target", unit.NAME, "containerd.service")
    host.must("sh", "-c", f"until systemctl is-active {unit.NAME} containerd.service; do sleep 0.1; done")
    (host.root / "opt/nodeseal/current").rename(host.root / "opt/nodeseal/away")
    host.run("systemctl", "stop", unit.NAME, "containerd.service")
    host.run("systemctl", "start", unit.NAME, "containerd.service")
    assert host.shows("containerd.service", "ActiveState") == "active"
    assert host.shows(unit.NAME, "ActiveState") != "active"
    (host.root / "opt/nodeseal/away").rename(host.root / "opt/nodeseal/current")
    assert host.run(PROGRAM, "uninstall").code == 0
    assert host.tree() == before
