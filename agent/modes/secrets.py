"""Keeps the credentials of the Secrets that the configuration in force names, and of no others.

Each is followed by its name, so that a Role can grant that name alone.  What it holds lies in one place of the node's
memory (`agent.adapters.pull_secrets`), for all who verify.  It goes when the Secret, its label or the configuration's
word for it goes, and when we may not ask for it any more.  Whatever else fails changes nothing: the last one stays.
"""

from collections.abc import Callable, Mapping, Sequence

import anyio
from anyio.abc import TaskGroup

from agent.adapters.kube import ApiServer
from agent.adapters.kube_follow import Follower
from agent.adapters.nodestate import moment
from agent.adapters.pull_secrets import READY, PullSecretFiles
from agent.cluster import selections
from agent.errors import Malformed
from agent.model.pullsecret import PullSecret
from agent.ports import Log
from agent.registry import credentials

LOOK = 1.0
"""Seconds between two looks at what is wanted, and at what goes wrong."""

FORGET = 300.0
"""Seconds for which we may not ask for a Secret before it is forgotten: servers say so by mistake when they start."""

NOT_ASKED = "not asked for yet"
FORBIDDEN = "no Role lets us get, list and watch it by this name"

Tell = Callable[[str, str], bool]
"""Tells an owner's ConfigMap (`NAMESPACE/NAME`) something; false if there is none yet that could be told."""


class Secrets:
    """Those of one node."""

    def __init__(self, root: str, log: Log) -> None:
        """Nothing is wanted yet."""
        self._files = PullSecretFiles(root)
        self._log = log
        self._wanted: Mapping[str, Sequence[str]] | None = None
        self._changed = anyio.Event()
        self._said: dict[str, str] = {}
        self._told: dict[tuple[str, str], str] = {}
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._looked_at_memory = False

    def want(self, named: Mapping[str, Sequence[str]]) -> None:
        """These are named by the configuration in force, each by owners; the files of all others go at once."""
        if named == self._wanted:
            return
        self._wanted = dict(named)
        self._said = {name: self._said.get(name, NOT_ASKED) for name in named}
        self._told = {key: text for key, text in self._told.items() if key[0] in named}
        for name in [name for name in self._scopes if name not in named]:
            self._scopes.pop(name).cancel()
        try:
            self._files.keep_only(named.keys())
        except OSError as error:
            self._log.error("credentials not removed", problem=str(error))
        self._changed.set()

    def as_json(self) -> dict[str, str]:
        """Each Secret that is wanted, and what is known of it."""
        return dict(sorted(self._said.items()))

    def counts(self) -> dict[str, int]:
        """How many are in use (`ready`), not heard of yet (`waiting`), and of no use (`unusable`)."""
        states = [{READY: "ready", NOT_ASKED: "waiting"}.get(text, "unusable") for text in self._said.values()]
        return {state: states.count(state) for state in ("ready", "waiting", "unusable")}

    async def run(self, server: ApiServer, namespace: str, tell: Tell) -> None:
        """Follow what is wanted until cancelled."""
        self._scopes = {}
        async with anyio.create_task_group() as group:
            while True:
                self._changed = anyio.Event()
                for name in self._wanted or ():
                    if name not in self._scopes:
                        self._begin(name, group, server, namespace)
                self._tell_owners(tell)
                with anyio.move_on_after(LOOK):
                    await self._changed.wait()

    def _begin(self, name: str, group: TaskGroup, server: ApiServer, namespace: str) -> None:
        scope = self._scopes[name] = anyio.CancelScope()

        async def follow() -> None:
            """One Secret, until it is not wanted any more."""
            with scope:
                await self._follow(name, Follower(server, selections.pull_secret(namespace, name)))

        group.start_soon(follow)

    async def _follow(self, name: str, follower: Follower[PullSecret]) -> None:
        async def apply(state: Mapping[str, PullSecret]) -> None:
            """What the Secret is now, if it is."""
            self._apply(name, state.get(name))

        async with anyio.create_task_group() as group:
            group.start_soon(follower.follow, apply)
            began = moment().boot_seconds
            while True:
                await anyio.sleep(LOOK)
                if follower.forbidden:
                    last = follower.last_complete
                    self._forbidden(name, moment().boot_seconds - (last.boot_seconds if last else began))
                elif self._said.get(name) == FORBIDDEN and follower.state is not None and not follower.trouble:
                    self._apply(name, follower.state.get(name))

    def _apply(self, name: str, secret: PullSecret | None) -> None:
        """Keep what it holds, or have none of it."""
        if name not in self._said:
            return  # it was wanted when its follower was told to end
        try:
            complaint = _complaint(secret)
            if secret is not None and not complaint:
                self._files.write(name, secret.reveal())
                self._look_at_memory()
            else:
                self._files.drop(name)
        except OSError as error:
            complaint = f"its credentials can't be kept on this node: {error.strerror}"
        self._say(name, complaint or READY)

    def _forbidden(self, name: str, seconds: float) -> None:
        """We may not ask; `seconds` is for how long we have known nothing of it."""
        if seconds > FORGET:
            try:
                self._files.drop(name)
            except OSError as error:
                self._log.error("credentials not removed", problem=str(error))
        self._say(name, FORBIDDEN)

    def _say(self, name: str, text: str) -> None:
        """Log what is new."""
        if self._said[name] == text:
            return
        self._said[name] = text
        if text == READY:
            self._log.info("Secret in use", secret=name)
        else:
            self._log.warning("Secret not in use", secret=name, reason=text)

    def _tell_owners(self, tell: Tell) -> None:
        """What keeps a Secret from being used stands at the ConfigMaps that name it, once."""
        for name, owners in (self._wanted or {}).items():
            text = self._said.get(name, "")
            for owner in owners:
                if text in (READY, NOT_ASKED, ""):
                    self._told.pop((name, owner), None)
                elif self._told.get((name, owner)) != text and tell(owner, _message(name, text)):
                    self._told[name, owner] = text

    def _look_at_memory(self) -> None:
        if not self._looked_at_memory:
            self._looked_at_memory = True
            if not self._files.in_memory():
                self._log.warning("credentials reach a disk", reason="/run is no tmpfs on this node")


def _complaint(secret: PullSecret | None) -> str:
    """Why a Secret is of no use; empty if it is.  No value is in it."""
    if secret is None:
        return "there is no Secret of this name"
    if secret.complaint:
        return secret.complaint
    try:
        credentials.parse(secret.reveal(), f"Secret {secret.name}")
    except Malformed:
        return "what it holds is no docker configuration"
    return ""


def _message(name: str, text: str) -> str:
    return f"Secret {name}: {text}; registries that need it are asked without"
