"""A configuration signed by the real `cosign`, as the documentation says, without any service."""

import contextlib
import io
import json
import os
import pathlib
import subprocess

import pytest

from agent import cli
from agent.config import bootstrap, dialectschema
from tests.signing import usual_signer, write_config
from tests.testbed.tools import Tools

pytestmark = pytest.mark.real

NO_SERVICES = {"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}


def nodeseal(*words: str) -> tuple[object, str]:
    """Exit code and output of a command."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), pytest.raises(SystemExit) as caught:
        cli.main(["nodeseal", *words])
    return caught.value.code, out.getvalue()


def test_what_cosign_signs_is_put_in_force(tools: Tools, tmp_path: pathlib.Path) -> None:
    folder, root = write_config(tmp_path / "set", usual_signer().root_pem), tmp_path / "node"
    section = {"apiVersion": dialectschema.API_VERSION, "serial": 1}
    (folder / "nodeseal.json").write_text(json.dumps({"nodeseal": section}))
    (tmp_path / "no-services.json").write_text(json.dumps(NO_SERVICES))

    def cosign(*words: str) -> None:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "COSIGN_PASSWORD": ""}
        command = ["unshare", "--net", tools.program("cosign"), *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr

    cosign("generate-key-pair")
    path = root / "etc/nodeseal/bootstrap.json"
    path.parent.mkdir(parents=True)
    floor = {"signedBy": [(tmp_path / "cosign.pub").read_text()]}
    path.write_text(json.dumps({"apiVersion": bootstrap.API_VERSION, "floor": floor}))
    code, statement = nodeseal("config", "statement", str(folder))
    assert code == 0
    (tmp_path / "statement.json").write_text(statement)
    cosign("sign-blob", "--key=cosign.key", "--signing-config=no-services.json", "--bundle=b.json", "statement.json")
    bundle = json.loads((tmp_path / "b.json").read_text())
    (folder / "nodeseal.sig").write_text(bundle["messageSignature"]["signature"] + "\n")
    assert nodeseal("config", "apply", str(folder), "--root", str(root))[0] == 0
    (folder / "trusted.crt").write_bytes(usual_signer().root_pem + b"\n")
    code, told = nodeseal("config", "apply", str(folder), "--root", str(root))
    assert code == 3
    assert "nodeseal.sig: got a signature that does not hold" in told
