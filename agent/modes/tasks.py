"""What the daemon is to do beside answering pulls, as its command line says it."""

from typing import NamedTuple


class Proving(NamedTuple):
    """Prove that containerd asks us.

    `cri_socket` is empty for the first of the known ones that is there; `port` is the witness's, 0 for any free one.
    `taint` is removed after the first proof.
    """

    cri_socket: str = ""
    port: int = 0
    taint: "Taint | None" = None


class Taint(NamedTuple):
    """A taint that the node begins with.  `limit` is how long it may stay, in seconds; None for as long as it takes."""

    key: str
    limit: float | None
