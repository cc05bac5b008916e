"""The demonstration's configuration: a signer of the Notary Project's and a key of cosign's, in Ratify's words."""

import json
import pathlib

from agent.formats.cosign import BUNDLE_TYPE, LEGACY_TYPE
from tests.signing import write_config


def write(folder: pathlib.Path, certificate: bytes, key: bytes, *, remembers: bool = True) -> pathlib.Path:
    """Write it, with both beside it; returns its folder.  One that does not remember verifies every pull anew."""
    write_config(folder, certificate, remembers=remembers)
    config = json.loads((folder / "config.json").read_text())
    config["policy"]["plugin"]["artifactVerificationPolicies"] = {"default": "any"}
    cosign = {"name": "cosign", "artifactTypes": f"{BUNDLE_TYPE},{LEGACY_TYPE}", "key": "cosign.pub"}
    config["verifier"]["plugins"].append(cosign)
    config["store"]["plugins"][0]["cosignEnabled"] = True
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "cosign.pub").write_bytes(key)
    return folder
