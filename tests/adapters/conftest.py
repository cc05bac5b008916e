"""What tests of the transports share: clients over either, a registry, a certificate authority."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Iterator

import pytest

from tests.adapters import transports
from tests.adapters.http_client import Client, Make
from tests.simulators.certificates import Authority
from tests.simulators.registry import RegistrySimulator


@pytest.fixture(params=transports.KINDS)
def make(request: pytest.FixtureRequest) -> Make:
    """Makes clients over either transport."""

    def of_this_kind(seconds: float, clock: Callable[[], float] = time.monotonic, **options: object) -> Client:
        return Client(transports.made(request.param, deadline=clock() + seconds, clock=clock, **options))  # type: ignore[arg-type]

    return of_this_kind


@pytest.fixture
def registry() -> Iterator[RegistrySimulator]:
    """A registry on plain http, open to all."""
    with RegistrySimulator() as running:
        yield running


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signs the certificates of a test."""
    return Authority(tmp_path)
