"""A registry under a CA of the operator's own: trusted by the configuration, and by nothing else."""

import io
import json
import pathlib
import shutil

import pytest

from agent.modes import verify
from agent.modes.verify import handle
from tests.signing import attach_signature, envelope, usual_signer, write_config
from tests.simulators.certificates import Authority
from tests.simulators.registry import RegistrySimulator

TRUSTED = usual_signer()


def told(config: pathlib.Path, image: str) -> tuple[int, str]:
    """What `nodeseal verify` answers under a configuration."""
    import argparse

    parser = argparse.ArgumentParser()
    verify.add_parser(parser.add_subparsers())
    options = parser.parse_args(["verify", "--config", str(config), "--timeout", "60", image])
    out = io.StringIO()
    return int(handle(options, {"HOME": str(config)}, out, io.StringIO())), out.getvalue()


@pytest.mark.parametrize("trusted", [True, False], ids=["named in the configuration", "not named"])
def test_registry_under_a_private_ca_is_read_where_the_configuration_trusts_it(
    tmp_path: pathlib.Path, trusted: bool
) -> None:
    authority = Authority(tmp_path)
    config = write_config(tmp_path / "config", TRUSTED.root_pem)
    document = json.loads((config / "config.json").read_text())
    del document["store"]["plugins"][0]["useHttp"]
    if trusted:
        document["store"]["plugins"][0]["caCertificates"] = ["registry-ca.crt"]
    shutil.copy(authority.bundle, config / "registry-ca.crt")
    (config / "config.json").write_text(json.dumps(document))
    with RegistrySimulator(certificate=authority.issue(["127.0.0.1"])) as registry:
        image = registry.push_image("team/app", "1")
        attach_signature(registry, "team/app", image, envelope(TRUSTED, image))
        code, line = told(config, f"{registry.host}/team/app:1")
    assert code == (0 if trusted else 11), line
    assert ("ground=verified" if trusted else "TLS failed") in line
