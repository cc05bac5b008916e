"""What Sigstore must vouch for, of a statement about images: for whom, in which instances, how much.

Read when there is a signature: what `agent.trust.signingpolicy` carries is the JSON form.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, cast

from agent.errors import Malformed
from agent.trust import keyless
from agent.trust.keyless import Demands, Presented, Recognised, Times
from agent.trust.signeridentity import SignerIdentity
from agent.trust.trustedroot import TrustedRoot


class SigstoreDemands(NamedTuple):
    """One statement's.  Without `identities` a key signs, and the instance keeps the log alone."""

    roots: tuple[TrustedRoot, ...]
    identities: tuple[SignerIdentity, ...]
    demands: Demands

    def to_json(self) -> dict[str, object]:
        """The JSON form that a snapshot holds."""
        return {
            "roots": [each.to_json() for each in self.roots],
            "identities": [each.to_json() for each in self.identities],
            "demands": list(self.demands),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "SigstoreDemands":
        """Read back what `to_json` wrote."""
        roots, identities = (cast("list[Mapping[str, object]]", value[name]) for name in ("roots", "identities"))
        return cls(
            tuple(map(TrustedRoot.from_json, roots)),
            tuple(map(SignerIdentity.from_json, identities)),
            Demands(*cast("tuple[int, int, int, bool]", value["demands"])),
        )

    def recognise(self, presented: Presented, material: Mapping[str, bytes], now: datetime) -> Recognised:
        """Who made a keyless signature, wholly within one instance.  Raises `Malformed`."""
        failures: list[Malformed] = []
        for root in self.roots:
            try:
                return keyless.check_signer(presented, self.identities, self.demands, root, material, now)
            except Malformed as error:
                failures.append(error)
        raise _nearest(failures)

    def check_logged(self, presented: Presented, material: Mapping[str, bytes], now: datetime) -> Times:
        """That a signature with a key is in as many logs as are asked for.  Raises `Malformed`."""
        failures: list[Malformed] = []
        for root in self.roots:
            try:
                return keyless.check_times(presented, self.demands, root, material, now)
            except Malformed as error:
                failures.append(error)
        raise _nearest(failures)


def _nearest(failures: Sequence[Malformed]) -> Malformed:
    """Of instances that a signature is not of: what the last one says, unless an earlier one knows the signer."""
    known = [each for each in failures if not isinstance(each, keyless.Unknown)]
    return (known or list(failures))[0]
