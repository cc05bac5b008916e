"""Keeps what nobody uses off the pull path.

`cryptography.x509` imports the library's OpenSSH key formats, and with them `dataclasses` and `inspect`: about 15 ms of
a process that a pod waits for, for something that no signature here needs.  containerd's child puts an empty module in
their place before it imports `cryptography`; every other mode imports the library whole.
"""

import sys
from types import ModuleType
from typing import NoReturn

OPENSSH = "cryptography.hazmat.primitives.serialization.ssh"


class _Absent(ModuleType):
    """A module whose every name can be imported and none can be used."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return _refuse


def _refuse(*_: object, **__: object) -> NoReturn:
    raise RuntimeError(f"{OPENSSH} is not loaded in containerd's child")


def without_openssh() -> None:
    """Leave OpenSSH formats out of this process.  Does nothing if `cryptography` has them already."""
    sys.modules.setdefault(OPENSSH, _Absent(OPENSSH))
