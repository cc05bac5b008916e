"""The floor: how little a configuration may ask for on this node, whoever wrote it.

It stands in the node's bootstrap document, never in a configuration: who may write one configuration must not own every
node.  A configuration below the floor is refused when it is checked; and what is in force already counts no lower than
the floor (`raised`, `action`).
"""

from types import MappingProxyType
from typing import NamedTuple

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


class Bootstrap(NamedTuple):
    """What a node's bootstrap document says.

    `node_name` is empty if it says none.  `until_first_snapshot` is what holds until a configuration was published on
    the node for the first time, and never again after that.  `needs` are references of images without which the node
    does not come up (`agent.rules.lockout`), None if there is no document.
    """

    node_name: str = ""
    until_first_snapshot: Enforcement = Enforcement.ENFORCE
    floor: Floor = Floor()
    needs: tuple[str, ...] | None = None
