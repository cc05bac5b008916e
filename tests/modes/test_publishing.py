"""A folder's configuration: published once it is quiet, and when it has changed; what can't be used is told once."""

import json
import os
import pathlib
import shutil
import time
from collections.abc import Awaitable, Callable

import anyio
import pytest

from agent.adapters import nodestate
from agent.adapters.snapshots import SnapshotStore
from agent.errors import HostError, Unavailable
from agent.modes import publishing
from agent.modes.config import Findings, put_in_force
from agent.modes.keys import Keys
from agent.modes.publishing import Publisher
from tests.signing import usual_signer, write_config
from tests.warm import Told

SIGNER, OTHER = usual_signer(), usual_signer("other.example.com", number=4)


class Following:
    """A publisher that follows `folder`."""

    def __init__(self, root: pathlib.Path) -> None:
        """Not yet."""
        self.root = root
        self.folder = root / "config"
        self.log = Told()
        self.bugs: list[Exception] = []
        self.publisher = Publisher(str(self.folder), str(root), self.log, self.bugs.append, {})

    def generation(self) -> str:
        """What is in force, empty for nothing."""
        try:
            return SnapshotStore(str(self.root)).load().generation
        except Unavailable:
            return ""

    def run(self, body: Callable[[], Awaitable[None]]) -> None:
        """Run `body` while it follows, from its first publication on."""

        async def following() -> None:
            with anyio.fail_after(60):
                await self.publisher.publish()
                async with anyio.create_task_group() as group:
                    group.start_soon(self.publisher.run)
                    await body()
                    group.cancel_scope.cancel()

        anyio.run(following)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait."""
        while not is_so():
            await anyio.sleep(0.01)

    async def quiet(self) -> None:
        """Wait until it must have looked, twice."""
        await anyio.sleep(6 * publishing.INTERVAL)


@pytest.fixture
def following(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Following:
    """One that looks often."""
    monkeypatch.setattr(publishing, "INTERVAL", 0.05)
    return Following(tmp_path)


def test_configuration_is_in_force_before_it_is_followed(following: Following) -> None:
    write_config(following.folder, SIGNER.root_pem)
    anyio.run(following.publisher.publish)
    assert following.generation()
    assert following.log.events[-1][1:] == (
        "configuration in force", {"path": str(following.folder), "generation": following.generation()},
    )  # fmt: skip
    assert [event for level, event, _ in following.log.events if level == "warning"] == ["configuration warning"]


def test_change_is_in_force_soon_and_what_does_not_change_is_not_published_again(following: Following) -> None:
    write_config(following.folder, SIGNER.root_pem)

    async def change() -> None:
        first = following.generation()
        await following.quiet()
        assert following.log.count("configuration in force") == 1
        write_config(following.folder, OTHER.root_pem)
        await following.until(lambda: following.generation() not in ("", first))
        await following.quiet()
        assert following.log.count("configuration in force") == 2

    following.run(change)


def test_nothing_is_published_while_somebody_still_writes(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(following.folder, SIGNER.root_pem)

    file, look = following.folder / "config.json", following.publisher._look
    content, written, busy = file.read_text(), 0, False

    def looked() -> object:
        nonlocal written
        if busy and written < 20:  # something more between any two looks
            written += 1
            file.write_text(content[: written * len(content) // 21])
        return look()

    monkeypatch.setattr(following.publisher, "_look", looked)

    async def change() -> None:
        nonlocal busy
        first, busy = following.generation(), True
        await following.until(lambda: written == 20)
        assert following.generation() == first
        file.write_text(content.replace('"any"', '"all"'))
        await following.until(lambda: following.generation() != first)

    following.run(change)
    assert following.log.count("configuration refused") <= 1  # a busy machine may take long to write the last piece


def test_what_can_not_be_used_changes_nothing_and_is_told_once(following: Following) -> None:
    write_config(following.folder, SIGNER.root_pem)

    async def change() -> None:
        first = following.generation()
        (following.folder / "config.json").write_text("{")
        await following.until(lambda: following.log.count("configuration refused") > 0)
        os.utime(following.folder / "config.json", (1, 1))
        await following.quiet()
        assert following.log.count("configuration refused") == 1
        assert following.generation() == first
        value = {"store": {"version": "1.0.0", "plugins": [{"name": "other"}]}, "x": 1}
        (following.folder / "config.json").write_text(json.dumps(value))
        await following.until(lambda: following.log.count("configuration refused") > 2)
        assert following.generation() == first
        write_config(following.folder, SIGNER.root_pem)
        await following.until(lambda: following.log.count("configuration in force") == 2)
        (following.folder / "config.json").write_text("{")
        await following.until(lambda: following.log.events[-1][1] == "configuration refused")

    following.run(change)
    level, _, fields = following.log.events[-1]
    assert (level, fields["next_step"]) == ("error", "the configuration in force stays")
    assert following.bugs == []


def test_only_so_many_problems_are_told(following: Following) -> None:
    write_config(following.folder, SIGNER.root_pem)
    value = json.loads((following.folder / "config.json").read_text())
    value["nodeseal"] = {f"key{i}": 1 for i in range(100)}
    (following.folder / "config.json").write_text(json.dumps(value))
    anyio.run(following.publisher.publish)
    assert following.log.count("configuration refused") == publishing.MOST_TOLD


def test_config_map_is_followed_by_its_link(following: Following) -> None:
    for name, signer in (("..1", SIGNER), ("..2", OTHER)):
        write_config(following.folder / name, signer.root_pem)
    (following.folder / "..data").symlink_to("..1")
    for name in ("config.json", "trusted.crt"):
        (following.folder / name).symlink_to(f"..data/{name}")

    async def change() -> None:
        first = following.generation()
        assert first
        (following.folder / "..data_tmp").symlink_to("..2")
        (following.folder / "..data_tmp").rename(following.folder / "..data")
        await following.until(lambda: following.generation() != first)
        shutil.rmtree(following.folder / "..1")
        await following.quiet()

    following.run(change)
    assert following.log.count("configuration in force") == 2
    assert following.log.count("configuration refused") == 0


def test_folder_that_is_gone_changes_nothing_and_counts_when_it_is_back(following: Following) -> None:
    write_config(following.folder, SIGNER.root_pem)
    elsewhere = following.root / "elsewhere"

    async def change() -> None:
        first = following.generation()
        following.folder.rename(elsewhere)
        await following.until(lambda: following.log.count("configuration refused") > 0)
        await following.quiet()
        assert following.generation() == first
        write_config(elsewhere, OTHER.root_pem)
        elsewhere.rename(following.folder)
        await following.until(lambda: following.generation() != first)

    following.run(change)
    assert following.log.count("configuration refused") == 1


def test_bootstrap_document_is_followed_too(following: Following) -> None:
    write_config(following.folder, SIGNER.root_pem)

    async def change() -> None:
        path = following.root / nodestate.BOOTSTRAP
        path.parent.mkdir(parents=True)
        path.write_text("{")
        await following.until(lambda: following.log.count("configuration refused") > 0)
        path.unlink()
        await following.until(lambda: following.log.count("configuration in force") == 2)

    following.run(change)


def test_what_failed_for_the_disks_sake_is_tried_again(following: Following, monkeypatch: pytest.MonkeyPatch) -> None:
    write_config(following.folder, SIGNER.root_pem)
    calls: list[float] = []

    def full(path: str, root: str, home: str | None, keys: Keys) -> Findings:
        calls.append(time.monotonic())
        if len(calls) < 3:
            raise HostError("disk: got [Errno 28]; expected room")
        return put_in_force(path, root, home, keys)

    monkeypatch.setattr(publishing, "put_in_force", full)
    monkeypatch.setattr(publishing, "RETRY", 0.3)

    async def wait() -> None:
        await following.until(lambda: following.generation() != "")
        await anyio.sleep(1)

    following.run(wait)
    assert len(calls) == 3
    assert calls[1] - calls[0] > 0.25
    assert following.log.count("configuration refused") == 1


def test_bug_is_told_and_tried_again(following: Following, monkeypatch: pytest.MonkeyPatch) -> None:
    write_config(following.folder, SIGNER.root_pem)

    def broken(*_: object) -> None:
        raise RecursionError

    with monkeypatch.context() as patches:
        patches.setattr(publishing, "put_in_force", broken)
        patches.setattr(publishing, "RETRY", 0.1)
        anyio.run(following.publisher.publish)
    assert list(map(type, following.bugs)) == [RecursionError]
    assert following.publisher._again < float("inf")
