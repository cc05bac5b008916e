"""A program that lies elsewhere, with `paths.json` beside it: the same answers at all doors, from the root it says."""

import json
import pathlib
from collections.abc import Iterator

import pytest

from agent import __version__
from agent.wiring import paths
from tests.commands import Done
from tests.frozen.daemon import Daemon
from tests.frozen.program import plugin_words
from tests.frozen.scenarios import Scenario
from tests.frozen.world import SIGNED, UNSIGNED, Pull, World, pull_of, world_in

pytestmark = pytest.mark.frozen

SAME = Scenario("paths", 0, "").constant
"""What of a line is the same each time."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A node whose program is in another folder; its place tells a third root, in which nothing is."""
    with world_in(tmp_path_factory.mktemp("paths")) as world:
        elsewhere = world.folder / "third/opt/nodeseal"
        elsewhere.mkdir(parents=True)
        world.program.path.parent.rename(elsewhere / __version__)
        world.program.path = elsewhere / __version__ / "nodeseal"
        yield world


def say(world: World, content: bytes) -> pathlib.Path:
    """Write the file beside the program."""
    path = world.program.path.parent / paths.NAME
    path.write_bytes(content)
    path.chmod(0o644)
    return path


@pytest.fixture(scope="module")
def daemon(world: World) -> Iterator[Daemon]:
    """Its daemon."""
    with Daemon(world.program) as daemon:
        yield daemon


FORMS = {
    "as it is installed": lambda root: paths.encode(str(root)),
    "as a person writes it": lambda root: json.dumps({"root": str(root), "schemaVersion": "1"}, indent=2).encode(),
}


def afresh(world: World, pull: Pull) -> Done:
    """What comes of a pull of which nothing is kept."""
    world.program.forget()
    return pull.run(world)


@pytest.mark.parametrize("form", FORMS)
def test_every_door_answers_from_the_root_that_it_says(world: World, daemon: Daemon, form: str) -> None:
    say(world, FORMS[form](world.root))
    doors: dict[str, list[str]] = {}
    for kind, code in ((SIGNED, 0), (UNSIGNED, 10)):
        repository = f"case/paths-{len(kind)}-{len(form)}"
        pull = pull_of(world, repository, world.image(repository, kind))
        world.program.forget()
        world.spooled()
        with daemon.hidden():
            alone, again = pull.run(world), pull.run(world)
        asked = daemon.unhindered(lambda pull=pull: afresh(world, pull))  # type: ignore[misc]
        lines = {(each.code, SAME(each.out)) for each in (alone, again, asked)}
        assert lines == {(code, SAME(alone.out))}
        spooled = [str(record["door"]) for record in world.spooled()]
        doors[kind] = [*spooled[:2], spooled[-1]]
        said = world.program.person("verify", f"{world.registry.host}/{repository}:1")
        assert said.code == code, said
    fast = form == "as it is installed"
    assert doors[SIGNED] == (["plugin", "answer", "daemon"] if fast else ["plugin", "plugin", "plugin"])
    assert json.loads(world.program.person("status", "--format", "json").out)["generation"]


@pytest.mark.parametrize("defect", ["others may write it", "nonsense", "root is not there"])
def test_file_that_can_not_be_believed_blocks_and_no_other_root_is_taken(
    world: World, daemon: Daemon, defect: str
) -> None:
    path = say(world, paths.encode(str(world.root if defect != "root is not there" else world.folder / "nowhere")))
    if defect == "nonsense":
        path.write_bytes(b"{}")
    elif defect == "others may write it":
        path.chmod(0o666)
    image = world.image("case/blocked", SIGNED)
    pull = pull_of(world, "case/blocked", image)
    done = pull.run(world)
    assert done.code == 11
    assert "paths.json" in done.out
    assert world.program.person("status").code == 5
    canary = Pull(plugin_words("127.0.0.1:1/nodeseal-canary:nonce", str(image.digest)), b"").run(world)
    assert canary.code == 10, "the canary is refused whatever else is wrong"
