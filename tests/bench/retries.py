"""An hour of a pod that can't start: its image is refused, and asked for again, as the kubelet does.

Nobody can wait for that hour, and the child reads the system's clock, which nothing may set.  So the judgement runs in
this process as it does in the child: the same steps with the same verdicts on a disk and a real registry's requests,
under a clock that is moved on.  The fast path is left out: it would spare processes, not requests.
"""

import tempfile
from datetime import datetime, timedelta, timezone
from heapq import heappop, heappush
from pathlib import Path
from typing import NamedTuple

from agent.adapters.http_blocking import BlockingTransport
from agent.adapters.inline import NoTrace, OneByOne, SystemClock, run
from agent.adapters.policy_worker import ForkedWorker
from agent.adapters.registry import RegistryClient
from agent.adapters.verdicts import VerdictFolder
from agent.config.config import Config
from agent.engine import Engine
from agent.errors import Exit
from agent.judgement import judge, opened
from agent.model.answer import Answer
from agent.model.descriptor import Descriptor
from agent.model.request import PullRequest
from agent.modes.config import load_for_person
from agent.modes.revocation_access import LateRevocation
from agent.rules.breakglass import Moment
from agent.rules.floor import Floor
from agent.rules.precedence import Standing
from tests.frozen.program import STDIN_MEDIA_TYPE
from tests.signing import usual_signer, write_config
from tests.simulators.registry import RegistrySimulator

PODS = 5
FIRST_WAIT, LONGEST_WAIT = 10.0, 300.0
"""Seconds between a pod's attempts: the kubelet's own."""

_HOUR = 3600.0
_MINUTE = 60.0


class Hour(NamedTuple):
    """What an hour of retries came to; `last_half` is how long before its end half of the requests were made, min."""

    referrers_api: bool
    pods: int
    calls: int
    verifications: int
    requests: int
    last_half: float


class MovedClock(SystemClock):
    """`ports.Clock` that stands still until it is moved on."""

    def __init__(self) -> None:
        """It begins now."""
        self.begin = datetime.now(timezone.utc)
        self.seconds = 0.0

    def now(self) -> datetime:
        """See `ports.Clock.now`."""
        return self.begin + timedelta(seconds=self.seconds)


class Node:
    """What containerd's child does with an image, under a clock of its own."""

    def __init__(self, root: Path, config: Config, clock: MovedClock) -> None:
        """Verdicts are kept under `root`."""
        self._config = config
        self._clock = clock
        self._verdicts = VerdictFolder(str(root))
        self._root = str(root)
        self.verifications = 0

    def ask(self, request: PullRequest) -> Answer:
        """One call of the child: what is known is said again, otherwise it is verified."""
        standing = Standing(self._config.ruleset, Floor(), Moment(self._clock.now(), self._clock.seconds, "boot"), "node", (), {})
        case = run(opened(request, standing, self._verdicts))
        if isinstance(case, Answer):
            return case
        known = case.known()
        if known is not None:
            return known.answer
        self.verifications += 1
        transport = BlockingTransport(deadline=self._clock.monotonic() + 8)
        try:
            engine = Engine(
                self._config,
                registry=RegistryClient(transport, use_http=True),
                revocation=LateRevocation({}, self._clock.monotonic() + 8, self._root),
                concurrent=OneByOne(),
                policies=ForkedWorker(),
                clock=self._clock,
                trace=NoTrace(),
            )
            return run(judge(case, engine, self._verdicts)).answer
        finally:
            transport.close()


def hour(referrers_api: bool) -> Hour:
    """Let `PODS` pods ask for an unsigned image for an hour.  Raises `AssertionError` if it is ever not denied."""
    with tempfile.TemporaryDirectory() as folder, RegistrySimulator(referrers_api=referrers_api) as registry:
        subject = registry.push_image("team/unsigned", "1")
        config = load_for_person(str(write_config(Path(folder) / "config", usual_signer().root_pem)), "/")
        clock = MovedClock()
        node = Node(Path(folder), config, clock)
        request = _request(f"{registry.host}/team/unsigned:1", subject)
        due = [(float(pod), FIRST_WAIT) for pod in range(PODS)]  # they were not made in the same second
        calls, at = 0, []
        while due[0][0] < _HOUR:
            clock.seconds, wait = heappop(due)
            before = len(registry.seen)
            if node.ask(request).exit is not Exit.DENY:
                raise AssertionError("an unsigned image was not denied")
            calls += 1
            at += [clock.seconds] * (len(registry.seen) - before)
            heappush(due, (clock.seconds + wait, min(2 * wait, LONGEST_WAIT)))
        return Hour(referrers_api, PODS, calls, node.verifications, len(at), (_HOUR - at[len(at) // 2]) / _MINUTE)


def _request(name: str, subject: Descriptor) -> PullRequest:
    value = {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size}
    return PullRequest.agreed(name, str(subject.digest), STDIN_MEDIA_TYPE, value)
