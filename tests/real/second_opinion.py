"""Runs on the node: attaches signatures to an image one at a time, and asks the real `notation` about each.

`python second_opinion.py CONFIG_HOME REGISTRY`: standard input holds `{"image", "cases": [{"name", "envelope",
"mediaType", "trustPolicy"}]}`, bytes in base64; standard output gets `{name: [exit code, last line]}`.  Uses nothing
but the standard library.
"""

import base64
import hashlib
import http.client
import json
import os
import pathlib
import subprocess
import sys

MANIFEST, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
SIGNATURE = "application/vnd.cncf.notary.signature"
REPOSITORY = "second/opinion"


class Registry:
    """Pushes over one connection."""

    def __init__(self, host: str) -> None:
        """To this host."""
        self._connection = http.client.HTTPConnection(host, timeout=60)

    def blob(self, content: bytes, media_type: str) -> dict[str, object]:
        """Push a blob; returns its descriptor."""
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        location = self._send("POST", f"/v2/{REPOSITORY}/blobs/uploads/", b"", {})
        target = "/" + location.split("/", 3)[3] + ("&" if "?" in location else "?") + f"digest={digest}"
        self._send("PUT", target, content, {"Content-Type": "application/octet-stream"})
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def manifest(self, content: bytes, media_type: str, name: str = "") -> dict[str, object]:
        """Push a manifest, under its digest or a tag; returns its descriptor."""
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self._send("PUT", f"/v2/{REPOSITORY}/manifests/{name or digest}", content, {"Content-Type": media_type})
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def _send(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> str:
        self._connection.request(method, target, body, headers)
        response = self._connection.getresponse()
        said = response.read()
        if response.status not in (201, 202):
            raise SystemExit(f"{method} {target}: {response.status} {said!r}")
        return response.headers.get("Location") or ""


def main(config_home: pathlib.Path, host: str) -> None:
    """Ask about every case."""
    work = json.load(sys.stdin)
    registry = Registry(host)
    empty = registry.blob(b"{}", SIGNATURE)
    image = registry.manifest(base64.b64decode(work["image"]), MANIFEST)
    tag = str(image["digest"]).replace(":", "-")
    environment = os.environ | {"XDG_CONFIG_HOME": str(config_home)}
    answers = {}
    for case in work["cases"]:
        (config_home / "notation" / "trustpolicy.json").write_text(json.dumps(case["trustPolicy"]))
        layer = registry.blob(base64.b64decode(case["envelope"]), case["mediaType"])
        value = {"schemaVersion": 2, "mediaType": MANIFEST, "config": empty, "layers": [layer], "subject": image}
        listed = registry.manifest(json.dumps(value).encode(), MANIFEST) | {"artifactType": SIGNATURE}
        registry.manifest(
            json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed]}).encode(), INDEX, tag
        )
        command = ["notation", "verify", "--insecure-registry", f"{host}/{REPOSITORY}@{image['digest']}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        answers[case["name"]] = [done.returncode, (done.stderr or done.stdout).strip().rpartition("\n")[2]]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2])
