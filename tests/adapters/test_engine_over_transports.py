"""One verification in each of the two ways to run: blocking and one by one, pooled and side by side.

The verdicts are equal in every word, and so are the requests, but for those that a finished verification had begun.
"""

import time
from datetime import datetime, timezone
from typing import Callable

import anyio
import pytest

from agent.adapters.concurrent import SideBySide
from agent.adapters.http_blocking import BlockingTransport
from agent.adapters.http_pooled import ConnectionPool, PooledTransport
from agent.adapters.inline import NoTrace, OneByOne, run
from agent.adapters.registry import RegistryClient
from agent.config.config import Config
from agent.engine import Engine
from agent.model.descriptor import Descriptor
from agent.model.reference import Reference
from agent.model.request import PullRequest
from agent.model.verdict import Decision, Verdict
from tests.engines import OnTheSpot, one_rule, verdict_of
from tests.formats.support import Answers
from tests.signing import attach_signature, envelope
from tests.signing_cosign import bundle, bundle_manifest, layer, manifest, payload, statement
from tests.simulators import misbehaviour as does
from tests.simulators.registry import Handler, RegistrySimulator
from tests.test_engine import STRANGER, TRUSTED, FixedClock, configuration
from tests.test_engine_cosign import by_key, ours

PATH = "shop/cart"
SECONDS = 60
NOW = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
AT_ONCE = 4

Arrange = Callable[[RegistrySimulator, Descriptor], None]


def one_by_one(request: PullRequest, requirement: str | Config) -> Verdict:
    """As containerd's child does it."""
    transport = BlockingTransport(deadline=time.monotonic() + SECONDS)
    try:
        client = RegistryClient(transport, use_http=True)
        return run(verdict_of(engine(client, OneByOne(), requirement), request))
    finally:
        transport.close()


def side_by_side(request: PullRequest, requirement: str | Config, at_once: int) -> Verdict:
    """As a process does it that lives long."""

    async def verify() -> Verdict:
        async with ConnectionPool() as pool:
            client = RegistryClient(PooledTransport(pool, deadline=time.monotonic() + SECONDS), use_http=True)
            return await verdict_of(engine(client, SideBySide(at_once), requirement), request)

    return anyio.run(verify)


def engine(client: RegistryClient, concurrent: OneByOne | SideBySide, requirement: str | Config) -> Engine:
    """The same moment for everybody."""
    clock = FixedClock(NOW)
    return Engine(
        configuration(requirement) if isinstance(requirement, str) else requirement,
        registry=client,
        revocation=Answers(),
        concurrent=concurrent,
        policies=OnTheSpot(),
        clock=clock,
        trace=NoTrace(),
    )


def sign(registry: RegistrySimulator, image: Descriptor, trusted: int, strange: int) -> None:
    """Add signatures, each another one."""
    for number, signer in enumerate([TRUSTED] * trusted + [STRANGER] * strange):
        attach_signature(registry, PATH, image, envelope(signer, image), annotations={"number": str(number)})


def unsigned(registry: RegistrySimulator, image: Descriptor) -> None:
    """Nothing."""


def signed(registry: RegistrySimulator, image: Descriptor) -> None:
    """Once."""
    sign(registry, image, 1, 0)


def by_strangers(registry: RegistrySimulator, image: Descriptor) -> None:
    """Seven times, by nobody whom we trust."""
    sign(registry, image, 0, 7)


def by_both(registry: RegistrySimulator, image: Descriptor) -> None:
    """Often, and somewhere among them by whom we trust."""
    sign(registry, image, 2, 7)


def asks_for_token(registry: RegistrySimulator, image: Descriptor) -> None:
    """Under a token."""
    by_both(registry, image)
    registry.asks_for_token = True


def blobs_fail(registry: RegistrySimulator, image: Descriptor) -> None:
    """No signature can be fetched."""
    by_strangers(registry, image)
    registry.misbehave("blob", does.status(500))


def some_blobs_are_wrong(registry: RegistrySimulator, image: Descriptor) -> None:
    """Every other signature is other content, the rest is not there or hangs up."""
    by_both(registry, image)
    first = sorted(registry.contents(PATH).blobs)[::2]

    def behave(handler: Handler) -> bool:
        name = handler.path.rpartition("/")[2]
        return name in first and handler.answer(200, b"x")

    registry.misbehave("blob", behave)


def throttled(registry: RegistrySimulator, image: Descriptor) -> None:
    """No list."""
    signed(registry, image)
    registry.misbehave("referrers", does.status(429))


def gateways_fail(registry: RegistrySimulator, image: Descriptor) -> None:
    """A list, and nothing of what is on it, whatever is tried again."""
    sign(registry, image, 1, 1)
    registry.misbehave("manifest", does.status(502))


def endless_list(registry: RegistrySimulator, image: Descriptor) -> None:
    """More entries than anybody looks at."""
    signed(registry, image)
    registry.misbehave("referrers", does.endless_pages)


@pytest.mark.parametrize("requirement", ["any", "all"])
@pytest.mark.parametrize(
    ("arrange", "decision"),
    [
        (unsigned, Decision.DENY),
        (signed, Decision.ALLOW),
        (by_strangers, Decision.DENY),
        (by_both, None),
        (asks_for_token, None),
        (blobs_fail, Decision.CANNOT_TELL),
        (some_blobs_are_wrong, None),
        (throttled, Decision.CANNOT_TELL),
        (gateways_fail, Decision.CANNOT_TELL),
        (endless_list, Decision.DENY),
    ],
)
def test_both_ways_come_to_the_same(arrange: Arrange, decision: Decision | None, requirement: str) -> None:
    compared(arrange, decision, requirement)


def cosigned(registry: RegistrySimulator, image: Descriptor) -> None:
    """A bundle by a stranger, and two layers under cosign's tag, one of which is good."""
    strange, layers = bundle(statement(image), number=1), [layer(payload(image), number=1), layer(payload(image))]
    for each in (strange, *layers):
        registry.push_blob(PATH, each.content)
    registry.push_manifest(PATH, bundle_manifest(strange, image))
    registry.push_manifest(PATH, manifest(layers), tag=f"sha256-{image.digest.encoded}.sig")


def cosigned_and_no_list(registry: RegistrySimulator, image: Descriptor) -> None:
    """The tag answers, the list does not."""
    cosigned(registry, image)
    registry.misbehave("referrers", does.status(500))


def cosigned_and_no_tags(registry: RegistrySimulator, image: Descriptor) -> None:
    """The list answers, tags do not."""
    cosigned(registry, image)
    registry.misbehave("tag", does.status(500))


@pytest.mark.parametrize(
    ("arrange", "decision"),
    [
        (unsigned, Decision.DENY),
        (cosigned, Decision.ALLOW),
        (cosigned_and_no_list, Decision.ALLOW),
        (cosigned_and_no_tags, Decision.CANNOT_TELL),
        (throttled, Decision.CANNOT_TELL),
    ],
)
def test_both_ways_look_at_tags_and_lists_alike(arrange: Arrange, decision: Decision) -> None:
    settings, keys = by_key()
    compared(arrange, decision, one_rule(ours(1, settings.name), [settings], keys))


def compared(arrange: Arrange, decision: Decision | None, requirement: str | Config) -> None:
    """Verify in both ways, and compare verdicts and requests."""
    with RegistrySimulator() as registry:
        image = registry.push_image(PATH, "1")
        arrange(registry, image)
        name = f"{registry.host}/{PATH}:1"
        request = PullRequest(name, Reference.parse(name), image)
        registry.seen.clear()
        expected = one_by_one(request, requirement)
        asked = registry.counts
        assert decision in (None, expected.decision)
        for at_once in (1, AT_ONCE):
            registry.seen.clear()
            assert side_by_side(request, requirement, at_once) == expected
            if at_once == 1 or expected.decision is not Decision.ALLOW:
                assert registry.counts == asked
            else:
                in_vain = registry.counts - asked
                assert set(in_vain) <= {"manifest", "blob"}
                assert max(in_vain.values(), default=0) < at_once
