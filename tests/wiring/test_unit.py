"""The daemon's unit file: what it runs, in systemd's own words, and what it may do."""

import pytest

from agent.errors import UsageError
from agent.wiring import unit
from agent.wiring.unit import Daemon, content, refuse_hidden

PROGRAM = "/opt/nodeseal/current/nodeseal"


def lines(daemon: Daemon) -> list[str]:
    """The unit's lines."""
    return content(daemon).decode().splitlines()


def values(daemon: Daemon, name: str) -> list[str]:
    """What the unit says of a directive."""
    return [line.partition("=")[2] for line in lines(daemon) if line.startswith(f"{name}=")]


@pytest.mark.parametrize(
    ("daemon", "command"),
    [
        (Daemon(PROGRAM), f"{PROGRAM} watch --prove"),
        (Daemon(PROGRAM, "/etc/policies"), f"{PROGRAM} watch --config /etc/policies --prove"),
        (Daemon(PROGRAM, port=40001), f"{PROGRAM} watch --prove --canary-port 40001"),
        (Daemon(PROGRAM, socket="/run/x.sock"), f"{PROGRAM} watch --prove --cri-socket /run/x.sock"),
        (Daemon(PROGRAM, "/a b/$HOME 5%"), f'{PROGRAM} watch --config "/a b/$$HOME 5%%" --prove'),
        (Daemon(PROGRAM, '/a"b\\c'), f'{PROGRAM} watch --config "/a\\"b\\\\c" --prove'),
        (Daemon(PROGRAM, root="/mnt/state"), f"{PROGRAM} watch --root /mnt/state --prove"),
    ],
)
def test_command_is_what_was_asked_for_whatever_is_in_a_path(daemon: Daemon, command: str) -> None:
    assert values(daemon, "ExecStart") == [command]


def test_it_comes_before_containerd_and_waits_for_nothing() -> None:
    text = content(Daemon(PROGRAM, before="k3s.service")).decode()
    assert "\nBefore=k3s.service\n" in text
    assert not [word for word in ("After=", "Requires=", "Wants=", "network") if f"\n{word}" in text]
    assert "Before=" not in content(Daemon(PROGRAM)).decode()


def test_it_writes_its_own_folders_alone() -> None:
    (written,) = values(Daemon(PROGRAM), "ReadWritePaths")
    assert written.split() == ["/var/lib/nodeseal", "/var/cache/nodeseal", "/var/log/nodeseal", "/run/nodeseal"]
    (elsewhere,) = values(Daemon(PROGRAM, root="/mnt/state"), "ReadWritePaths")
    assert {path.startswith("/mnt/state/") for path in elsewhere.split()} == {True}
    assert values(Daemon(PROGRAM, root="/mnt/state"), "StateDirectory") == []


@pytest.mark.parametrize(
    ("daemon", "homes"),
    [
        (Daemon(PROGRAM, "/etc/x"), "yes"),
        (Daemon(PROGRAM, "/homework"), "yes"),
        (Daemon(PROGRAM, "/root/policies"), "read-only"),
        (Daemon("/home/kubernetes/bin/nodeseal/current/nodeseal"), "read-only"),
    ],
)
def test_homes_are_seen_only_where_something_of_it_is_there(daemon: Daemon, homes: str) -> None:
    assert values(daemon, "ProtectHome") == [homes]


HIDDEN = ["/tmp/x", "/tmp", "/var/tmp/x", "/proc/1", "/dev/shm"]


@pytest.mark.parametrize("path", ["relative", "", "/a\nExecStart=/bin/sh", "/a\x00", "/" + "a" * 5000, *HIDDEN])
def test_configuration_that_it_could_not_see_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="--config: got "):
        refuse_hidden(path)


def test_link_is_where_systemctl_enable_would_put_it() -> None:
    assert unit.WANTED == "/etc/systemd/system/multi-user.target.wants/nodeseal.service"
    assert values(Daemon(PROGRAM), "WantedBy") == ["multi-user.target"]
