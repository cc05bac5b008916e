"""A configuration: checked, complete, immutable; what one snapshot holds.

Behind the pull path: plain `NamedTuple`s, no schema, no YAML, no PEM.
"""

from collections.abc import Mapping
from typing import NamedTuple

from agent.model.signer import DeniedSigner
from agent.rules.rule import Rule
from agent.rules.ruleset import RuleSet


class StoreSettings(NamedTuple):
    """Where evidence is looked for.  `use_http`: plain HTTP instead of HTTPS, for every registry.

    `cosign_tags`: what cosign's tag of an image names counts as a referrer as well.  `owner`: see `Config.seen_by`.

    `ca_certificates` are the SHA-256 (hexadecimal) of certificates, in `Config.certificates`, that registries' TLS is
    verified against, on top of the host's own.  `secrets` are the names of Secrets with credentials for them, the
    earlier ones first.
    """

    name: str
    use_http: bool
    ca_certificates: tuple[str, ...] = ()
    cosign_tags: bool = False
    owner: str = ""
    secrets: tuple[str, ...] = ()


SIGNED_BY = "signedBy"
"""The key in a verifier's settings with the verifiers that must have verified a signature of its evidence."""


class VerifierSettings(NamedTuple):
    """One verifier: its name in messages, its type (a key of `agent.formats.FORMATS`), what it looks for.

    `settings` is the JSON object that the format's `parse` returned, and `SIGNED_BY` where the configuration has it.
    `nested`: what refers to its evidence must be verified too (that, or Ratify's `nestedReferences`).  `owner` is the
    document that it stands in: only rules of that owner can mean it, so verifiers of two documents may have one name.
    """

    name: str
    type: str
    artifact_types: tuple[str, ...]
    settings: Mapping[str, object]
    nested: bool = False
    owner: str = ""


class Config(NamedTuple):
    """One configuration.  `generation` names it: the SHA-256 of its canonical form.

    `certificates` maps SHA-256 (hexadecimal) to DER bytes.  `denied_signers` have no owner: what one document says of a
    signer holds for the images of all.
    """

    generation: str
    stores: tuple[StoreSettings, ...]
    verifiers: tuple[VerifierSettings, ...]
    ruleset: RuleSet
    certificates: Mapping[str, bytes]
    denied_signers: tuple[DeniedSigner, ...] = ()

    def seen_by(self, owner: str) -> "Config":
        """The configuration as it is for images whose rule, or default, is an owner's: his stores, no others.

        Who has none looks for evidence beside the image, over HTTPS, and trusts the host's CAs alone.
        """
        stores = tuple(store for store in self.stores if store.owner == owner)
        return self if stores == self.stores else self._replace(stores=stores or (_usual_store(owner),))

    @property
    def secrets(self) -> Mapping[str, tuple[str, ...]]:
        """The Secrets that stores name, each with the owners of these."""
        names = dict.fromkeys(name for store in self.stores for name in store.secrets)
        return {
            name: tuple(dict.fromkeys(store.owner for store in self.stores if name in store.secrets)) for name in names
        }

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of its rule set."""
        return self.ruleset.rules


def _usual_store(owner: str) -> StoreSettings:
    return StoreSettings("oras", use_http=False, owner=owner)
