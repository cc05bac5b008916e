"""`nodeseal doctor`: words that do not go together, and how what was mended is told."""

import json
import pathlib
from collections.abc import Callable

import pytest

from agent import cli
from agent.modes import mending
from agent.modes.mending import Mended


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    """The exit code, and what was said on both outputs."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "doctor", *words])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--canary-port", "5000"], "--canary-port: got it alone; expected --prove or --fix beside it"),
        (["--prove", "--canary-port", "65536"], "--canary-port: got 65536; expected a number below 65536"),
        (["--prove", "--canary-port", "-1"], "--canary-port: got -1; expected a number below 65536"),
        (["--dry-run"], "got them alone; expected --fix beside them"),
        (["--no-restart"], "got them alone; expected --fix beside them"),
        (["--in-turn"], "got them alone; expected --fix beside them"),
    ],
)
def test_words_that_need_others_are_refused_without_them(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    code, out, err = asked(capsys, *words)
    assert (code, out) == (2, "")
    assert message in err


@pytest.fixture
def host(tmp_path: pathlib.Path) -> list[str]:
    """The options of a host that has nothing."""
    (tmp_path / "etc").mkdir()
    return ["--root", str(tmp_path), "--host", str(tmp_path)]


def will_mend(monkeypatch: pytest.MonkeyPatch, found: Mended) -> dict[str, object]:
    """Have a mender find this; how it was told to go about it."""
    asked_for: dict[str, object] = {}

    def mended(asked: object, tell: Callable[[str], None], **how: object) -> Mended:
        asked_for.update(how)
        tell("restarting containerd.service: a setting\x1b[0m")
        return found

    monkeypatch.setattr(mending, "mended", mended)
    return asked_for


def test_what_was_mended_and_what_is_left_is_told_line_by_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: list[str]
) -> None:
    found = Mended(("set x back",), "+x = 1\n", left=("take y out",), pending="its configuration changed")
    how = will_mend(monkeypatch, found)
    code, out, _ = asked(capsys, "--fix", "--no-restart", "--canary-port", "40001", *host)
    assert code == 12
    assert how == {"restart": False, "dry": False, "taken": None, "port": 40001}
    assert out.startswith(
        "restarting containerd.service: a setting\\x1b[0m\n"
        "to do by hand: take y out\n"
        "to do by hand: restart containerd: its configuration changed\n"
        "\n"
    )


def test_a_dry_run_tells_each_step_and_the_diff(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: list[str]
) -> None:
    how = will_mend(monkeypatch, Mended(("set x back",), "--- a\n+x = 1\n"))
    _, out, _ = asked(capsys, "--fix", "--dry-run", *host)
    assert how["dry"] is True
    assert "would set x back\n--- a\n+x = 1\n" in out
    will_mend(monkeypatch, Mended(nothing="there is nothing that can be mended safely"))
    _, out, _ = asked(capsys, "--fix", *host)
    assert "nothing was mended: there is nothing that can be mended safely\n" in out


def test_programs_get_what_was_mended_with_the_findings_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: list[str]
) -> None:
    found = Mended(("set x back",), "+x = 1\n", restarted=True)
    will_mend(monkeypatch, found)
    code, out, _ = asked(capsys, "--fix", "--format", "json", *host)
    told = json.loads(out)
    assert code == 12
    assert told["fix"] == found.as_json()
    assert told["findings"]
