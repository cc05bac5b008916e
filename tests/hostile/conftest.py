"""The stage, one for each module: so that what one module's registry does is not the next one's business."""

import pathlib
from typing import Iterator

import pytest

from tests.frozen.program import Program
from tests.hostile.stage import Stage
from tests.signing import usual_signer, write_config
from tests.simulators.registry import RegistrySimulator
from tests.trust.tokens import authority


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The program, configured, its registry, and a host that is none of its business."""
    folder: pathlib.Path = tmp_path_factory.mktemp("hostile")
    trusted = usual_signer()
    with RegistrySimulator() as registry, RegistrySimulator() as other:
        program = Program(folder / "host")
        configuration = write_config(
            folder / "config",
            trusted.root_pem,
            remembers=False,
            paths=["trusted.crt", "clock.crt"],
            trustStores=["ca:trusted", "tsa:clock"],
            trustedIdentities=["x509.subject: C=US, ST=WA, O=Acme"],
            signatureVerification={"level": "strict", "verifyTimestamp": "afterCertExpiry"},
        )
        clock = authority()
        (configuration / "clock.crt").write_bytes(clock.root_pem)
        program.apply(configuration)
        yield Stage(program, registry, other, trusted, clock)
