"""Verifiers as they are configured, each with its format.  Used by the steps of a verification (`agent.gathering`)."""

from typing import Mapping, Sequence, cast

from agent.config.config import SIGNED_BY, VerifierSettings
from agent.formats import Format, format_class
from agent.model.signer import DeniedSigner

ALL_TYPES = "*"
"""The artifact type that stands for every other."""


class Verifier:
    """A configured verifier: what it looks for, and the format that verifies it.

    The format is loaded when there is evidence for it: its cryptography costs an unsigned image nothing.
    """

    __slots__ = ("_certificates", "_denied", "_format", "_settings")

    def __init__(
        self,
        settings: VerifierSettings,
        certificates: Mapping[str, bytes],
        denied: Sequence[DeniedSigner] = (),
    ) -> None:
        """Keep the settings, the certificates that they refer to, and who is denied."""
        self._settings = settings
        self._certificates = certificates
        self._denied = denied
        self._format: Format | None = None

    @property
    def name(self) -> str:
        """The verifier's name in messages."""
        return self._settings.name

    @property
    def type(self) -> str:
        """Its format, a key of `agent.formats.FORMATS`."""
        return self._settings.type

    @property
    def artifact_types(self) -> tuple[str, ...]:
        """What it looks for."""
        return self._settings.artifact_types

    @property
    def format(self) -> Format:
        """Its format, loaded on first use."""
        if self._format is None:
            kind = format_class(self._settings.type)
            self._format = kind.load(self._settings.name, self._settings.settings, self._certificates, self._denied)
        return self._format

    @property
    def nested(self) -> bool:
        """Whether what refers to its evidence must be verified too."""
        return self._settings.nested

    @property
    def signed_by(self) -> tuple[str, ...]:
        """The verifiers one of which must have verified something that refers to its evidence; none if it is empty."""
        return tuple(cast("Sequence[str]", self._settings.settings.get(SIGNED_BY, ())))

    @property
    def signers(self) -> int:
        """How many different signers it asks for (`agent.trust.signingpolicy.SigningPolicy.threshold`)."""
        statements = cast("Sequence[Mapping[str, object]]", self._settings.settings.get("policies", ()))
        return max((cast("int", each.get("threshold", 1)) for each in statements), default=1)

    def handles(self, artifact_type: str) -> bool:
        """Whether evidence of this type is for this verifier."""
        return artifact_type in self.artifact_types or ALL_TYPES in self.artifact_types

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags that it wants to know of: see `Format.tags`."""
        return {end: kind for end, kind in self.format.tags.items() if self.handles(kind)}
