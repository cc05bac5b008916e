"""Unit tests run without a network: whatever leaves this machine's loopback fails the test that asked for it.

Nor does a test fail for being slow: how long generated input takes is the machine's, and its other work's, doing.
The dearest files come first: workers are given whole files, and none shall begin with one of minutes at the end.
"""

import functools
import ipaddress
import os
import pathlib
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# gRPC, with which the CRI is spoken to, aborts processes that are forked from one in which it has threads.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

_DEAREST = ("real", "hostile", "rules", "modes", "frozen")
"""Folders that start containerd, the program or the daemon for nearly every test, or ask thousands of times."""

_FROZEN = ("frozen", "hostile", "real")
"""Folders of which only the tests' own part runs in Python that could be measured: simulators, signers."""

_SLOWEST = ("test_newcomer.py", "test_portable.py")
"""Of the slow tests, those that build the program."""

_LOCAL_NAMES = ("localhost", "", None)


class NetworkUsed(AssertionError):
    """A test tried to reach something beyond the loopback interface."""


def _is_local(host: Any) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple) and not _is_local(arguments[1][0]):
        raise NetworkUsed(f"connection to {arguments[1]}")
    if event == "socket.getaddrinfo" and not _is_local(arguments[0]):
        raise NetworkUsed(f"look-up of {arguments[0]}")


sys.addaudithook(_guard)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The dearest files first; the order within a file stays.  Nothing of `_FROZEN` is measured."""

    @functools.cache
    def rank(path: pathlib.Path) -> int:
        if path.name in _SLOWEST:
            return -1
        folder = path.relative_to(pathlib.Path(__file__).parent).parts[0]
        return _DEAREST.index(folder) if folder in _DEAREST else len(_DEAREST)

    items.sort(key=lambda item: rank(item.path))
    for item in items:
        if item.path.parent.name in _FROZEN:
            item.add_marker("unmeasured")


def pytest_sessionfinish() -> None:
    """Leave no process behind that others were forked from."""
    if "tests.forked" in sys.modules:
        sys.modules["tests.forked"].stop()
