"""Keeps what nobody uses off the pull path: three things that `cryptography` does in a process that a pod waits for.

- `cryptography.x509` imports the library's OpenSSH key formats, and with them `dataclasses` and `inspect`: about 15 ms,
  for something that no signature here needs.  An empty module stands in their place.
- Whoever names ECDSA imports OpenSSL's backend, and with it ciphers and `threading`: 6 ms, to ask about a way to sign.
  It is imported once something is asked of it.
- `cryptography.x509.name` compiles patterns over all of Unicode, to read names that are written as text: 11 ms.  They
  are compiled once one of them is used.

Only containerd's child does this, before it imports `cryptography`; every other mode imports the library whole.
"""

import re
import sys
from types import ModuleType
from typing import NoReturn

OPENSSH = "cryptography.hazmat.primitives.serialization.ssh"
BACKEND = "cryptography.hazmat.backends.openssl.backend"
NAMES = "cryptography.x509.name"

_compile = re.compile


class _Absent(ModuleType):
    """A module whose every name can be imported and none can be used."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return _refuse


class _LateBackend:
    """`backend` of the module that is called `BACKEND`."""

    def __getattr__(self, name: str) -> object:
        from importlib import import_module

        if sys.modules[BACKEND].__spec__ is None:  # the one that stands in its place
            del sys.modules[BACKEND]
        return getattr(import_module(BACKEND).backend, name)


class _LatePattern:
    """What `re.compile` returns, once something is asked of it."""

    def __init__(self, pattern: str, flags: int) -> None:
        self._arguments = pattern, flags

    def __getattr__(self, name: str) -> object:
        return getattr(_compile(*self._arguments), name)


def load_less() -> None:
    """Leave these three out of this process.  Does nothing about what `cryptography` has imported already."""
    sys.modules.setdefault(OPENSSH, _Absent(OPENSSH))
    backend = ModuleType(BACKEND)
    backend.__dict__["backend"] = _LateBackend()
    sys.modules.setdefault(BACKEND, backend)
    re.compile = _compiled_late_for_names  # type: ignore[assignment]


def _compiled_late_for_names(pattern: str, flags: int = 0) -> object:
    caller = sys._getframe(1).f_globals.get("__name__")
    return _LatePattern(pattern, flags) if caller == NAMES else _compile(pattern, flags)


def _refuse(*_: object, **__: object) -> NoReturn:
    raise RuntimeError(f"{OPENSSH} is not loaded in containerd's child")
