"""The frozen program asked again: what it answers without asking anybody, and when it asks after all."""

import concurrent.futures
import contextlib
import fcntl
import json
import os
import pathlib
import subprocess
import sys
import termios
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from agent.adapters.flights import FOLDER as FLIGHTS
from agent.adapters.nodestate import COMPLETE, NodeState, moment
from agent.modes.plugin import DEADLINE, PATIENCE, SLOTS, TURN
from tests.commands import Done, filled
from tests.frozen.arranging import age
from tests.frozen.conftest import Setting
from tests.frozen.program import descriptor, plugin_words
from tests.signing import attach_signature, envelope, write_config
from tests.simulators import misbehaviour
from tests.starvation import Pressure

pytestmark = pytest.mark.frozen


@pytest.fixture(autouse=True)
def quiet(setting: Setting) -> Iterator[None]:
    """A registry that behaves, and a spool that begins."""
    (setting.program.root / "var/log/nodeseal/spool.jsonl").unlink(missing_ok=True)
    yield
    setting.registry.misbehave("*", lambda handler: False)


def signed(setting: Setting) -> Done:
    """Pull the signed image."""
    return setting.program.pull(setting.signed_name, str(setting.signed.digest), setting.signed.size)


def unsigned(setting: Setting) -> Done:
    """Pull the unsigned one."""
    return setting.program.pull(setting.unsigned_name, str(setting.unsigned.digest), setting.unsigned.size)


def requests(setting: Setting) -> int:
    """How many the registry has got."""
    return sum(setting.registry.counts.values())


def doors(setting: Setting) -> list[str]:
    """Which door gave each answer, as the spool tells it."""
    lines = (setting.program.root / "var/log/nodeseal/spool.jsonl").read_text().splitlines()
    return [json.loads(line)["door"] for line in lines]


def on_the_node(setting: Setting, *words: str) -> Done:
    """Run a command for people, on the node."""
    done = setting.program.person(*words, "--root", str(setting.program.root))
    assert done.code == 0, done
    return done


def test_the_same_question_gets_the_same_bytes_and_costs_no_request(setting: Setting) -> None:
    first, after = signed(setting), requests(setting)
    again = [signed(setting) for _ in range(3)]
    assert {(each.code, each.out, each.err) for each in again} == {(0, first.out, "")}
    assert requests(setting) == after
    assert doors(setting) == ["plugin", "answer", "answer", "answer"]


def test_a_denied_image_costs_no_request_while_its_denial_lives(setting: Setting) -> None:
    first, after = unsigned(setting), requests(setting)
    assert first.code == 10
    assert {(each.code, each.out) for each in (unsigned(setting) for _ in range(5))} == {(10, first.out)}
    assert requests(setting) == after


def test_the_same_image_by_another_tag_costs_no_request_either(setting: Setting) -> None:
    signed(setting)
    after = requests(setting)
    other = setting.signed_name.replace(":1", ":2")
    done = setting.program.pull(other, str(setting.signed.digest), setting.signed.size)
    assert done.code == 0
    assert requests(setting) == after
    assert doors(setting) == ["plugin", "plugin"]


def test_what_was_verified_passes_while_the_registry_is_away_as_verified(setting: Setting) -> None:
    first = signed(setting)
    setting.registry.misbehave("*", misbehaviour.status(503))
    assert signed(setting).out == first.out
    assert "ground=verified" in first.out


def test_cannot_tell_is_no_denial_and_ends_after_seconds(setting: Setting, tmp_path: pathlib.Path) -> None:
    def cannot_tell(seconds: int) -> None:
        folder = write_config(tmp_path / f"{seconds}", setting.trusted.root_pem)
        value = json.loads((folder / "config.json").read_text())
        value["nodeseal"] = {"apiVersion": "nodeseal.dev/v1alpha1", "cache": {"cannotTell": f"{seconds}s"}}
        (folder / "config.json").write_text(json.dumps(value))
        setting.program.apply(folder)
        setting.registry.misbehave("*", misbehaviour.status(401))
        assert signed(setting).code == 11
        setting.registry.misbehave("*", lambda handler: False)

    try:
        cannot_tell(60)
        assert signed(setting).code == 11
        cannot_tell(1)
        end = time.monotonic() + 60
        while signed(setting).code != 0:
            assert time.monotonic() < end
            time.sleep(0.5)
    finally:
        setting.program.apply(write_config(tmp_path / "usual", setting.trusted.root_pem))


def test_break_glass_counts_at_once_and_so_does_its_end(setting: Setting) -> None:
    assert unsigned(setting).code == 10
    words = ["--for", "1h", "--image", f"{setting.registry.host}/**", "--reason", "INC-1"]
    on_the_node(setting, "break-glass", "on", *words)
    assert "ground=breakGlass" in unsigned(setting).out
    on_the_node(setting, "break-glass", "off", "--no-verify")
    assert unsigned(setting).code == 10


def test_another_configuration_counts_at_once_and_so_does_the_first_one_again(
    setting: Setting, tmp_path: pathlib.Path
) -> None:
    assert signed(setting).code == 0
    other = setting.trusted.root_pem
    folder = write_config(tmp_path / "other", other)
    value = json.loads((folder / "config.json").read_text())
    value["nodeseal"] = {"apiVersion": "nodeseal.dev/v1alpha1", "deny": [f"{setting.registry.host}/team/*"]}
    value["nodeseal"]["default"] = {"enforcement": "Enforce", "failurePolicy": "Fail"}
    (folder / "config.json").write_text(json.dumps(value))
    setting.program.apply(folder)
    try:
        assert signed(setting).code == 10
    finally:
        setting.program.apply(write_config(tmp_path / "first", setting.trusted.root_pem))
    assert signed(setting).code == 0


def test_what_was_verified_passes_until_the_configuration_is_out_of_date_and_again_once_it_is_not(
    setting: Setting, tmp_path: pathlib.Path
) -> None:
    root = setting.program.root
    for left in (3, 12, 60):  # a full machine needs more time for two pulls
        begun = time.monotonic()
        age(root, left)
        first, again = signed(setting), signed(setting)
        if time.monotonic() - begun < left:
            break
        (root / "var/log/nodeseal/spool.jsonl").unlink()
        setting.program.forget()
    assert (first.code, again.out) == (0, first.out)
    end = time.monotonic() + 90
    while signed(setting).code == 0:
        assert time.monotonic() < end
        time.sleep(0.5)
    stale, asked = signed(setting), requests(setting)
    assert stale.out.startswith("cannot tell NS-3010 rule=default: configurationStale: the API server last told all ")
    assert doors(setting)[:2] == ["plugin", "answer"]
    NodeState(str(root)).note_complete(moment())
    assert signed(setting).out == first.out
    assert requests(setting) == asked
    (root / COMPLETE).unlink()
    setting.program.apply(write_config(tmp_path / "usual", setting.trusted.root_pem))


def test_an_image_that_is_signed_later_passes_at_once_after_it_was_forgotten(setting: Setting) -> None:
    late = setting.registry.push_image("team/late", "1", salt="late")
    name = f"{setting.registry.host}/team/late:1"
    assert setting.program.pull(name, str(late.digest), late.size).code == 10
    attach_signature(setting.registry, "team/late", late, envelope(setting.trusted, late))
    assert setting.program.pull(name, str(late.digest), late.size).code == 10
    on_the_node(setting, "cache", "forget", name)
    assert setting.program.pull(name, str(late.digest), late.size).code == 0


def test_eight_pulls_at_once_are_one_verification(setting: Setting) -> None:
    before = requests(setting)
    setting.registry.misbehave("blob", misbehaviour.in_turn(_slow, misbehaviour.as_usual))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: signed(setting), range(8)))
    assert {(each.code, each.out) for each in done} == {(0, done[0].out)}
    assert requests(setting) - before == 3
    assert Counter(doors(setting)).total() == 8


def test_a_node_full_of_slow_verifications_delays_a_pull_and_leaves_it_time(setting: Setting) -> None:
    setting.program.forget()
    folder = setting.program.root / FLIGHTS
    folder.mkdir(parents=True, mode=0o700)
    with contextlib.ExitStack() as held:
        for n in range(SLOTS):
            fcntl.flock(held.enter_context((folder / f"slot-{n}").open("w")), fcntl.LOCK_EX)
        begun, pressure = time.monotonic(), Pressure()
        assert signed(setting).code == 0
        assert TURN <= time.monotonic() - begun < DEADLINE - PATIENCE + pressure.slack()


def _slow(handler: object) -> bool:
    time.sleep(0.5)
    return False


def test_once_others_may_write_the_programs_files_nothing_new_is_answered(setting: Setting) -> None:
    first = signed(setting)
    library = next(path for path in (setting.program.path.parent / "_internal").rglob("*") if path.is_dir())
    mode = library.stat().st_mode
    library.chmod(0o777)
    try:
        done = unsigned(setting)
        assert done.code == 11
        assert "may be written by others" in done.out
        assert signed(setting).out == first.out  # its libraries were looked at when it was found
    finally:
        library.chmod(mode)
    assert unsigned(setting).code == 10


@pytest.mark.parametrize("part", [".", "_internal"])
def test_once_others_may_put_files_beside_the_program_nothing_is_answered_again(setting: Setting, part: str) -> None:
    assert signed(setting).code == 0
    folder = setting.program.path.parent / part
    mode = folder.stat().st_mode
    folder.chmod(0o777)
    try:
        assert signed(setting).code == 11
    finally:
        folder.chmod(mode)


@pytest.mark.parametrize("dead", ["output", "output of nobody", "full"])
def test_output_that_cannot_be_written_changes_no_exit_code(setting: Setting, dead: str) -> None:
    assert signed(setting).code == 0
    words = [str(setting.program.path), *plugin_words(setting.signed_name, str(setting.signed.digest))]
    stdin = descriptor(str(setting.signed.digest), setting.signed.size)
    ends = os.pipe()
    os.close(ends[0])
    with open("/dev/full", "wb") as full:
        output = {"output": None, "output of nobody": ends[1], "full": full}[dead]
        if dead == "output":
            words = ["/bin/sh", "-c", 'exec "$0" "$@" >&-', *words]
        with filled(stdin) as given:
            done = subprocess.run(words, stdin=given, stdout=output, env={}, check=False)
    os.close(ends[1])
    assert done.returncode == 0
    assert doors(setting)[-1] == "answer"


def in_pieces(setting: Setting, expected: Done, *, late: bool) -> float:
    """Ask with input in two pieces, the first one `late` if the fast path shall have given up waiting for it.

    Seconds from the first piece to the second, as the program saw them at most.
    """
    content = descriptor(str(setting.signed.digest), setting.signed.size)
    words = [str(setting.program.path), *plugin_words(setting.signed_name, str(setting.signed.digest))]
    reading, writing = os.pipe()
    try:
        os.set_blocking(reading, False)
        if not late:
            os.write(writing, content[:20])
        with subprocess.Popen(words, stdin=reading, stdout=subprocess.PIPE, env={}) as process:
            assert process.stdout is not None
            end = time.monotonic() + 60
            if late:
                while not os.get_blocking(reading):  # so the fast path leaves it
                    assert time.monotonic() < end
                    time.sleep(0.001)
                os.write(writing, content[:20])
                time.sleep(0.02)
            unread = time.monotonic()
            while not late and unread_bytes(reading):
                unread = time.monotonic()
                assert unread < end
                time.sleep(0.0005)
            os.write(writing, content[20:])
            written = time.monotonic()
            assert process.stdout.read().decode() == expected.out  # the pipe stays open
            assert process.wait(60) == expected.code
    finally:
        os.close(reading)
        os.close(writing)
    return written - unread


def unread_bytes(pipe: int) -> int:
    """How many are in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_input_that_comes_late_gets_the_same_answer(setting: Setting) -> None:
    in_pieces(setting, signed(setting), late=True)
    assert doors(setting) == ["plugin", "plugin"]


def test_input_that_comes_in_pieces_gets_the_same_answer(setting: Setting) -> None:
    expected = signed(setting)
    for _ in range(20):
        if in_pieces(setting, expected, late=False) < 0.03:  # or it may have given up waiting, for all that we know
            break
    assert doors(setting)[-1] == "answer"


def test_what_is_no_descriptor_is_refused_however_often_it_was_answered(setting: Setting) -> None:
    signed(setting)
    words = plugin_words(setting.signed_name, str(setting.signed.digest))
    other = descriptor(str(setting.unsigned.digest), setting.unsigned.size)
    with filled(other) as given:
        done = subprocess.run(
            [str(setting.program.path), *words], stdin=given, capture_output=True, env={}, check=False
        )
    assert done.returncode == 2
