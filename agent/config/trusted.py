"""What a configuration trusts, entry by entry, so that what one adds can be told.  Pure.

That is: certificates and keys, identities of signers, CAs of registries, and what passes unverified: exemptions,
allowed images, break-glass.  Each under its owner: one certificate is trusted for other images in another document.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import NamedTuple

from agent.codec import strictjson
from agent.config.config import Config

_IDENTITIES = ("identities", "trustedIdentities")
_KEYS = ("keys",)
_ANY = "any identity"


class Trusted(NamedTuple):
    """Something that is trusted, in words for people; `owner` is the document that says so, empty if there is one."""

    owner: str
    what: str

    def __str__(self) -> str:
        """Both."""
        return f"{self.owner}: {self.what}" if self.owner else self.what

    @property
    def hash(self) -> str:
        """What tells it from others, short."""
        return sha256(str(self).encode()).hexdigest()[:32]


def entries(config: Config) -> Iterator[Trusted]:
    """All that is trusted."""
    for store in config.stores:
        yield from (Trusted(store.owner, f"registry CA sha256:{name}") for name in store.ca_certificates)
    for verifier in config.verifiers:
        for said in _material(verifier.settings, config):
            yield Trusted(verifier.owner, f"{said} (verifier {verifier.name})")
    for exemption in config.ruleset.exempt:
        for digest in exemption.digests or ("",):
            yield Trusted(exemption.owner, f"exemption of {exemption.match}{digest and '@'}{digest}")
    for allowed in config.ruleset.allow:
        image = f"{allowed.repository}@{allowed.digest}"
        yield Trusted(allowed.owner, f"allowed image {image} until {allowed.until.isoformat()}")
    for glass in config.ruleset.break_glass:
        yield Trusted(glass.owner, f"break-glass for {glass.match} until {glass.until.isoformat()}")


def _material(settings: object, config: Config) -> Iterator[str]:
    """Certificates, keys and identities in a verifier's settings, wherever its format keeps them."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            if key in _IDENTITIES:
                for identity in value if isinstance(value, list | tuple) else [value]:
                    yield f"identity {_shown(identity)}" if identity is not None else _ANY
            elif key in _KEYS and isinstance(value, list | tuple):
                yield from (f"key {_shown(each)}" for each in value)
            else:
                yield from _material(value, config)
    elif isinstance(settings, list | tuple):
        for each in settings:
            yield from _material(each, config)
    elif isinstance(settings, str) and settings in config.certificates:
        yield f"certificate sha256:{settings}"


def _shown(value: object) -> str:
    """An identity or key: its attributes, or a hash of what is longer than anybody reads."""
    if isinstance(value, Mapping):
        value = ",".join(f"{key}={part}" for key, part in sorted(value.items()))
    text = value if isinstance(value, str) else strictjson.canonical(value).decode()
    return ascii(text)[1:-1] if len(text) <= 200 else f"sha256:{sha256(text.encode()).hexdigest()}"
