"""Has the images verified that the node's kubelet is about to pull, where we may see its pods.

It is a help and no more: whatever goes wrong here, a pull finds no verdict, and is verified as ever.
"""

import random
from collections.abc import Callable, Mapping, Sequence

import anyio

from agent.adapters.kube import ApiServer
from agent.adapters.kube_follow import Follower, Progress
from agent.cluster import selections
from agent.model.podimages import PodImages
from agent.ports import Log

LOOK = 1.0
"""Seconds between two looks at whether we may see pods."""

FORBIDDEN_REST = 600.0
"""Mean of the seconds before somebody who may not see pods asks again: on every node of a cluster there is one."""

Queue = Callable[[Sequence[str]], int]
"""Takes images that are to be verified; says how many were new."""


class PodsImages:
    """The images of one node's pods."""

    def __init__(self, log: Log, queue: Queue) -> None:
        """Nothing is followed yet."""
        self._log = log
        self._queue = queue
        self._follower: Follower[PodImages] | None = None
        self._wanted: frozenset[str] = frozenset()
        self._is_forbidden = False
        self.queued = 0

    @property
    def progress(self) -> Progress | None:
        """How following goes, None before it has begun."""
        return self._follower.progress() if self._follower else None

    def as_json(self) -> dict[str, object]:
        """How it goes, for people."""
        progress = self.progress
        if progress is None:
            return {"pods": None, "queued": 0, "trouble": "not begun"}
        return {"pods": progress.objects, "queued": self.queued, "trouble": progress.trouble}

    async def run(self, server: ApiServer, node: str) -> None:
        """Follow the pods of a node until cancelled."""
        follower = self._follower = Follower(server, selections.pods_of(node), sleep=self._rest)
        self._wanted = frozenset()
        async with anyio.create_task_group() as group:
            group.start_soon(follower.follow, self._apply)
            while True:
                await anyio.sleep(LOOK)
                self._tell(is_forbidden=follower.forbidden)

    async def _rest(self, seconds: float) -> None:
        if self._follower is not None and self._follower.forbidden:
            seconds = max(seconds, FORBIDDEN_REST * (0.5 + random.random()))  # noqa: S311 - no secret
        await anyio.sleep(seconds)

    async def _apply(self, state: Mapping[str, PodImages]) -> None:
        """Queue what no pod waited for before."""
        images = dict.fromkeys(image for pod in state.values() for image in pod.images)
        new = [image for image in images if image not in self._wanted]
        self._wanted = frozenset(images)
        self.queued += self._queue(new)

    def _tell(self, *, is_forbidden: bool) -> None:
        """Log what is new."""
        if is_forbidden == self._is_forbidden:
            return
        self._is_forbidden = is_forbidden
        if is_forbidden:
            reason = "no ClusterRole lets us get, list and watch pods: images are verified when they are pulled"
            self._log.warning("pods not followed", reason=reason)
        else:
            self._log.info("pods followed")
