"""Two versions of the program on one host root, in both directions: each answers rightly, or says that it cannot tell.

The older one is what is built here; the newer one has another version number, or every form on disk and on the socket
stepped as well (`tests.testbed.versions`).  Whatever one finds of the other's is used, or is a miss, the cold door, or
no configuration: never a wrong answer, a bug, or a file of the other's that is gone.
"""

import json
import os
import pathlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from agent.config.canonical import FORMAT_VERSION
from agent.model.descriptor import Descriptor
from agent.rules.lists import BUILT_IN
from tests.commands import Done
from tests.frozen.daemon import STARTING, Daemon
from tests.frozen.program import Program
from tests.signing import attach_signature, envelope, usual_signer, write_config
from tests.simulators.registry import RegistrySimulator
from tests.testbed import versions
from tests.testbed.versions import NEXT, STEPPED

pytestmark = [pytest.mark.full, pytest.mark.frozen, pytest.mark.timeout(600)]

PAUSE = ("registry.k8s.io/pause:3.10.2", BUILT_IN[0].digests[-1])
MISSING = "cannot tell NS-3006 "
ASKED = (
    ("status",), ("version",), ("cache", "stats"), ("break-glass", "list"), ("doctor",),
    ("support-bundle", "--output", "bundle.tar.gz"),
)  # fmt: skip
"""What people ask of a node; each is told which root."""


class Pair(NamedTuple):
    """Both versions under one root; the registry has an image that is signed and one that is not."""

    kind: str
    old: Program
    new: Program
    registry: RegistrySimulator
    signed: Descriptor
    unsigned: Descriptor
    config: pathlib.Path

    def programs(self, first: str) -> tuple[Program, Program]:
        """The one that acts first, and the other."""
        return (self.old, self.new) if first == "old" else (self.new, self.old)

    def reads(self, by: Program) -> bool:
        """Whether a program reads what the other wrote in its own form."""
        return self.kind == NEXT or by is self.new

    def pull(self, program: Program, name: str) -> Done:
        """Ask a program as containerd does."""
        image = self.signed if name == "signed" else self.unsigned
        return program.pull(f"{self.registry.host}/team/{name}:1", str(image.digest), image.size)

    def kept(self) -> dict[str, int]:
        """Every file of the node's state and what is remembered, by its inode."""
        found = {}
        for folder in ("var/lib/nodeseal", "var/cache/nodeseal", "etc/nodeseal", "run/nodeseal/secrets"):
            for path in (self.old.root / folder).rglob("*"):
                if path.is_file() and path.name not in ("misses", "misses.1"):
                    found[str(path.relative_to(self.old.root))] = path.stat().st_ino
        return found


@pytest.fixture(scope="module", params=[NEXT, STEPPED])
def built(request: pytest.FixtureRequest) -> tuple[str, pathlib.Path]:
    """One of the newer versions."""
    return request.param, versions.built(request.param)


@pytest.fixture
def pair(built: tuple[str, pathlib.Path], tmp_path: pathlib.Path) -> Iterator[Pair]:
    """Nothing is published."""
    kind, folder = built
    trusted = usual_signer()
    with RegistrySimulator() as registry:
        signed = registry.push_image("team/signed", "1", salt="signed")
        unsigned = registry.push_image("team/unsigned", "1", salt="unsigned")
        attach_signature(registry, "team/signed", signed, envelope(trusted, signed))
        config = write_config(tmp_path / "config", trusted.root_pem)
        old, new = Program(tmp_path / "host"), Program(tmp_path / "host", folder, versions.VERSION)
        yield Pair(kind, old, new, registry, signed, unsigned, config)


def right(pair: Pair, program: Program) -> None:
    """It answers rightly, both times: from the network or what is remembered, and again."""
    for _ in range(2):
        assert pair.pull(program, "signed").code == 0
        denied = pair.pull(program, "unsigned")
        assert (denied.code, denied.out[:12]) == (10, "deny NS-2001")


@pytest.mark.parametrize("first", ["old", "new"])
def test_what_one_published_the_other_uses_or_cannot_tell_and_what_it_remembers_stays(pair: Pair, first: str) -> None:
    one, other = pair.programs(first)
    one.apply(pair.config)
    right(pair, one)
    before = pair.kept()
    if pair.reads(other):
        right(pair, other)
    else:
        for name in ("signed", "unsigned"):
            done = pair.pull(other, name)
            assert done.code == 11, done.out
            assert done.out.startswith(MISSING)
        assert other.pull(*PAUSE).code == 0, "exemptions that are built in hold in any case"
    right(pair, one)
    assert before.keys() <= pair.kept().keys(), "nobody removes what is the other's"

    other.apply(pair.config)
    right(pair, other)
    if pair.reads(one):
        right(pair, one)
    misses = other.root / "var/cache/nodeseal/misses"
    assert {line.split()[1] for line in misses.read_text().splitlines()} == {"version"}, "another form, and no more"


@pytest.mark.parametrize("built", [NEXT], indirect=True)
@pytest.mark.parametrize("first", ["old", "new"])
def test_what_one_said_of_an_image_is_nothing_to_a_version_that_judges_otherwise(pair: Pair, first: str) -> None:
    one, other = pair.programs(first)
    pair.new.apply(pair.config)
    assert pair.pull(one, "signed").code == 0
    pair.registry.seen.clear()
    assert pair.pull(other, "signed").code == 0
    assert pair.registry.seen, "it was judged anew"


@pytest.mark.parametrize("serves", ["old", "new"])
def test_daemon_of_one_leaves_children_of_the_other_to_themselves(pair: Pair, serves: str) -> None:
    one, other = pair.programs(serves)
    pair.old.apply(pair.config)
    with Daemon(one) as daemon:
        assert pair.pull(other, "signed").code == 0
        assert pair.pull(other, "unsigned").code == 10
        assert doors(pair) == ["plugin", "plugin"]
        for _ in range(5):  # one that is kept from the processor for a second is done without
            one.forget()
            assert pair.pull(one, "signed").code == 0
            if doors(pair)[-1] != "plugin":
                break
        assert doors(pair)[-1] == "daemon"
        if pair.reads(one):
            other.apply(pair.config)
            right(pair, one)
        assert daemon.stop() == 0
        assert not [event for event in daemon.events() if event["level"] == "error"]
    right(pair, other)


@pytest.mark.parametrize("built", [STEPPED], indirect=True)
def test_daemon_that_follows_a_folder_puts_what_the_other_published_in_force_again(pair: Pair) -> None:
    pair.new.apply(pair.config)
    current = pair.old.root / "var/lib/nodeseal/current"
    published = os.readlink(current)
    assert pair.pull(pair.old, "signed").code == 11
    with Daemon(pair.old, "--config", str(pair.config)):
        end = time.monotonic() + STARTING
        while os.readlink(current) == published:
            assert time.monotonic() < end
            time.sleep(0.05)
        right(pair, pair.old)
    right(pair, pair.new)


@pytest.mark.parametrize("built", [STEPPED], indirect=True)
@pytest.mark.parametrize("first", ["old", "new"])
def test_break_glass_of_one_holds_for_the_other_or_does_not_count(pair: Pair, first: str) -> None:
    one, other = pair.programs(first)
    pair.old.apply(pair.config)
    words = ["--root", str(one.root), "--for", "1h", "--image", f"{pair.registry.host}/team/**", "--reason", "INC-1"]
    assert one.person("break-glass", "on", *words).code == 0
    assert pair.pull(one, "unsigned").out.startswith("allow NS-0005")
    document = one.root / "etc/nodeseal/break-glass.json"
    written = document.read_bytes()
    if pair.reads(other):
        assert pair.pull(other, "unsigned").code == 0
        return
    assert pair.pull(other, "unsigned").code == 10
    refused = other.person("break-glass", "on", *words)
    assert refused.code == 5
    assert "version" in refused.err
    assert "next step: " in refused.err
    assert document.read_bytes() == written


@pytest.mark.parametrize("built", [STEPPED], indirect=True)
@pytest.mark.parametrize("first", ["old", "new"])
def test_nothing_that_people_ask_is_a_bug(pair: Pair, first: str, tmp_path: pathlib.Path) -> None:
    one, other = pair.programs(first)
    one.apply(pair.config)
    right(pair, one)
    for words in ASKED:
        words = (*words[:-1], str(tmp_path / words[-1])) if words[0] == "support-bundle" else words
        root = () if words[0] == "version" else ("--root", str(other.root))
        done = other.person(*words, *root)
        assert done.code not in (1, 2, 70), f"{words}: {done.code}: {done.err}"
        assert "internal error" not in done.out + done.err
    told = other.person("status", "--root", str(other.root)).out
    assert (f"format version {FORMAT_VERSION + 1}; expected {FORMAT_VERSION}" in told) is not pair.reads(other), told


def doors(pair: Pair) -> list[str]:
    """Through which each answer came, in order."""
    lines = (pair.old.root / "var/log/nodeseal/spool.jsonl").read_text().splitlines()
    return [json.loads(line)["door"] for line in lines]
