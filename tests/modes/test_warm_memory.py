"""The daemon's memory, and its time for others, while many images are verified to which much is attached."""

import base64
import json
import os
import pathlib
import subprocess
import sys
from typing import Any, NamedTuple

import pytest

from agent.adapters.budget import USUAL
from agent.formats.attestation import LAYERS_TYPE, MAX_TOTAL
from agent.formats.cosign_attested import MEDIA_TYPE
from agent.model.descriptor import Descriptor
from tests.signing_cosign import PAYLOAD_TYPE, PROVENANCE, public_pem
from tests.simulators.registry import RegistrySimulator
from tests.warm import publish

IMAGES, MANIFESTS, LAYERS = 8, 2, 4
LAYER = MAX_TOTAL // LAYERS - 1024

_DAEMON = """
import json, pathlib, re, sys, time
import anyio
from agent.adapters import policy_worker
from agent.adapters.ipc import Question
from agent.modes import warm
from tests.warm import warm_door

warm.DEADLINE = policy_worker.LABOUR_SECONDS = 60.0  # on a full machine, too

async def main():
    root, questions = pathlib.Path(sys.argv[1]), [bytes.fromhex(each) for each in json.load(sys.stdin)]
    said, longest = [], [0.0]

    async def others():
        while True:
            begun = time.thread_time()
            await anyio.sleep(0.01)
            longest[0] = max(longest[0], time.thread_time() - begun)

    async with warm_door(root) as door:
        async def ask(body):
            said.append((await door.pull(Question("pull", sys.argv[2], 60.0, b"", body)).message()).decode())

        async with anyio.create_task_group() as beside:
            beside.start_soon(others)
            async with anyio.create_task_group() as group:
                for each in questions:
                    group.start_soon(ask, each)
            beside.cancel_scope.cancel()
        rooms = door.rooms
        left = rooms.content.held + rooms.working.held + rooms.told.held
    peak = int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
    print(json.dumps([said, peak, left, longest[0]]))

anyio.run(main)
"""


class Found(NamedTuple):
    """What the door said, its peak (KiB), bytes of its room that nobody gave back; the longest silence.

    That is in seconds of the loop's own work: what other work on the machine takes is nobody's.
    """

    said: list[str]
    peak: int
    left: int
    longest: float


def envelope() -> bytes:
    """An attestation as large as it may be, which nobody has signed."""
    payload = base64.b64encode(bytes(LAYER * 3 // 4 - 300)).decode()
    signature = {"sig": base64.b64encode(os.urandom(70)).decode()}
    return json.dumps({"payloadType": PAYLOAD_TYPE, "payload": payload, "signatures": [signature]}).encode()


def attach(registry: RegistrySimulator, repository: str, image: Descriptor, layers: list[Descriptor], n: int) -> None:
    """Attach a manifest with attestations."""

    def form(each: Descriptor) -> dict[str, Any]:
        return {"mediaType": each.media_type, "digest": str(each.digest), "size": each.size}

    config = registry.push_blob(repository, b"{}", "application/vnd.oci.empty.v1+json")
    value = {
        "schemaVersion": 2, "mediaType": image.media_type, "artifactType": LAYERS_TYPE, "config": form(config),
        "layers": [form(each) for each in layers], "subject": form(image), "annotations": {"n": str(n)},
    }  # fmt: skip
    registry.push_manifest(repository, json.dumps(value).encode())


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """All images, asked for at once."""
    from agent import __version__
    from tests.warm import asked

    folder: pathlib.Path = tmp_path_factory.mktemp("memory")
    root, config = folder / "root", folder / "config"
    root.mkdir()
    config.mkdir()
    contents = [envelope() for _ in range(LAYERS)]
    with RegistrySimulator() as registry:
        questions = []
        for i in range(IMAGES):
            repository = f"evil/app{i}"
            image = registry.push_image(repository, salt=repository)
            layers = [registry.push_blob(repository, each, MEDIA_TYPE) for each in contents]
            for n in range(MANIFESTS):
                attach(registry, repository, image, layers, n)
            questions.append(asked(registry, repository, image).body.hex())
        section = {
            "apiVersion": "nodeseal.dev/v1alpha1",
            "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
            "verifiers": [{"name": "v", "type": "attestation", "keys": ["k.pub"], "predicateType": PROVENANCE}],
            "rules": [{"name": "r", "match": [f"{registry.host}/**"], "verifiers": ["v"], "policy": {"any": ["v"]}}],
        }
        store = {"version": "1.0.0", "plugins": [{"name": "oras", "useHttp": True}]}
        (config / "config.json").write_text(json.dumps({"store": store, "nodeseal": section}))
        (config / "k.pub").write_bytes(public_pem())
        publish(config, root)
        done = subprocess.run(
            [sys.executable, "-c", _DAEMON, str(root), __version__],
            input=json.dumps(questions),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert done.stderr == ""
    return Found(*json.loads(done.stdout))


def test_each_image_is_denied_or_left_to_its_child(found: Found) -> None:
    """None is let in, and none is in doubt."""
    assert len(found.said) == IMAGES
    assert {each.partition("\n")[0].split(" ")[1] for each in found.said} <= {"10", "alone"}


def test_memory_stays_far_below_what_the_daemon_may_have(found: Found) -> None:
    assert found.peak < USUAL / 1024 * 5 / 8
    assert found.left == 0


def test_others_are_told_meanwhile(found: Found) -> None:
    """A child that hears nothing for a second takes the daemon for dead."""
    assert found.longest < 1
