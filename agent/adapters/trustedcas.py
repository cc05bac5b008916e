"""Where a Linux host keeps the CA certificates it trusts: one bundle of PEM certificates, by distribution.

The environment is not asked (SSL_CERT_FILE and the like): whoever may set a variable of the process would choose whom
the node trusts.
"""

from typing import Sequence

from agent.errors import Cause, Unavailable

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Gentoo, Arch, Flatcar, COS, Talos
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # RHEL, Fedora, Amazon Linux
    "/etc/pki/tls/certs/ca-bundle.crt",  # Bottlerocket, older RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE, SLES
    "/var/lib/ca-certificates/ca-bundle.pem",  # openSUSE's transactional systems
    "/etc/ca-certificates/extracted/tls-ca-bundle.pem",  # Arch, where the compatibility link is missing
    "/etc/ssl/certs/ca-bundle.crt",  # NixOS
    "/etc/ssl/cert.pem",  # Alpine without its ca-certificates package
)


def find(explicit: str = "", search: Sequence[str] = BUNDLES) -> str:
    """The path of the CA bundle: `explicit` if given, else the first of `search` that can be read.

    Raises `Unavailable` if there is none: without it no registry can be told from another.
    """
    for path in (explicit,) if explicit else search:
        try:
            with open(path, "rb") as bundle:
                if bundle.read(1):
                    return path
        except OSError:
            continue
    raise Unavailable(
        f"no CA certificates: got none at {explicit or ', '.join(search)}; expected a bundle in PEM",
        cause=Cause.REGISTRY_UNAVAILABLE,
        hint="install the ca-certificates package of this host, or name a bundle",
    )
