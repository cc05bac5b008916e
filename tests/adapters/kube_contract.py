"""What every API server does, the simulated one and the real one alike; and that we live by it."""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Protocol

import anyio
import pytest
from anyio import to_thread

from agent.adapters.kube import ApiServer, Changes, Reads
from agent.adapters.kube_events import Events
from agent.cluster.following import List, Watch
from agent.cluster.leases import DURATION, Contender, release, renewal
from agent.cluster.messages import Change, Kind
from agent.cluster.nodes import CONDITION, EVENTS, Condition, Keeper, event, without_taint
from agent.cluster.notices import Notice, Reason
from agent.cluster.selections import configmaps
from agent.cluster.troubles import ApiError, Trouble
from agent.model.configmap import ConfigMap
from tests.adapters.kube import ACTIVE, following, until
from tests.cluster.objects import LABEL, NAMESPACE, SELECTED, SELECTOR, configmap


class Cluster(Protocol):
    """A server, and somebody who changes what it holds.  All of it blocks."""

    def credentials(self, who: str) -> Reads:
        """Of `admin`; `reader`, who may read ConfigMaps and write events in our namespace; `nobody`."""
        ...

    def put(
        self, name: str, labels: Mapping[str, str], data: Mapping[str, str], binary: Mapping[str, bytes] | None = None
    ) -> None:
        """Create or replace a ConfigMap in our namespace."""
        ...

    def delete(self, name: str) -> None:
        """Delete a ConfigMap in our namespace."""
        ...

    def forget(self) -> None:
        """Make tokens of pages that were given until now too old."""
        ...

    def lose_place(self) -> None:
        """Make it impossible to watch from any version until now."""
        ...

    def event(self, name: str) -> Mapping[str, object]:
        """An event in our namespace."""
        ...

    def taint(self, taints: Sequence[Mapping[str, str]]) -> None:
        """Give the node `n1` these taints, and no others."""
        ...


Check = Callable[[Cluster], Awaitable[None]]


async def _changed(changes: Changes[ConfigMap], *, among: int = 50) -> Change[ConfigMap]:
    """The next event that is no bookmark."""
    for _ in range(among):
        change = await changes.next()
        assert change is not None
        if change.kind is not Kind.BOOKMARK:
            return change
    raise AssertionError("nothing but bookmarks")


async def _everything(server: ApiServer) -> str:
    """The version of a whole list."""
    return (await server.page(SELECTED, List(0, ""))).resource_version


async def a_label_that_is_removed_is_a_deletion(cluster: Cluster) -> None:
    """From the list on: added, modified, label removed, added again, deleted, created anew."""
    async with ApiServer(cluster.credentials("reader")) as server:
        version = await _everything(server)
        async with server.changes(SELECTED, Watch(version, 60)) as changes:
            found: list[tuple[Kind, str]] = []
            uids: list[str] = []
            for labels, data in (
                (ACTIVE, "1"), (ACTIVE, "2"), ({LABEL: "preview"}, "2"), (ACTIVE, "2"), (None, ""), (ACTIVE, "3"),
            ):  # fmt: skip
                if labels is None:
                    await to_thread.run_sync(cluster.delete, "walk")
                else:
                    await to_thread.run_sync(cluster.put, "walk", labels, {"v": data}, {"b": b"\0\xff"})
                change = await _changed(changes)
                assert change.object is not None
                assert change.object.name == "walk"
                assert change.object.binary_data == {"b": b"\0\xff"}
                found.append((change.kind, change.object.data["v"]))
                uids.append(change.object.uid)
        assert found == [
            (Kind.ADDED, "1"), (Kind.MODIFIED, "2"), (Kind.DELETED, "2"), (Kind.ADDED, "2"), (Kind.DELETED, "2"),
            (Kind.ADDED, "3"),
        ]  # fmt: skip
        assert len(set(uids[:5])) == 1
        assert uids[5] != uids[4]
    await to_thread.run_sync(cluster.delete, "walk")


async def a_list_comes_in_pages_of_one_version(cluster: Cluster) -> None:
    """Each object once."""
    for i in range(5):
        await to_thread.run_sync(cluster.put, f"page-{i}", ACTIVE, {"v": str(i)})
    async with ApiServer(cluster.credentials("reader")) as server:
        names, versions, token = list[str](), set[str](), ""
        while True:
            page = await server.page(SELECTED, List(2, token))
            assert len(page.items) <= 2
            names += [each.name for each in page.items]
            versions.add(page.resource_version)
            token = page.token
            if not token:
                break
        assert [name for name in names if name.startswith("page-")] == [f"page-{i}" for i in range(5)]
        assert len(versions) == 1
    for i in range(5):
        await to_thread.run_sync(cluster.delete, f"page-{i}")


async def pages_after_the_first_are_as_old_as_it_and_a_watch_tells_the_rest(cluster: Cluster) -> None:
    """What changes between two pages comes by the watch from the list's version on, and not by the pages."""
    for i in range(4):
        await to_thread.run_sync(cluster.put, f"moving-{i}", ACTIVE, {"v": "old"})
    async with ApiServer(cluster.credentials("reader")) as server:
        page = await server.page(SELECTED, List(1, ""))
        await to_thread.run_sync(cluster.put, "moving-1", ACTIVE, {"v": "new"})
        await to_thread.run_sync(cluster.put, "moving-2", {LABEL: "preview"}, {"v": "old"})
        await to_thread.run_sync(cluster.delete, "moving-3")
        await to_thread.run_sync(cluster.put, "moving-4", ACTIVE, {"v": "new"})
        found = list(page.items)
        while page.token:
            page = await server.page(SELECTED, List(1, page.token))
            found += page.items
        named = {each.name: each.data["v"] for each in found if each.name.startswith("moving-")}
        assert named == {f"moving-{i}": "old" for i in range(4)}
        async with server.changes(SELECTED, Watch(page.resource_version, 60)) as changes:
            told = [await _changed(changes) for _ in range(4)]
    assert [(each.kind, each.object.name if each.object else "") for each in told] == [
        (Kind.MODIFIED, "moving-1"), (Kind.DELETED, "moving-2"), (Kind.DELETED, "moving-3"), (Kind.ADDED, "moving-4"),
    ]  # fmt: skip
    for i in (0, 1, 2, 4):
        await to_thread.run_sync(cluster.delete, f"moving-{i}")


async def what_happened_while_nobody_watched_is_told_in_its_order(cluster: Cluster) -> None:
    """Each step, not only what came of them."""
    async with ApiServer(cluster.credentials("reader")) as server:
        version = await _everything(server)
        for value in ("1", "2"):
            await to_thread.run_sync(cluster.put, "missed", ACTIVE, {"v": value})
        await to_thread.run_sync(cluster.put, "missed", {}, {"v": "3"})
        await to_thread.run_sync(cluster.put, "missed", ACTIVE, {"v": "4"})
        await to_thread.run_sync(cluster.delete, "missed")
        async with server.changes(SELECTED, Watch(version, 60)) as changes:
            told = [await _changed(changes) for _ in range(5)]
    kinds = [(each.kind, each.object.data["v"] if each.object else "") for each in told]
    assert kinds == [
        (Kind.ADDED, "1"), (Kind.MODIFIED, "2"), (Kind.DELETED, "2"), (Kind.ADDED, "4"), (Kind.DELETED, "4"),
    ]  # fmt: skip
    versions = [int(each.resource_version) for each in told]
    assert versions == sorted(set(versions))


async def what_stands_in_a_configmap_comes_as_it_is(cluster: Cluster) -> None:
    """Bytes of every value and texts that JSON has to escape, by a list and by a watch."""
    data = {"v": '<&>\u2028\t\r\n"\\ \N{SNOWMAN}\N{GRINNING FACE}', "empty": ""}
    binary = {"bytes": bytes(range(256)) * 4, "empty.bin": b"", "UPPER_case-1.b": b"\xff"}
    async with ApiServer(cluster.credentials("reader")) as server:
        version = await _everything(server)
        await to_thread.run_sync(cluster.put, "content", ACTIVE, data, binary)
        async with server.changes(SELECTED, Watch(version, 60)) as changes:
            change = await _changed(changes)
        page = await server.page(SELECTED, List(0, ""))
        listed = next(each for each in page.items if each.name == "content")
    assert change.object == listed
    assert (listed.data, listed.binary_data) == (data, binary)
    assert (listed.namespace, listed.labels) == (NAMESPACE, ACTIVE)
    await to_thread.run_sync(cluster.delete, "content")


async def a_watch_from_too_long_ago_is_told_so(cluster: Cluster) -> None:
    """410, by a refusal or by an event; whoever lists anew goes on."""
    await to_thread.run_sync(cluster.put, "place", ACTIVE, {"v": "1"})
    async with ApiServer(cluster.credentials("reader")) as server:
        version = await _everything(server)
        await to_thread.run_sync(cluster.lose_place)
        with pytest.raises(ApiError) as caught:
            await _first(server, version)
        assert caught.value.trouble is Trouble.GONE
        async with server.changes(SELECTED, Watch(await _everything(server), 60)) as changes:
            await to_thread.run_sync(cluster.put, "place", ACTIVE, {"v": "2"})
            change = await _changed(changes)
    assert change.object is not None
    assert (change.kind, change.object.data) == (Kind.MODIFIED, {"v": "2"})
    await to_thread.run_sync(cluster.delete, "place")


async def a_token_of_a_page_can_be_too_old(cluster: Cluster) -> None:
    """410, in the middle of a list; listing anew works."""
    for i in range(3):
        await to_thread.run_sync(cluster.put, f"old-{i}", ACTIVE, {"v": str(i)})
    async with ApiServer(cluster.credentials("reader")) as server:
        page = await server.page(SELECTED, List(1, ""))
        assert page.token
        for i in range(3):
            await to_thread.run_sync(cluster.put, f"old-{i}", ACTIVE, {"v": "again"})
        await to_thread.run_sync(cluster.forget)
        with pytest.raises(ApiError) as caught:
            await server.page(SELECTED, List(1, page.token))
        assert caught.value.trouble is Trouble.GONE
        assert len((await server.page(SELECTED, List(0, ""))).items) >= 3
    for i in range(3):
        await to_thread.run_sync(cluster.delete, f"old-{i}")


async def a_watch_ends_in_good_order_when_its_time_is_over(cluster: Cluster) -> None:
    """After as many seconds as were asked for; who goes on from its last bookmark is told what came after that."""
    async with ApiServer(cluster.credentials("reader")) as server:
        version = await _everything(server)
        began = anyio.current_time()
        told = []
        async with server.changes(SELECTED, Watch(version, 8)) as changes:
            await to_thread.run_sync(cluster.put, "unseen", {LABEL: "preview"}, {})  # or there is nothing to mark
            while (change := await changes.next()) is not None:
                told.append(change)
        assert 7 < anyio.current_time() - began < 8 + 30
        assert {each.kind for each in told} == {Kind.BOOKMARK}
        assert all(each.object is None for each in told)
        assert int(told[-1].resource_version) > int(version)
        await to_thread.run_sync(cluster.put, "seen", ACTIVE, {})
        async with server.changes(SELECTED, Watch(told[-1].resource_version, 60)) as changes:
            first = await _changed(changes)
        assert first.object is not None
        assert (first.kind, first.object.name) == (Kind.ADDED, "seen")
    await to_thread.run_sync(cluster.delete, "seen")
    await to_thread.run_sync(cluster.delete, "unseen")


async def whoever_is_nobody_is_told_so(cluster: Cluster) -> None:
    """401, for a list, a watch and an event."""
    async with ApiServer(cluster.credentials("nobody")) as server:
        for ask in (
            lambda: server.page(SELECTED, List(1, "")),
            lambda: _first(server, "1"),
            lambda: server.create_event(NAMESPACE, _notice("a").body("n", 1, configmap("a").created)),
        ):
            with pytest.raises(ApiError) as caught:
                await ask()
            assert caught.value.trouble is Trouble.UNAUTHORIZED


async def whoever_may_not_is_told_so_and_why(cluster: Cluster) -> None:
    """403, with the server's reason; of a node nobody may know it is None."""
    async with ApiServer(cluster.credentials("reader")) as server:
        with pytest.raises(ApiError, match="forbidden: User") as caught:
            await server.page(configmaps("kube-system", SELECTOR), List(1, ""))
        assert caught.value.trouble is Trouble.FORBIDDEN
        assert await server.node_labels("n1") is None


async def labels_of_a_node_are_told_to_whoever_may_know(cluster: Cluster) -> None:
    """And None for a node that is not there."""
    async with ApiServer(cluster.credentials("admin")) as server:
        labels = await server.node_labels("n1")
        assert labels is not None
        assert labels["zone"] == "a"
        assert await server.node_labels("n2") is None


async def a_condition_is_merged_by_its_type_and_keeps_the_time_of_its_last_change(cluster: Cluster) -> None:
    """Others' conditions stay as they are; whoever may not is told so."""
    noon, later = (datetime(2026, 11, 27, 12, minute, tzinfo=timezone.utc) for minute in (0, 30))
    other = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastHeartbeatTime": None}
    async with ApiServer(cluster.credentials("admin")) as server:
        await server.change_node_status("n1", {"status": {"conditions": [other]}})
        first = Keeper(await server.node("n1"))
        yes, no = Condition("True", "Enforcing", "m"), Condition("False", "LocalPullFallback", "x" * 5000)
        await server.change_node_status("n1", first.body(yes, noon))
        found = await server.node("n1")
        assert (found.status, found.since) == ("True", "2026-11-27T12:00:00Z")
        again = Keeper(found)
        await server.change_node_status("n1", again.body(yes, later))
        assert (await server.node("n1")).since == "2026-11-27T12:00:00Z"
        await server.change_node_status("n1", again.body(no, later))
        assert (await server.node("n1"))[1:3] == ("False", "2026-11-27T12:30:00Z")
        content = await server.send("GET", "/api/v1/nodes/n1", {}, limit=100_000)
        assert content.count(b'"lastHeartbeatTime"') == 2
        assert content.count(CONDITION.encode()) >= 1
        assert b"KubeletReady" in content
        await server.create_event(EVENTS, event("n1", no, later))
    async with ApiServer(cluster.credentials("reader")) as server:
        for forbidden in (
            lambda: server.node("n1"),
            lambda: server.change_node_status("n1", again.body(no, later)),
            lambda: server.change_node("n1", without_taint(found, "k")),
            lambda: server.create_event(EVENTS, event("n1", yes, later)),
        ):
            with pytest.raises(ApiError) as told:
                await forbidden()
            assert told.value.trouble is Trouble.FORBIDDEN


async def a_taint_is_removed_where_it_stood_or_nothing_is(cluster: Cluster) -> None:
    """Two of one key go, others stay; after somebody else's change the patch is refused whole."""
    ours = [{"key": "k", "effect": "NoSchedule"}, {"key": "k", "value": "v", "effect": "PreferNoSchedule"}]
    others = [{"key": each, "effect": "NoSchedule"} for each in ("a", "b", "k.x")]
    before = [others[0], ours[0], others[1], ours[1], others[2]]
    async with ApiServer(cluster.credentials("admin")) as server:
        await to_thread.run_sync(cluster.taint, before)
        patch = without_taint(await server.node("n1"), "k")
        added = [{"key": "new", "effect": "NoSchedule"}, *before]
        await to_thread.run_sync(cluster.taint, added)
        with pytest.raises(ApiError) as told:
            await server.change_node("n1", patch)
        assert told.value.trouble in (Trouble.REFUSED, Trouble.CONFLICT)
        assert list((await server.node("n1")).taints) == added
        await server.change_node("n1", without_taint(await server.node("n1"), "k"))
        found = await server.node("n1")
        assert list(found.taints) == [added[0], *others]
        assert without_taint(found, "k") == []
        await to_thread.run_sync(cluster.taint, [])
        assert (await server.node("n1")).taints == ()


async def a_lease_is_one_s_and_is_changed_only_from_its_last_version(cluster: Cluster) -> None:
    """Whoever is too late is told so (409); and without a grant there is none."""
    noon, name = datetime(2026, 11, 27, 12, 0, tzinfo=timezone.utc), f"contract-{uuid.uuid4().hex[:8]}"
    first, second = (Contender(node, 0.0) for node in ("n1", "n2"))
    async with ApiServer(cluster.credentials("admin")) as server:
        assert await server.lease(NAMESPACE, name) is None
        creating = first.judge(name, None, 0.0, noon)
        assert creating is not None
        held = await server.create_lease(NAMESPACE, creating.body)
        assert (held.name, held.holder, held.duration, held.transitions) == (name, "n1", DURATION, 0)
        assert held.renewed == "2026-11-27T12:00:00.000000Z"
        with pytest.raises(ApiError) as told:
            await server.create_lease(NAMESPACE, creating.body)
        assert told.value.trouble is Trouble.CONFLICT
        assert second.judge(name, held, 0.0, noon) is None
        stale = second.judge(name, held, float(DURATION), noon)
        assert stale is not None
        renewed = await server.update_lease(NAMESPACE, name, renewal(held, noon))
        assert await server.lease(NAMESPACE, name) == renewed
        assert renewed.version != held.version
        with pytest.raises(ApiError) as told:
            await server.update_lease(NAMESPACE, name, stale.body)
        assert told.value.trouble is Trouble.CONFLICT
        free = await server.update_lease(NAMESPACE, name, release(renewed, noon))
        assert free.holder == ""
        taking = second.judge(name, free, 1.0, noon)
        assert taking is not None
        taken = await server.update_lease(NAMESPACE, name, taking.body)
        assert (taken.holder, taken.transitions) == ("n2", 1)
    async with ApiServer(cluster.credentials("reader")) as server:
        with pytest.raises(ApiError) as read:
            await server.lease(NAMESPACE, name)
        with pytest.raises(ApiError) as created:
            await server.create_lease(NAMESPACE, creating.body)
        with pytest.raises(ApiError) as updated:
            await server.update_lease(NAMESPACE, name, renewal(taken, noon))
        assert {each.value.trouble for each in (read, created, updated)} == {Trouble.FORBIDDEN}


async def a_follower_has_what_is_there(cluster: Cluster) -> None:
    """All of the steps, seen from behind."""
    await to_thread.run_sync(cluster.put, "before", ACTIVE, {"v": "1"})
    async with ApiServer(cluster.credentials("reader")) as server, following(server) as (follower, told):
        await told.until({"before": "1"})
        await to_thread.run_sync(cluster.put, "later", ACTIVE, {"v": "2"})
        await told.until({"before": "1", "later": "2"})
        await to_thread.run_sync(cluster.put, "later", {LABEL: "preview"}, {"v": "2"})
        await told.until({"before": "1"})
        await to_thread.run_sync(cluster.put, "before", ACTIVE, {"v": "3"})
        await told.until({"before": "3"})
        await to_thread.run_sync(cluster.delete, "before")
        await told.until({})
        await to_thread.run_sync(cluster.put, "before", ACTIVE, {"v": "4"})
        await told.until({"before": "4"})
        assert follower.progress().lists == 1
    for name in ("before", "later"):
        await to_thread.run_sync(cluster.delete, name)


async def an_event_is_written_once_and_changed_after_that(cluster: Cluster) -> None:
    """By two nodes that say the same: the second one is turned away."""
    await to_thread.run_sync(cluster.put, "subject", ACTIVE, {})
    now = 1000.0

    async def at_once(seconds: float) -> None:
        await anyio.sleep(0)

    notice = _notice("subject")
    async with ApiServer(cluster.credentials("reader")) as server, anyio.create_task_group() as group:
        ours, theirs = (Events(server, node, clock=lambda: now, sleep=at_once) for node in ("n1", "n2"))
        group.start_soon(ours.run)
        group.start_soon(theirs.run)
        ours.tell(notice)
        await until(lambda: ours.written == 1, lambda: str(ours.failures))
        theirs.tell(notice)
        await until(lambda: theirs.shared == 1, lambda: str(theirs.failures))
        ours.tell(notice)  # too soon
        now += 601
        ours.tell(notice)
        await until(lambda: ours.written == 2, lambda: str(ours.failures))
        found = await to_thread.run_sync(cluster.event, notice.event)
        group.cancel_scope.cancel()
    assert (found["count"], found["message"], found["type"]) == (3, "x" * 1024, "Warning")
    assert not ours.failures and not theirs.failures
    await to_thread.run_sync(cluster.delete, "subject")


def _notice(name: str) -> Notice:
    """One as long as they get."""
    return Notice.of(configmap(name), Reason.REJECTED, "x" * 1024)


async def _first(server: ApiServer, version: str) -> None:
    with suppress(StopAsyncIteration):
        async with server.changes(SELECTED, Watch(version, 5)) as changes:
            await changes.next()


CONTRACT: tuple[Check, ...] = (
    a_label_that_is_removed_is_a_deletion,
    a_list_comes_in_pages_of_one_version,
    pages_after_the_first_are_as_old_as_it_and_a_watch_tells_the_rest,
    what_happened_while_nobody_watched_is_told_in_its_order,
    what_stands_in_a_configmap_comes_as_it_is,
    a_watch_from_too_long_ago_is_told_so,
    a_token_of_a_page_can_be_too_old,
    a_watch_ends_in_good_order_when_its_time_is_over,
    whoever_is_nobody_is_told_so,
    whoever_may_not_is_told_so_and_why,
    labels_of_a_node_are_told_to_whoever_may_know,
    a_condition_is_merged_by_its_type_and_keeps_the_time_of_its_last_change,
    a_taint_is_removed_where_it_stood_or_nothing_is,
    a_lease_is_one_s_and_is_changed_only_from_its_last_version,
    a_follower_has_what_is_there,
    an_event_is_written_once_and_changed_after_that,
)
