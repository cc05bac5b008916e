"""The floor: how little a configuration may ask for on this node, whoever wrote it.

It stands in the node's bootstrap document, never in a configuration: who may write one configuration must not own every
node.  A configuration below the floor is refused when it is checked; and what is in force already counts no lower than
the floor (`raised`, `action`).
"""

from types import MappingProxyType
from typing import Mapping, NamedTuple

from agent.errors import Cause
from agent.rules.rule import ACTIONS, ENFORCEMENTS, EVERYTHING, Enforcement, FailureAction, FailurePolicy

NEVER_IGNORED = (Cause.REVOCATION_UNKNOWN, Cause.CONFIGURATION_INVALID)
"""Causes that no configuration may ignore unless the floor says so."""


class Floor(NamedTuple):
    """`failure_policy` is the weakest action for each cause.  `longest_break_glass` is in seconds.

    `without_digest` are patterns whose exemptions may lack digests.  `config_maps` are the ConfigMaps that count, name
    to highest priority, None for all of them with any; `programs` are folders whose programs may be run.  `signed_by`
    are public keys (PEM): if there are any, one of them must have signed a configuration.  `local_keys` lets key
    providers name addresses of the node itself.
    """

    enforcement: Enforcement = Enforcement.DISABLED
    failure_policy: FailurePolicy = FailurePolicy(
        FailureAction.IGNORE, MappingProxyType(dict.fromkeys(NEVER_IGNORED, FailureAction.FAIL))
    )
    longest_break_glass: float = 4 * 3600.0
    break_glass_for_all: bool = False
    without_digest: tuple[str, ...] = (EVERYTHING,)
    config_maps: tuple[tuple[str, int], ...] | None = None
    programs: tuple[str, ...] = ()
    signed_by: tuple[str, ...] = ()
    local_keys: bool = False

    def raised(self, enforcement: Enforcement) -> Enforcement:
        """`enforcement`, or the floor's if that is stricter."""
        return max(enforcement, self.enforcement, key=ENFORCEMENTS.index)

    def action(self, cause: Cause, written: FailureAction) -> FailureAction:
        """`written`, or the floor's action for `cause` if that is stricter."""
        return max(written, self.failure_policy.written(cause), key=ACTIONS.index)


STRICTEST = Floor(
    enforcement=Enforcement.ENFORCE, failure_policy=FailurePolicy(), longest_break_glass=0.0, without_digest=()
)
"""What counts while the bootstrap document can't be read: everything is enforced, nothing is ignored."""


class HostFacts(NamedTuple):
    """What this node's containerd reaches registries with, as it was recorded; None for what nobody recorded.

    All doors take it from here, so that they live in one world whatever their own environments are.  `ca_bundle` is a
    path; `proxy` are the variables HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as far as containerd has them: an empty one is
    "no proxy".  It may hold passwords.  `deadline` is in seconds from a pull's start to our answer.  `registries` is
    what containerd's `certs.d` says, in the form of `agent.registry.hosts`.
    """

    ca_bundle: str | None = None
    proxy: Mapping[str, str] | None = None
    deadline: float | None = None
    registries: Mapping[str, object] = MappingProxyType({})

    def __repr__(self) -> str:
        """Without what may hold secrets."""
        return f"HostFacts(ca_bundle={self.ca_bundle!r}, deadline={self.deadline!r})"

    def bundle(self, root: str) -> str:
        """The path of the CA bundle under `root`, empty for the host's own."""
        return root.rstrip("/") + self.ca_bundle if self.ca_bundle else ""

    def variables(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        """Where the proxies stand: in the record, and without one in a process's own `environment`."""
        return environment if self.proxy is None else self.proxy


NOTHING_RECORDED = HostFacts()


class Bootstrap(NamedTuple):
    """What a node's bootstrap document says.

    `node_name` is empty if it says none.  `until_first_snapshot` is what holds until a configuration was published on
    the node for the first time, and never again after that.  `needs` are references of images without which the node
    does not come up (`agent.rules.lockout`), None if there is no document.  `host` is what containerd uses there.
    """

    node_name: str = ""
    until_first_snapshot: Enforcement = Enforcement.ENFORCE
    floor: Floor = Floor()
    needs: tuple[str, ...] | None = None
    host: HostFacts = NOTHING_RECORDED
