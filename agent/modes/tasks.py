"""What the daemon is to do beside answering pulls, as its command line says it."""

from typing import NamedTuple


class Proving(NamedTuple):
    """Prove that containerd asks us.

    `cri_socket` is empty for the first of the known ones that is there; `port` is the witness's, 0 for any free one.
    """

    cri_socket: str = ""
    port: int = 0
