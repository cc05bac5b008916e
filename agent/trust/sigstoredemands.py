"""What Sigstore must vouch for, of a statement about images: for whom, in which instances, how much.

Read when there is a signature: what `agent.trust.signingpolicy` carries is the JSON form.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, cast

from agent.errors import Cause, Malformed, Unavailable
from agent.trust import keyless
from agent.trust.keyless import Demands, Presented, Recognised, Times
from agent.trust.signeridentity import SignerIdentity
from agent.trust.trustedroot import Authority, Log, TrustedRoot


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
        """Who made a keyless signature, wholly within one instance.

        Raises `Malformed`; `Unavailable` if none knows the signature, and one has ended.
        """
        failures: list[Malformed] = []
        for root in self.roots:
            try:
                return keyless.check_signer(presented, self.identities, self.demands, root, material, now)
            except Malformed as error:
                failures.append(error)
        raise self._why(failures, now)

    def check_logged(self, presented: Presented, material: Mapping[str, bytes], now: datetime) -> Times:
        """That a signature with a key is in as many logs as are asked for.  Raises as `recognise` does."""
        failures: list[Malformed] = []
        for root in self.roots:
            try:
                return keyless.check_times(presented, self.demands, root, material, now)
            except Malformed as error:
                failures.append(error)
        raise self._why(failures, now)

    def _why(self, failures: Sequence[Malformed], now: datetime) -> Malformed | Unavailable:
        """What is wrong with a signature; "cannot tell" if an instance that has ended may be too old to know it."""
        nearest = _nearest(failures)
        if isinstance(nearest, keyless.Newer):
            for root in self.roots:
                ended = self._ended(root, now)
                if ended:
                    text = f"too few of the {ended} of {root.name} count at {now:%Y-%m-%dT%H:%M:%SZ}"
                    return Unavailable(f"{text}; expected a newer trusted root", cause=Cause.TRUST_ROOT_STALE)
        return nearest

    def asked(self, root: TrustedRoot) -> Iterator[tuple[str, Sequence[Log | Authority], int]]:
        """What a root has of each kind that is asked for, in words for people, and of how many different ones."""
        yield "transparency logs", root.transparency_logs, self.demands.logs
        yield "timestamp authorities", root.timestamp_authorities, self.demands.timestamps
        yield "certificate logs", root.certificate_logs, self.demands.certificate_logs
        yield "certificate authorities", root.certificate_authorities, int(bool(self.identities))

    def _ended(self, root: TrustedRoot, now: datetime) -> str:
        """Of what too little in a root has not ended for anything new to count; empty if there is enough of all."""
        asked = self.asked(root)
        few = (name for name, given, wanted in asked if sum(not each.window.is_over(now) for each in given) < wanted)
        return next(few, "")


def _nearest(failures: Sequence[Malformed]) -> Malformed:
    """What the first instance says that knows the signature; if none does, what the first of all says."""
    known = [each for each in failures if not isinstance(each, keyless.Unknown)]
    return (known or list(failures))[0]
