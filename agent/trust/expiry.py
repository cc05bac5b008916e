"""When certificates that are trusted end, so that somebody hears of it before signatures fail.

Decides nothing about signatures.  Pure.
"""

from collections.abc import Iterable

from cryptography import x509


def earliest_end(certificates: Iterable[bytes]) -> float | None:
    """When the first of these (DER) ends, in seconds since 1970; None if none can be read."""
    return min((end for end in map(_end, certificates) if end is not None), default=None)


def _end(der: bytes) -> float | None:
    try:
        return x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()
    except ValueError:
        return None
