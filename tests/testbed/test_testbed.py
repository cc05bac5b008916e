"""What the tests stand on: a node that calls verifiers, keeps to itself, and leaves nothing behind."""

import os
import pathlib
import sys
import time
from typing import Iterator

import pytest

from tests.commands import processes_naming, run
from tests.testbed.clock import MovedClock
from tests.testbed.node import FAR_REGISTRY, REGISTRY, Node
from tests.testbed.nodes import tools
from tests.testbed.signatures import Signer, fallback_tag, list_unchanged, signature_of
from tests.testbed.tools import Tools, ToolsMissing, checked

__all__ = ["tools"]

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def node(tools: Tools) -> Iterator[Node]:
    """A node without a verifier."""
    with Node(tools) as running:
        yield running


def test_node_leaves_no_process_mount_or_file_behind(tools: Tools) -> None:
    with Node(tools) as running:
        work = str(running.work)
        assert running.cri_pull(f"{REGISTRY}/nothing:1").ok is False
        assert len(processes_naming(work)) >= 3  # namespaces' first process, containerd, registry
    end = time.monotonic() + 30
    while processes_naming(work) and time.monotonic() < end:
        time.sleep(0.05)
    assert processes_naming(work) == []
    assert work not in pathlib.Path("/proc/self/mountinfo").read_text()
    assert not os.path.exists(work)


def test_command_past_its_time_is_ended_inside_the_node_too(node: Node) -> None:
    mark = f"8639.{os.getpid()}"
    assert node.run(["sleep", mark], seconds=0.5).code == -9
    end = time.monotonic() + 30
    while processes_naming(f"sleep {mark}") and time.monotonic() < end:
        time.sleep(0.05)
    assert processes_naming(f"sleep {mark}") == []


def test_containerd_asks_the_verifier_and_tells_its_client_what_it_said(node: Node) -> None:
    node.push_image("bed/refused")
    script = node.work / "refuse.sh"
    script.write_text("#!/bin/sh\necho not this one\nexit 3\n")
    script.chmod(0o755)
    node.install_verifier(script)
    try:
        for told in (node.cri_pull(f"{REGISTRY}/bed/refused:1"), node.ctr_pull(f"{REGISTRY}/bed/refused:1")):
            assert not told.ok
            assert "exit code 3): not this one" in told.error
    finally:
        node.remove_verifiers()
    assert node.cri_pull(f"{REGISTRY}/bed/refused:1").ok


def test_every_image_is_another_one(node: Node) -> None:
    assert node.push_image("bed/one") != node.push_image("bed/one") != node.push_image("bed/two")


def test_signature_listed_unchanged_is_the_very_same_manifest(node: Node) -> None:
    signer = Signer(node, "build.example.com")
    source, target = ("bed/donor", node.push_image("bed/donor")), ("bed/taker", node.push_image("bed/taker"))
    signer.sign(*source)
    digest = list_unchanged(node, source, target)
    _, index = node.get_manifest(target[0], fallback_tag(target[1]))
    assert [each["digest"] for each in index["manifests"]] == [digest]
    assert signature_of(node, *source) == signature_of(node, *target)


def test_far_registry_is_a_round_trip_away_for_handshake_and_answer_alike(node: Node) -> None:
    host, port = FAR_REGISTRY.split(":")
    script = (
        "import http.client, time\n"
        f"connection, start = http.client.HTTPConnection({host!r}, {port}, timeout=30), time.monotonic()\n"
        "connection.connect(); connected = time.monotonic()\n"
        "connection.request('GET', '/v2/'); status = connection.getresponse().status\n"
        "print(status, connected - start, time.monotonic() - connected)\n"
    )
    ask = [sys.executable, "-I", "-S", "-c", script]
    with node.far(25):
        status, *seconds = node.must(ask).split()
    assert status == "200"
    assert all(0.05 <= float(each) < 15 for each in seconds)
    assert "unreachable" in node.run(ask).err


def test_command_that_runs_meanwhile_is_asked_to_end(node: Node) -> None:
    with node.started(["sh", "-c", "trap 'exit 7' TERM; echo here; while :; do sleep 0.01; done"]) as running:
        assert running.line() == "here"
        assert running.stop() == 7
    assert not pathlib.Path(f"/proc/{running.pid}").exists()


def test_image_is_as_large_as_its_filler(node: Node) -> None:
    digest = node.push_image("bed/large", filler=3 * 1024**2)
    _, manifest = node.get_manifest("bed/large", digest)
    assert manifest["layers"][1]["size"] > 3 * 1024**2


def test_clock_is_moved_on_for_what_is_started_behind_it(tmp_path: pathlib.Path, tools: Tools) -> None:
    clock = MovedClock(tmp_path)
    ask = [*clock.words, sys.executable, "-I", "-S", "-c", "import time; print(time.time(), time.monotonic())"]
    environment = {"PATH": tools.path}
    first = [float(each) for each in run(ask, environment=environment).out.split()]
    clock.move_to(3600)
    second = [float(each) for each in run(ask, environment=environment).out.split()]
    assert abs(first[0] - time.time()) < 60
    assert all(3600 <= after - before < 3660 for before, after in zip(first, second, strict=True))


def test_containerd_that_is_too_old_is_refused(tmp_path: pathlib.Path, tools: Tools) -> None:
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr" / "sbin").symlink_to(tools.root / "usr" / "sbin")
    programs = tmp_path / "usr" / "bin"
    programs.mkdir()
    for program in (tools.root / "usr" / "bin").iterdir():
        (programs / program.name).symlink_to(program)
    (programs / "containerd").unlink()
    (programs / "containerd").write_text("#!/bin/sh\necho containerd github.com/containerd/containerd 1.7.24 abc\n")
    (programs / "containerd").chmod(0o755)
    with pytest.raises(ToolsMissing, match="got containerd 1.7.24; expected 2.1 or newer"):
        checked(tmp_path)


def test_cache_with_a_tool_missing_is_refused_and_says_what_to_do(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ToolsMissing, match="without containerd, .*delete the folder to fetch them again"):
        checked(tmp_path)


def test_command_gets_what_it_was_given_and_nothing_else() -> None:
    done = run(["/bin/sh", "-c", "cat; env"], stdin=b"in\n", environment={"ONLY": "this"})
    assert (done.code, done.err) == (0, "")
    assert "in\n" in done.out
    assert {line.partition("=")[0] for line in done.out.splitlines()} <= {"in", "ONLY", "PWD", "OLDPWD", "SHLVL", "_"}
