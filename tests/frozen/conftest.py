"""The program under a root of its own, a registry in this process, and images that a trusted signer signed or not."""

import pathlib
from typing import Iterator, NamedTuple

import pytest

from agent.model.descriptor import Descriptor
from tests.frozen.program import Program
from tests.signing import Signer, attach_signature, envelope, usual_signer, write_config
from tests.simulators.registry import RegistrySimulator


class Setting(NamedTuple):
    """A program that trusts `trusted`, a registry, and two images on it."""

    program: Program
    registry: RegistrySimulator
    trusted: Signer
    signed: Descriptor
    unsigned: Descriptor

    @property
    def signed_name(self) -> str:
        """The signed image, as containerd names it."""
        return f"{self.registry.host}/team/signed:1"

    @property
    def unsigned_name(self) -> str:
        """The unsigned one."""
        return f"{self.registry.host}/team/unsigned:1"


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The program, placed, without a configuration."""
    return Program(tmp_path_factory.mktemp("bare") / "host")


@pytest.fixture(autouse=True)
def nothing_verified_before(request: pytest.FixtureRequest) -> None:
    """Each test begins without what the program remembers of the ones before."""
    if "setting" in request.fixturenames:
        request.getfixturevalue("setting").program.forget()


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """The program, configured, and its registry."""
    folder: pathlib.Path = tmp_path_factory.mktemp("setting")
    trusted = usual_signer()
    with RegistrySimulator() as registry:
        signed = registry.push_image("team/signed", "1", salt="signed")
        unsigned = registry.push_image("team/unsigned", "1", salt="unsigned")
        attach_signature(registry, "team/signed", signed, envelope(trusted, signed))
        program = Program(folder / "host")
        program.apply(write_config(folder / "config", trusted.root_pem))
        yield Setting(program, registry, trusted, signed, unsigned)
