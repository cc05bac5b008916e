"""`nodeseal cache`: what is remembered, counted, listed and forgotten."""

import errno
import json
import os
import pathlib
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import NoReturn

import pytest

from agent import cli
from agent.adapters import answers, revocation_cache, verdicts
from agent.adapters.inline import run
from agent.adapters.verdicts import VerdictCatalogue, VerdictFolder
from agent.errors import Cause, Code
from agent.model.verdict import Decision, Known, Memory, Remembered, Verdict

NOW = datetime.now(timezone.utc)
HOUR = timedelta(hours=1)
ONE, TWO, THREE = (f"r.example/{path}@sha256:{n * 64}" for path, n in (("a", "1"), ("a", "2"), ("b", "1")))
ALLOWED = Memory(Remembered(NOW, NOW + HOUR), Known(Verdict(Decision.ALLOW, Code.VERIFIED, "ok"), NOW, NOW + HOUR))
DENIED = Memory(last=Known(Verdict(Decision.DENY, Code.NO_EVIDENCE, "none\x1b"), NOW, NOW + HOUR, 3))
LAPSED = Memory(
    Remembered(NOW - HOUR, None),
    Known(Verdict(Decision.CANNOT_TELL, Code.DEADLINE, "slow", (Cause.DEADLINE,)), NOW - HOUR, NOW - HOUR / 2),
)

Cache = Callable[..., tuple[int, str, str]]


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A node on which three images were judged, one answer and one word about revocation kept."""
    store = VerdictFolder(str(tmp_path))
    for image, memory in ((ONE, ALLOWED), (TWO, DENIED), (THREE, LAPSED)):
        run(store.remember("g", image, memory))
    run(store.doubt("g", "CN=a", NOW - 2 * HOUR))
    for folder in (answers.FOLDER, revocation_cache.CACHE):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x").write_text("12345")
        os.utime(tmp_path / folder / "x", (NOW.timestamp() - 7200,) * 2)
    return tmp_path


@pytest.fixture
def cache(root: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Cache:
    """Runs the command."""

    def run_it(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", "cache", words[0], "--root", str(root), *words[1:]])
        assert isinstance(ended.value.code, int)
        return ended.value.code, *capsys.readouterr()

    return run_it


def listed(cache: Cache) -> list[str]:
    """The images that are remembered."""
    return [each["image"] for each in json.loads(cache("list", "--format", "json")[1])["images"]]


def test_what_is_remembered_is_counted_by_kind_and_by_what_is_said_next(cache: Cache) -> None:
    code, out, err = cache("stats")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "answers     1 file(s), 5 bytes, oldest 2 h, newest 2 h"
    assert lines[1].startswith("verdicts    3 file(s), ")
    assert lines[2].startswith("doubts      1 file(s), ")
    assert lines[3:] == [
        "revocation  1 file(s), 5 bytes, oldest 2 h, newest 2 h",
        *(f"{kind:11} 0 file(s), 0 bytes" for kind in ("content", "listings", "tokens", "throttled")),
        "images      1 allow",
        "images      1 deny",
        "images      1 verified before",
    ]


def test_programs_get_the_same_count(cache: Cache) -> None:
    value = json.loads(cache("stats", "--format", "json")[1])
    assert value["schemaVersion"] == "1"
    kept = value["sizes"]["answers"]
    assert (kept["files"], kept["bytes"]) == (1, 5)
    assert kept["oldestSeconds"] == kept["newestSeconds"] >= 7200
    assert value["sizes"]["tokens"] == {"files": 0, "bytes": 0, "oldestSeconds": None, "newestSeconds": None}
    assert value["misses"] == {}
    assert value["images"] == {"allow": 1, "deny": 1, "verified before": 1}


def test_images_are_listed_with_what_was_said_and_until_when(cache: Cache) -> None:
    code, out, _ = cache("list")
    assert code == 0
    lines = out.splitlines()
    assert lines[0::2] == [ONE, TWO, THREE]
    assert lines[1].startswith(f"    allow NS-0001, until {NOW + HOUR:%Y-%m-%dT%H:%M:%SZ}: ok; verified {NOW:%Y-%m-%d}")
    assert lines[3].startswith("    deny NS-2001, until ")
    assert "\x1b" not in out
    assert lines[5].startswith("    cannot tell NS-3005, asked again at the next pull: slow; verified ")


def test_programs_get_every_field(cache: Cache) -> None:
    value = json.loads(cache("list", "--format", "json")[1])
    denied = value["images"][1]
    assert denied == {
        "image": TWO,
        "ground": "g",
        "next": "deny",
        "decision": "deny",
        "code": "NS-2001",
        "message": "none\x1b",
        "at": NOW.isoformat(),
        "freshUntil": (NOW + HOUR).isoformat(),
        "repeats": 3,
        "verifiedAt": None,
        "usableUntil": None,
    }


def test_one_image_is_forgotten_by_digest_and_answers_with_it(cache: Cache, root: pathlib.Path) -> None:
    code, out, _ = cache("forget", ONE)
    assert (code, out) == (0, f"forgotten: {ONE}, 1 verdict(s); the next pull asks again\n")
    assert listed(cache) == [TWO, THREE]
    assert list((root / answers.FOLDER).iterdir()) == []


@pytest.mark.parametrize("name", ["r.example/a", "r.example/a:1.2"])
def test_without_a_digest_all_images_of_the_repository_are_forgotten(cache: Cache, name: str) -> None:
    code, out, _ = cache("forget", name)
    assert (code, out) == (0, "forgotten: r.example/a, 2 verdict(s); the next pull asks again\n")
    assert listed(cache) == [THREE]


def test_an_image_that_is_not_remembered_is_said_so(cache: Cache) -> None:
    code, out, _ = cache("forget", "r.example/c:1")
    assert code == 0
    assert out.startswith("nothing was remembered of r.example/c\nnext step: ")
    assert len(listed(cache)) == 3


def test_a_name_that_is_none_is_a_usage_error(cache: Cache) -> None:
    assert cache("forget", "r.example/UPPER")[0] == 2


def test_everything_is_forgotten(cache: Cache, root: pathlib.Path) -> None:
    assert cache("clear")[:2] == (0, "forgotten: 6 file(s)\n")
    assert cache("list")[1] == "nothing is remembered\n"
    assert cache("clear")[:2] == (0, "forgotten: 0 file(s)\n")
    assert not (root / revocation_cache.CACHE).exists()


def test_what_is_damaged_is_left_out_of_the_list_and_forgotten_with_everything(
    cache: Cache, root: pathlib.Path
) -> None:
    for path in (root / verdicts.FOLDER).iterdir():
        os.truncate(path, 10)
    assert listed(cache) == []
    assert cache("forget", ONE)[0] == 0
    assert cache("clear")[1] == "forgotten: 5 file(s)\n"


@pytest.mark.parametrize("words", [("stats",), ("list",), ("forget", ONE), ("clear",)])
def test_a_folder_that_is_none_is_told(cache: Cache, root: pathlib.Path, words: tuple[str, ...]) -> None:
    cache("clear")
    (root / "var/cache/nodeseal").rename(root / "elsewhere")
    (root / "var/cache/nodeseal").write_text("a file")
    code, _, err = cache(*words)
    assert code == 5
    assert "next step: run as the user that owns the folder" in err


def test_folder_that_may_not_be_read_is_named_itself(
    cache: Cache, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = f"{root}/var/cache/nodeseal/verdicts"

    def fail(_: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)

    monkeypatch.setattr(VerdictCatalogue, "entries", fail)
    code, _, err = cache("list")
    assert (code, err.startswith(f"nodeseal: {folder}: got Permission denied; expected to read")) == (5, True)
