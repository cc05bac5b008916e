"""containerd's words: flags, standard input, and what ends the process."""

import os
import pathlib
import select
import subprocess
import sys
import threading
import time
from typing import Iterator, NamedTuple

import pytest

from agent.adapters.snapshots import SnapshotStore
from agent.errors import UsageError
from agent.model.descriptor import Descriptor
from agent.modes import plugin
from agent.modes.config import load_for_person
from agent.modes.plugin import Arguments, is_plugin, parse_arguments, read_descriptor
from tests.frozen.program import descriptor, plugin_words
from tests.signing import attach_signature, envelope, usual_signer, write_config
from tests.simulators.registry import RegistrySimulator

GOOD = ["nodeseal", "-name", "n", "-digest", "d", "-stdin-media-type", "t"]


@pytest.mark.parametrize(
    ("argv", "mode"),
    [
        (GOOD, True),
        (["x", "--name", "n"], True),
        (["x", "--name=n"], True),
        (["x", "verify", "-name=n"], True),
        (["-name"], False),
        (["x", "verify", "n"], False),
        (["x", "--names", "n"], False),
        (["x"], False),
    ],
    ids=str,
)
def test_plugin_mode_if_and_only_if_a_name_is_given(argv: list[str], mode: bool) -> None:
    assert is_plugin(argv) is mode


@pytest.mark.parametrize(
    "argv",
    [
        GOOD,
        ["x", "-stdin-media-type=t", "-digest=d", "-name=n"],
        ["x", "--name", "n", "--digest=d", "--stdin-media-type", "t"],
        ["x", "-new", "value", *GOOD[1:]],
        ["x", "-new", *GOOD[1:]],
        ["x", "-new=value", *GOOD[1:], "-other"],
        ["x", "stray", *GOOD[1:], "words"],
    ],
    ids=str,
)
def test_flags_are_read_in_any_order_and_unknown_ones_are_ignored(argv: list[str]) -> None:
    assert parse_arguments(argv) == Arguments("n", "d", "t")


@pytest.mark.parametrize(
    "argv",
    [
        ["x", "-name", "n"],
        ["x", "-name", "-digest", "d", "-stdin-media-type", "t"],
        ["x", *GOOD[1:], "-name", "m"],
        ["x", *GOOD[1:], "--digest=e"],
        ["x", "-name", "n", "-digest", "d", "-stdin-media-type"],
    ],
    ids=str,
)
def test_flag_that_is_missing_or_empty_or_there_twice_is_a_usage_error(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_arguments(argv)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes may be kept from the processor."""
    monkeypatch.setattr(plugin, "_STDIN_SECONDS", 60.0)


def given_input(*pieces: bytes, close: bool = True) -> object:
    """Read standard input from a pipe that gets pieces one after another."""
    reading, writing = os.pipe()

    def write() -> None:
        for piece in pieces:
            try:
                os.write(writing, piece)
            except OSError:
                break
            time.sleep(0.02)
        if close:
            os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return read_descriptor(reading)[0]
    finally:
        os.close(reading)
        writer.join()
        if not close:
            os.close(writing)


@pytest.mark.parametrize("pieces", [[b'{"a":1}\n'], [b'{"a"', b":1", b"}"], [b'{"a":1}', b"\n"], [b' \n{"a":1}']])
@pytest.mark.parametrize("close", [True, False])
def test_one_object_is_read_however_it_comes_and_whether_the_pipe_is_closed(pieces: list[bytes], close: bool) -> None:
    assert given_input(*pieces, close=close) == {"a": 1}


def test_object_that_ends_in_the_middle_of_a_piece_of_another_is_read_whole() -> None:
    assert given_input(b'{"a":{"b":1}', b"}", close=False) == {"a": {"b": 1}}


@pytest.mark.parametrize("content", [b"", b"\n", b"{", b"[1,2", b'{"a":1}{"b":2}', b"\xff}", b'{"a":1,"a":2}'])
def test_anything_else_is_a_usage_error(content: bytes) -> None:
    with pytest.raises(UsageError):
        given_input(content)


def test_no_more_is_read_than_the_limit() -> None:
    reading, writing = os.pipe()
    endless = "import sys\nwhile 1: sys.stdout.write(' ' * 65536)"
    process = subprocess.Popen([sys.executable, "-c", endless], stdout=writing, stderr=subprocess.DEVNULL)
    os.close(writing)
    select.select([reading], [], [], 60)  # a full machine takes its time to start the writer
    with pytest.raises(UsageError, match="expected at most 65536"):
        read_descriptor(reading)
    os.close(reading)
    process.wait(60)


def test_silence_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "_STDIN_SECONDS", 0.1)
    with pytest.raises(UsageError, match="got 0 bytes in 0.1 s"):
        given_input(close=False)


def test_closed_standard_input_is_a_usage_error() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(UsageError):
        read_descriptor(reading)
    os.close(reading)


def ended(script: str, *argv: str, stdin: bytes = b"", seconds: float = 90) -> subprocess.CompletedProcess[bytes]:
    """Run plugin mode in a process of its own, after a script that breaks something in it."""
    program = f"import sys, os\nfrom agent.modes import plugin\n{script}\nplugin.run(sys.argv, {{}}, frozen=False)\n"
    return subprocess.run(
        [sys.executable, "-c", program, *argv], input=stdin, capture_output=True, timeout=seconds, check=False
    )


@pytest.mark.parametrize(
    "raised",
    ["ValueError('secret')", "KeyError(1)", "SystemExit(None)", "SystemExit(0)", "KeyboardInterrupt()", "MemoryError()",
     "RecursionError()", "GeneratorExit()"],
)  # fmt: skip
def test_exception_that_nobody_expected_is_exit_70_and_shows_no_text_of_its_own(raised: str) -> None:
    done = ended(f"def boom(*_): raise {raised}\nplugin._judge = boom", *GOOD[1:])
    assert done.returncode == 70
    assert done.stdout.startswith(b"internal error NS-9001 rule=-: unexpected ")
    assert b"secret" not in done.stdout + done.stderr


def test_deadline_ends_what_hangs_with_our_reason() -> None:
    script = "plugin.DEADLINE = 0.3\nimport time\nplugin._judge = lambda *_: time.sleep(60)"
    done = ended(script, *GOOD[1:])
    assert done.returncode == 11
    assert done.stdout == b"cannot tell NS-3005 rule=-: deadline: no answer within 0.3 s; " \
                          b"see: nodeseal verify --explain n\n"  # fmt: skip


def test_deadline_ends_a_busy_loop_too() -> None:
    script = "plugin.DEADLINE = 0.3\ndef busy(*_):\n    while True: pass\nplugin._judge = busy"
    assert ended(script, *GOOD[1:]).returncode == 11


def test_exactly_one_answer_is_given_when_both_come_at_once() -> None:
    script = "plugin.DEADLINE = 0.2\nimport time\n" \
             "plugin._judge = lambda *_: (time.sleep(0.2), plugin.precedence.bad_request('x'))[1]"  # fmt: skip
    for _ in range(5):
        done = ended(script, *GOOD[1:])
        assert done.stdout.count(b"\n") == 1
        assert done.returncode == (11 if done.stdout.startswith(b"cannot tell") else 2)


class Installed(NamedTuple):
    """A program's place under a root with a configuration, and a registry with a signed and an unsigned image."""

    program: pathlib.Path
    registry: RegistrySimulator
    signed: Descriptor
    unsigned: Descriptor

    def pull(self, repository: str, subject: Descriptor, before: str = "") -> tuple[int, str]:
        """Run plugin mode to its end, after a script: the exit code, and the line."""
        name = f"{self.registry.host}/{repository}:1"
        words = plugin_words(name, str(subject.digest))
        script = (
            "import sys\nfrom agent.modes import place, plugin\nplugin.DEADLINE = plugin._STDIN_SECONDS = 60.0\n"
            f"place.running_program = lambda: {str(self.program)!r}\n{before}\n"
            "plugin.run(sys.argv, {}, frozen=True)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, *words],
            input=descriptor(str(subject.digest), subject.size), capture_output=True, timeout=90, check=False,
        )  # fmt: skip
        assert done.stderr == b""
        return done.returncode, done.stdout.decode()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """One for all of them."""
    root = tmp_path_factory.mktemp("installed")
    program = root / "opt" / "nodeseal" / "1" / "nodeseal"
    (program.parent / "_internal").mkdir(parents=True)
    program.touch()
    trusted = usual_signer()
    with RegistrySimulator() as registry:
        signed, unsigned = (registry.push_image(f"team/{salt}", "1", salt=salt) for salt in ("signed", "unsigned"))
        attach_signature(registry, "team/signed", signed, envelope(trusted, signed))
        config = write_config(root / "config", trusted.root_pem)
        SnapshotStore(str(root)).publish(load_for_person(str(config), "/"))
        yield Installed(program, registry, signed, unsigned)


def test_pull_of_a_signed_image_is_allowed_under_the_programs_own_root(installed: Installed) -> None:
    code, line = installed.pull("team/signed", installed.signed)
    assert code == 0
    assert line.startswith("allow NS-0001 rule=default ground=verified: 1 of 1 signatures verified")


def test_pull_of_an_unsigned_image_is_denied(installed: Installed) -> None:
    code, line = installed.pull("team/unsigned", installed.unsigned)
    assert (code, line[:12]) == (10, "deny NS-2001")


def test_pull_of_the_canary_is_denied_without_a_request(installed: Installed) -> None:
    before = len(installed.registry.seen)
    code, line = installed.pull("nodeseal-canary", installed.signed)
    assert (code, line[:12]) == (10, "deny NS-1001")
    assert len(installed.registry.seen) == before


def test_program_that_others_may_write_is_not_believed(installed: Installed) -> None:
    installed.program.chmod(0o666)
    try:
        code, line = installed.pull("team/signed", installed.signed)
    finally:
        installed.program.chmod(0o755)
    assert code == 11
    assert line.startswith("cannot tell NS-3007 rule=-: configurationInvalid: ")


def test_pull_before_anything_is_published_is_cannot_tell(installed: Installed) -> None:
    state = installed.program.parents[3] / "var" / "lib"
    state.rename(state.with_name("elsewhere"))
    try:
        code, line = installed.pull("team/signed", installed.signed)
        canary = installed.pull("nodeseal-canary", installed.signed)
    finally:
        state.with_name("elsewhere").rename(state)
    assert (code, line[:19]) == (11, "cannot tell NS-3006")
    assert canary[0] == 10


def test_policy_that_content_keeps_busy_is_denied_before_the_deadline(
    installed: Installed, tmp_path: pathlib.Path
) -> None:
    """A deadline would be "cannot tell"."""
    program = tmp_path / "opt" / "nodeseal" / "1" / "nodeseal"
    (program.parent / "_internal").mkdir(parents=True)
    program.touch()
    signer, image = usual_signer(), installed.registry.push_image("team/busy", "1", salt="busy")
    attach_signature(installed.registry, "team/busy", image, envelope(signer, image))
    policy = {
        "name": "regoPolicy",
        "policy": "package ratify.policy\nvalid { n := numbers.range(1, 5000); n[_] + n[_] == 0 }\n",
    }
    config = write_config(tmp_path / "config", signer.root_pem, policy=policy)
    SnapshotStore(str(tmp_path)).publish(load_for_person(str(config), "/"))
    node = installed._replace(program=program)
    code, line = node.pull("team/busy", image, "plugin.DEADLINE = 3.0  # as long as an evaluation may take")
    assert (code, line[:12]) == (10, "deny NS-2008"), line


@pytest.mark.parametrize("policy", ["configpolicy", "threshold", "regopolicy"])
def test_modules_behind_the_cold_door(policy: str) -> None:
    """What containerd's child loads for a whole verification: none of the slow ones, unless something changed."""
    script = f"""
import sys
from agent.modes.lean import load_less
load_less()
import agent.modes.plugin, agent.modes.place, agent.adapters.snapshots, agent.adapters.inline, agent.engine
import agent.judgement, agent.modes.registry_access, agent.formats.notation, agent.policies.{policy}
import agent.adapters.policy_worker
slow = ("dataclasses", "inspect", "logging", "structlog", "yaml", "asyncio", "anyio", "aiohttp", "jsonschema",
        "argparse", "pathlib", "tempfile", "subprocess", "shutil", "multiprocessing", "unittest", "urllib.request",
        "agent.codec.pem", "agent.config.schema", "agent.config.ratify", "agent.modes.verify", "importlib.metadata",
        "decimal", "publicsuffixlist", "agent.adapters.credentials", "agent.registry.credentials",
        "agent.registry.login", "agent.registry.tokens", "agent.registry.realms", "agent.registry.challenge",
        "agent.registry.secret", "agent.rego.compiler", "agent.rego.lexer", "difflib", "re2", "resource",
        "prometheus_client", "agent.formats.cosign", "agent.trust.publickeys", "agent.codec.dsse")
print(sorted(name for name in slow if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-I", "-c", f"import sys\nsys.path.insert(0, {os.getcwd()!r})\n" + script],
                          capture_output=True, text=True, check=True, env={})  # fmt: skip
    assert done.stdout == "[]\n"


def test_cosign_costs_an_image_without_its_evidence_next_to_nothing() -> None:
    """A verifier that is asked what it looks for: neither cryptography nor what reads a layout."""
    script = """
import sys
from agent.modes.lean import load_less
load_less()
import agent.modes.plugin, agent.modes.registry_access, agent.engine, agent.policies.threshold
before = set(sys.modules)
from agent.formats import format_class
settings = {"policies": [{"name": "", "scopes": ["*"], "keys": ["0" * 64], "annotations": {}}], "tags": True}
form = format_class("cosign").load("shop-key", settings, {"0" * 64: b""})
assert form.tags and form.exemption(None) is None
print(sorted(set(sys.modules) - before - {"agent.trust"}))
"""
    done = subprocess.run([sys.executable, "-I", "-c", f"import sys\nsys.path.insert(0, {os.getcwd()!r})\n" + script],
                          capture_output=True, text=True, check=True, env={})  # fmt: skip
    assert done.stdout == "['agent.formats.cosign', 'agent.trust.signingpolicy']\n"
