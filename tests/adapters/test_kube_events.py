"""Events that are written behind whoever tells them."""

from collections.abc import Awaitable, Callable, Mapping

import anyio
import pytest

from agent.adapters import kube_events
from agent.adapters.kube import ApiServer
from agent.adapters.kube_events import SPREAD, Events
from agent.cluster.notices import BURST, REPEAT, Notice, Reason
from tests.adapters.kube import Given, until
from tests.cluster.objects import NAMESPACE, configmap
from tests.simulators import kube_misbehaviour as does
from tests.simulators.kube import READER, Behaviour, KubeSimulator


def notice(message: str) -> Notice:
    """Something to say."""
    return Notice.of(configmap("a"), Reason.ACCEPTED, message)


def warning(number: int) -> Notice:
    """Something to say of a ConfigMap of its own."""
    return Notice.of(configmap("a"), Reason.REJECTED, str(number))._replace(uid=f"uid-{number}")


class World:
    """A clock that a test moves, and the waits that were asked for."""

    def __init__(self) -> None:
        """Some time."""
        self.clock = 1000.0
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Hardly at all."""
        self.waits.append(seconds)
        await anyio.sleep(0)


def telling(simulator: KubeSimulator, body: Callable[[Events, World], Awaitable[None]]) -> None:
    """Run `body` beside what writes."""
    world = World()

    async def main() -> None:
        async with ApiServer(Given(simulator.url, READER)) as server, anyio.create_task_group() as group:
            events = Events(server, "n1", clock=lambda: world.clock, sleep=world.sleep, random=lambda: 0.5)
            group.start_soon(events.run)
            await body(events, world)
            group.cancel_scope.cancel()

    anyio.run(main)


@pytest.mark.parametrize(
    ("behaviour", "failures"),
    [
        (does.status(403), {"forbidden": 1}),
        (does.status(422), {"refused": 1}),
        (does.status(503), {"unavailable": 1}),
        (does.hung_up, {"unavailable": 1}),
    ],
)
def test_what_can_not_be_written_is_counted_and_no_more(behaviour: Behaviour, failures: Mapping[str, int]) -> None:
    with KubeSimulator() as simulator:
        simulator.behave("create", behaviour)

        async def body(events: Events, world: World) -> None:
            events.tell(notice("1"))
            await until(lambda: bool(events.failures))
            events.tell(notice("2"))
            await until(lambda: events.written == 1)
            assert {trouble.value: count for trouble, count in events.failures.items()} == failures

        telling(simulator, body)


def test_nodes_that_have_the_same_to_say_do_not_say_it_at_once() -> None:
    with KubeSimulator() as simulator:

        async def body(events: Events, world: World) -> None:
            events.tell(notice("1"))
            await until(lambda: events.written == 1)
            assert world.waits == [SPREAD / 2]

        telling(simulator, body)


def test_what_the_api_server_has_forgotten_is_written_anew_with_its_count() -> None:
    with KubeSimulator() as simulator:

        async def body(events: Events, world: World) -> None:
            events.tell(notice("1"))
            await until(lambda: events.written == 1)
            simulator.objects.clear()
            world.clock += REPEAT
            events.tell(notice("1"))
            await until(lambda: events.written == 2)
            assert simulator.objects["events", NAMESPACE, notice("1").event]["count"] == 2
            assert not events.failures

        telling(simulator, body)


def test_a_change_of_an_event_that_is_refused_is_counted_and_makes_no_other_one() -> None:
    with KubeSimulator() as simulator:
        simulator.behave("patch", does.status(403))

        async def body(events: Events, world: World) -> None:
            events.tell(notice("1"))
            await until(lambda: events.written == 1)
            world.clock += REPEAT
            events.tell(notice("1"))
            await until(lambda: bool(events.failures))
            assert simulator.counts["create"] == 1

        telling(simulator, body)


def test_a_flood_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_events, "MOST_WAITING", 5)
    with KubeSimulator() as simulator:

        async def body(events: Events, world: World) -> None:
            for i in range(100):
                events.tell(warning(i))
            await until(lambda: events.written == 5)
            for i in range(100, 200):
                events.tell(warning(i))
                await until(lambda i=i: events.written + events.dropped == i + 1)  # type: ignore[misc]
            assert events.written == BURST
            assert events.dropped == 200 - BURST
            assert simulator.counts["create"] == BURST

        telling(simulator, body)
