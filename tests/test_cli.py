"""The command line: which mode, which exit code, what a person is told."""

import errno
import io
import os
import re
import subprocess
import sys
from typing import NoReturn

import pytest

from agent import __version__, cli
from agent.errors import (
    Cause,
    ConfigurationError,
    Exit,
    HostError,
    LimitExceeded,
    Malformed,
    NodesealError,
    Problem,
    Unavailable,
    UsageError,
)
from agent.modes import plugin, verify

UNAVAILABLE = Unavailable("registry.example.com: connection refused", cause=Cause.REGISTRY_UNAVAILABLE)


def run(*words: str) -> int:
    """Run the command line; the exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def failing_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a command that raises `error`."""

    def fail(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(verify, "handle", fail)
    return run("verify", "registry.example.com/a:1")


def test_version_is_printed_either_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("version") == run("--version") == 0
    assert capsys.readouterr().out == f"nodeseal {__version__}\n" * 2


def test_command_that_is_named_is_the_only_one_that_is_imported(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    assert re.findall(r"^ {4}(\S+)", capsys.readouterr().out, re.MULTILINE) == list(cli.COMMANDS)
    script = (
        "import sys\nfrom agent import cli\n"
        "try: cli.main(['nodeseal', 'watch', '--help'])\n"
        "finally: print([name for name in sys.argv[1:] if f'agent.modes.{name}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, *cli.COMMANDS.values()], capture_output=True, check=True)
    assert done.stdout.decode().splitlines()[-1] == "['watch']"


@pytest.mark.parametrize("words", [(), ("verify",), ("config",), ("config", "check"), ("config", "apply")], ids=str)
def test_help_names_every_command_argument_and_exit_code(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words, "--help") == 0
    told = capsys.readouterr().out
    expected = {
        (): ("verify", "config", "version", "70 bug"),
        ("verify",): ("IMAGE", "--config", "--root", "--format", "--explain", "--timeout", "11 cannot tell"),
        ("config",): ("check", "apply", "schema"),
        ("config", "check"): ("DIR|FILE", "--format", "3 configuration"),
        ("config", "apply"): ("DIR|FILE", "--root", "5 host operation failed"),
    }
    assert [word for word in expected[words] if word not in told] == []


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nonsense",),
        ("verify",),
        ("verify", "a", "b"),
        ("verify", "--format", "xml", "a"),
        ("config",),
        ("-digest", "x"),
    ],
    ids=str,
)
def test_wrong_command_line_is_a_usage_error(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == Exit.USAGE
    assert "usage: nodeseal" in capsys.readouterr().err


def test_containerds_flags_choose_plugin_mode_and_nothing_else_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def record(argv: list[str], environment: object, *, frozen: bool) -> NoReturn:
        seen.append((argv[1:], frozen))
        raise SystemExit(Exit.DENY)

    monkeypatch.setattr(plugin, "run", record)
    assert run("verify", "--name", "x") != 0
    assert seen == [(["verify", "--name", "x"], False)]


def test_plugin_mode_that_returns_is_a_bug_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "run", lambda *_, **__: None)
    assert run("-name", "x") == Exit.BUG


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), Exit.USAGE),
        (ConfigurationError("x"), Exit.CONFIGURATION),
        (HostError("x"), Exit.HOST),
        (UNAVAILABLE, Exit.CANNOT_TELL),
        (Malformed("x"), Exit.DENY),
        (LimitExceeded("x"), Exit.DENY),
        (NodesealError("x"), Exit.BUG),
        (KeyboardInterrupt(), Exit.CANNOT_TELL),
        (SystemExit(None), Exit.USAGE),
        (SystemExit("text"), Exit.USAGE),
        (ValueError("x"), Exit.BUG),
        (MemoryError(), Exit.BUG),
        (RecursionError(), Exit.BUG),
        (GeneratorExit(), Exit.BUG),
    ],
    ids=repr,
)
def test_every_error_has_an_exit_code_and_none_is_zero(
    error: BaseException, code: Exit, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failing_with(error, monkeypatch) == code != 0


def test_configuration_error_tells_every_problem_and_the_next_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = (Problem("store.plugins[0].name", "'x'", "'oras'"), Problem("policy", "nothing", "an object"))
    failing_with(ConfigurationError("config.json can't be used", problems=problems, hint="correct it"), monkeypatch)
    assert capsys.readouterr().err == (
        "nodeseal: config.json can't be used\n"
        f"nodeseal:   {problems[0]}\n"
        f"nodeseal:   {problems[1]}\n"
        "nodeseal: next step: correct it\n"
    )


def test_bug_says_where_and_not_what_it_held(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing_with(KeyError("password=hunter2"), monkeypatch)
    told = capsys.readouterr().err
    assert told.startswith("nodeseal: internal error: unexpected KeyError at tests.test_cli:")
    assert "hunter2" not in told


def test_control_characters_from_outside_do_not_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing_with(HostError("\x1b[2J\nnodeseal: all is well"), monkeypatch)
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert told.count("\n") == 1


class Gone(io.StringIO):
    """A stream whose reader went away."""

    def write(self, text: str) -> int:
        """Refuse."""
        raise BrokenPipeError

    def flush(self) -> None:
        """Refuse."""
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [Gone, lambda: None], ids=["reader gone", "closed"])
def test_nobody_listening_changes_no_exit_code(monkeypatch: pytest.MonkeyPatch, stream: object) -> None:
    assert callable(stream)
    moved: list[int] = []
    monkeypatch.setattr(os, "dup2", lambda _, target: moved.append(target))
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setattr(sys, "stdout", stream())
    assert failing_with(HostError("x"), monkeypatch) == Exit.HOST
    assert moved == [1, 2]


class Full(io.StringIO):
    """A stream to a disk that is full: told at once, or only at the end."""

    def __init__(self, *, late: bool) -> None:
        """`late` is whether it is told at the end."""
        super().__init__()
        self._late = late

    def write(self, text: str) -> int:
        """Refuse, or keep it."""
        return super().write(text) if self._late else self._refuse()

    def flush(self) -> None:
        """Refuse."""
        self._refuse()

    def _refuse(self) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("late", [False, True])
def test_output_that_did_not_get_out_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], late: bool
) -> None:
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    monkeypatch.setattr(sys, "stdout", Full(late=late))
    assert run("config", "schema") == Exit.HOST
    assert capsys.readouterr().err == (
        "nodeseal: standard output: got No space left on device; expected room for all that is printed\n"
        "nodeseal: next step: make room, or print elsewhere\n"
    )


def test_output_that_did_not_get_out_makes_no_other_exit_code_a_better_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    monkeypatch.setattr(sys, "stdout", Full(late=True))
    monkeypatch.setattr(verify, "handle", lambda *_: Exit.DENY)
    assert run("verify", "registry.example.com/a:1") == Exit.DENY


def test_words_that_a_command_does_not_know_are_told_as_that_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cache", "list", "--all", "x") == Exit.USAGE
    told = capsys.readouterr().err
    assert told.startswith("usage: nodeseal cache list ")
    assert told.endswith("error: got --all x, which it does not know; see nodeseal cache list --help\n")


def test_console_script_takes_the_processs_own_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["nodeseal", "version"])
    with pytest.raises(SystemExit) as ended:
        cli.entry()
    assert ended.value.code == 0


def test_reader_who_leaves_before_the_end_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing_with(BrokenPipeError(), monkeypatch) == Exit.HOST
    assert "got a reader that went away; expected one that reads to the end" in capsys.readouterr().err
