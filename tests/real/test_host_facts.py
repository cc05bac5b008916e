"""A registry that only containerd's proxy and certs.d lead to: what is pulled through them is verified through them."""

import json
import pathlib
import tempfile

import pytest

from agent.adapters import ipc
from agent.model.descriptor import Descriptor
from tests.signing import attach_signature, envelope, usual_signer, write_config
from tests.simulators.certificates import Authority
from tests.simulators.proxy import ProxySimulator
from tests.simulators.registry import RegistrySimulator
from tests.testbed.images import Layout
from tests.testbed.inside import Inside
from tests.testbed.node import Node
from tests.testbed.wholehost import CONFIG, UNIT, WholeHost, whole_host

pytestmark = pytest.mark.real

HOST, MIRROR = "registry.example.test", "mirror.example.test"
REPOSITORY = "team/app"
CERTS = "/etc/containerd/certs.d"
HOSTS = f"""server = "https://{HOST}"
ca = "corporate.pem"
[host."https://{MIRROR}"]
  capabilities = ["pull", "resolve"]
  ca = "corporate.pem"
"""
TRUSTED = usual_signer("build.example.com")
SECRET = "hunter2"
NOBODY = {"HTTPS_PROXY": "http://127.0.0.1:1", "SSL_CERT_FILE": "/dev/null"}


def push(node: Node, label: str, *registries: RegistrySimulator) -> Descriptor:
    """An image that can be run, under the tag `label`."""
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(pathlib.Path(folder, "layout"), pathlib.Path(node.tools.program("busybox")))
        layout.add_image(label, label)
        blobs = {path.name: path.read_bytes() for path in (layout.folder / "blobs/sha256").iterdir()}
        (named,) = json.loads((layout.folder / "index.json").read_text())["manifests"]
    for registry in registries:
        for content in blobs.values():
            registry.push_blob(REPOSITORY, content)
        pushed = registry.push_manifest(REPOSITORY, blobs[named["digest"].partition(":")[2]], tag=label)
    return pushed


def doors(host: WholeHost) -> list[tuple[str, str]]:
    """Who answered, and what, for each pull so far."""
    lines = (host.root / "var/log/nodeseal/spool.jsonl").read_text().splitlines()
    return [(each["door"], each["code"]) for each in map(json.loads, lines)]


def test_what_containerd_pulls_by_proxy_mirror_and_private_ca_is_verified_by_them_at_every_door(node: Node) -> None:
    folder = node.work / "hostfacts"
    folder.mkdir()
    corporate, public = Authority(folder, "corporate CA"), Authority(folder, "public CA")
    with (
        RegistrySimulator(certificate=corporate.issue([HOST])) as registry,
        RegistrySimulator(certificate=corporate.issue([MIRROR]), referrers_api=False) as mirror,
        Inside(node.pid) as inside,
        ProxySimulator({HOST: registry.port, MIRROR: mirror.port}, listening=inside.listener()) as proxy,
    ):
        variables = {"HTTPS_PROXY": f"http://me:{SECRET}@127.0.0.1:{proxy.port}"}
        asked_later = ("second", "third", "fourth", "fifth")
        for label in ("first", *asked_later):  # the mirror has all images and no signature
            image = push(node, label, registry, mirror)
            attach_signature(registry, REPOSITORY, image, envelope(TRUSTED, image))
        push(node, "unsigned", registry, mirror)
        config = CONFIG + f"[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = '{CERTS}'\n"
        more = {
            f"{CERTS}/{HOST}/hosts.toml": HOSTS,
            f"{CERTS}/{HOST}/corporate.pem": pathlib.Path(corporate.bundle).read_text(),
            "etc/ssl/certs/ca-certificates.crt": pathlib.Path(public.bundle).read_text(),
            f"etc/systemd/system/{UNIT}": "[Service]\n",
        }
        with whole_host(node, config, more, variables) as host:
            told = host.install()
            assert told.code == 0, told.out + told.err
            assert SECRET not in told.out + told.err
            found = json.loads((host.root / "etc/nodeseal/bootstrap.json").read_text())["found"]
            assert found["proxy"] == variables
            assert found["deadline"] == "8s"
            assert [each.get("url") for each in found["registries"][HOST]] == [
                f"https://{MIRROR}/v2",
                f"https://{HOST}/v2",
            ]
            write_config(node.work / "trusting", TRUSTED.root_pem)
            document = json.loads((node.work / "trusting/config.json").read_text())
            document["store"]["plugins"][0].pop("useHttp", None)
            (node.work / "trusting/config.json").write_text(json.dumps(document))
            program = f"{host.root}/opt/nodeseal/current/nodeseal"
            here = ("--root", str(host.root))
            applied = host.nodeseal("config", "apply", str(node.work / "trusting"), *here, program=program)
            assert applied.code == 0, applied.err

            pulled = host.pull(f"{HOST}/{REPOSITORY}:first")
            assert pulled.ok, pulled.error
            refused = host.pull(f"{HOST}/{REPOSITORY}:unsigned")
            assert not refused.ok
            assert "00-nodeseal rejected image (exit code 10): deny NS-2" in refused.error
            assert [door for door, _ in doors(host)[-2:]] == ["plugin", "plugin"]
            assert any(each.line.startswith(f"CONNECT {MIRROR}:443") for each in proxy.asked)
            assert all(f"ns={HOST}" in each.target for each in mirror.seen if each.kind in ("manifests", "referrers"))
            assert not any("ns=" in each.target for each in registry.seen)

            # By hand and by a daemon, neither of which has containerd's environment.
            asked = node.run([program, "verify", *here, f"{HOST}/{REPOSITORY}:first"], environment=NOBODY)
            assert asked.code == 0, asked.out + asked.err
            words = ["env", *(f"{name}={value}" for name, value in NOBODY.items()), program, "watch", *here]
            with node.started([*words, "--metrics", "off"], log=node.work / "hostfacts.log"):
                socket = host.root / ipc.FOLDER / ipc.NAME
                node.must(["timeout", "50", "sh", "-c", f"until test -S {socket}; do sleep 0.05; done"])
                for label in asked_later:  # a daemon that is kept from the processor for a second is done without
                    pulled = host.pull(f"{HOST}/{REPOSITORY}:{label}")
                    assert pulled.ok, pulled.error
                    if doors(host)[-1] != ("plugin", "NS-0001"):
                        break
                assert doors(host)[-1] == ("daemon", "NS-0001")

            doctor = host.nodeseal("doctor", "--host", str(host.root), *here, "--format", "json", program=program)
            ids = [each["id"] for each in json.loads(doctor.out)["findings"]]
            assert not [each for each in ids if each.startswith("host.")], ids
            (host.root / CERTS[1:] / HOST / "hosts.toml").write_text(f'server = "https://{HOST}"\n')
            doctor = host.nodeseal("doctor", "--host", str(host.root), *here, "--format", "json", program=program)
            assert "host.registries" in [each["id"] for each in json.loads(doctor.out)["findings"]]

            spoken = [path for path in (host.root / "var").rglob("*nodeseal*/**/*") if path.is_file()]
            assert spoken
            assert not [path for path in spoken if SECRET.encode() in path.read_bytes()]
            assert SECRET not in (node.work / "hostfacts.log").read_text()
