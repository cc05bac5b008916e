"""A folder as the real `notation` keeps it: checked, put in force, and verified under."""

import json
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent import cli
from tests.signing import attach_signature, envelope, key, trust_policy, usual_signer, write_config
from tests.simulators.registry import RegistrySimulator

TRUSTED, STRANGER = usual_signer(), usual_signer("stranger.example.com")
REPOSITORY, TWIN = "team/app", "team/app-2"


class Setting(NamedTuple):
    """A registry with a signed image and a stranger's, a configuration, and the folder of notation that it names."""

    registry: RegistrySimulator
    config: pathlib.Path
    notation: pathlib.Path
    root: pathlib.Path

    def name(self, repository: str) -> str:
        """An image on the registry."""
        return f"{self.registry.host}/{repository}:1"


@pytest.fixture
def setting(tmp_path: pathlib.Path) -> Iterator[Setting]:
    """A new one."""
    with RegistrySimulator() as registry:
        for repository, signed_by in ((REPOSITORY, TRUSTED), (TWIN, STRANGER)):
            image = registry.push_image(repository, "1", salt=repository)
            attach_signature(registry, repository, image, envelope(signed_by, image))
        notation = tmp_path / "home" / ".config" / "notation"
        store = notation / "truststore" / "x509" / "ca" / "acme"
        store.mkdir(parents=True)
        (store / "acme.crt").write_bytes(TRUSTED.root_pem)
        # What else lies in such a folder: never read, least of all the key.
        (notation / "localkeys").mkdir()
        pem = key("P-256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (notation / "localkeys" / "acme.key").write_bytes(pem)
        (notation / "localkeys" / "acme.crt").write_bytes(TRUSTED.root_pem)
        (notation / "signingkeys.json").write_text('{"default": "acme", "keys": []}')
        (notation / "config.json").write_text('{"signatureFormat": "jws"}')
        policy = trust_policy(registryScopes=[f"{registry.host}/{REPOSITORY}"], trustStores=["ca:acme"])
        (notation / "trustpolicy.json").write_text(json.dumps(policy))
        config = write_config(tmp_path / "config", b"")
        (config / "trusted.crt").unlink()
        value = json.loads((config / "config.json").read_text())
        plugin = value["verifier"]["plugins"][0]
        del plugin["verificationCerts"], plugin["trustPolicyDoc"]
        plugin["notationDirectory"] = "../home/.config/notation"
        (config / "config.json").write_text(json.dumps(value))
        yield Setting(registry, config, notation, tmp_path / "root")


def run(*words: object) -> int:
    """Run the command; how it ended."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", *map(str, words)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_it_is_accepted_and_verified_under(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("config", "check", setting.config) == 0
    assert "0 errors, 1 warning" in capsys.readouterr().out  # of plain HTTP
    assert run("verify", "--config", setting.config, setting.name(REPOSITORY)) == 0
    assert run("verify", "--config", setting.config, setting.name(TWIN)) == 10
    assert "NS-2108" in capsys.readouterr().out  # no trust policy: the scope is no prefix


def test_signer_of_another_store_is_not_trusted(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    (setting.notation / "trustpolicy.oci.json").write_text(json.dumps(trust_policy(trustStores=["ca:acme"])))
    other = setting.notation / "truststore" / "x509" / "ca" / "others"
    other.mkdir()
    (other / "stranger.pem").write_bytes(STRANGER.root_pem)
    assert run("verify", "--config", setting.config, setting.name(REPOSITORY)) == 0
    capsys.readouterr()
    assert run("verify", "--config", setting.config, setting.name(TWIN)) == 10
    assert "NS-2103" in capsys.readouterr().out


def test_what_is_in_force_no_longer_depends_on_the_folder(setting: Setting) -> None:
    assert run("config", "apply", setting.config, "--root", setting.root) == 0
    (setting.notation / "trustpolicy.json").unlink()
    assert run("verify", "--root", setting.root, setting.name(REPOSITORY)) == 0
    assert run("config", "apply", setting.config, "--root", setting.root) == 3


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("trustpolicy.json", "elsewhere.json"),
        ("truststore/x509/ca/acme", "../../../localkeys"),
        ("truststore/x509/ca/acme/more.crt", "../../../../localkeys/acme.crt"),
    ],
)
def test_link_in_it_is_refused(setting: Setting, capsys: pytest.CaptureFixture[str], link: str, target: str) -> None:
    place = setting.notation / link
    if place.exists():
        place.rename(setting.notation / "elsewhere.json")
    place.symlink_to(target)
    assert run("config", "check", setting.config) == 3
    told = capsys.readouterr().out
    assert "got a symbolic link" in told
    assert "PRIVATE" not in told


def test_store_that_is_empty_or_has_a_folder_is_refused(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    store = setting.notation / "truststore" / "x509" / "ca" / "acme"
    (store / "old").mkdir()
    assert run("config", "check", setting.config) == 3
    assert "acme/old: got a folder; expected a regular file" in capsys.readouterr().out
    (store / "old").rmdir()
    (store / "acme.crt").unlink()
    assert run("config", "check", setting.config) == 3
    assert "'ca:acme', which is not there or empty" in capsys.readouterr().out
