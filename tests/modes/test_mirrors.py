"""A node whose containerd has mirrors in `certs.d`: recorded by an installation, and asked at every door."""

import json
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from agent.adapters import containerd, hostfacts
from agent.adapters.hostroot import HostRoot
from agent.adapters.nodestate import NodeState
from agent.modes import hostrecord
from agent.wiring.facts import MAIN
from tests.modes.hosts import Host, make_host
from tests.modes.test_host_facts import DOORS, HOST, Site
from tests.signing import attach_signature, envelope, usual_signer
from tests.simulators import misbehaviour
from tests.simulators.certificates import Authority
from tests.simulators.proxy import ProxySimulator
from tests.simulators.registry import RegistrySimulator
from tests.starvation import Pressure

CERTS = "/etc/containerd/certs.d"
CONFIG = f"version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '{CERTS}'\n"


class Mirrored(Site):
    """A site with a mirror on this host, under a CA that no bundle has."""

    mirror: RegistrySimulator
    corporate: Authority

    def recorded_of(self, hosts_toml: str, **files: bytes) -> dict[str, Any]:
        """What an installation records of a folder for the registry; the files go where the node has them."""
        host = self.folder / "host"
        folder = host / CERTS.lstrip("/") / HOST
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "hosts.toml").write_text(hosts_toml)
        (folder / "ca.pem").write_bytes(pathlib.Path(self.corporate.bundle).read_bytes())
        for name, content in files.items():
            (folder / name).write_bytes(content)
        found = hostfacts.certs(HostRoot(str(host)), [CERTS])
        self.copies = found.files
        return self.recorded(registries=dict(found.registries))

    def placed(self, name: str, found: dict[str, Any]) -> pathlib.Path:
        """A node with that record."""
        root = self.node(name, found=found)
        for path, content in self.copies.items():
            (root / path.lstrip("/")).parent.mkdir(exist_ok=True, mode=0o700)
            (root / path.lstrip("/")).write_bytes(content)
        return root


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Mirrored]:
    """The registry has image and signature, the mirror the image alone."""
    authority, signer = Authority(tmp_path), usual_signer()
    corporate = Authority(tmp_path, "corporate CA")
    with (
        RegistrySimulator(certificate=authority.issue([HOST])) as registry,
        RegistrySimulator(certificate=corporate.issue(["127.0.0.1"])) as mirror,
        ProxySimulator({HOST: registry.port}) as proxy,
    ):
        image = registry.push_image("team/app", "1")
        assert mirror.push_image("team/app", "1") == image
        attach_signature(registry, "team/app", image, envelope(signer, image))
        made = Mirrored(tmp_path, registry, proxy, authority, signer, image)
        made.mirror, made.corporate = mirror, corporate
        yield made


def answers(site: Mirrored, found: dict[str, Any], name: str = "node") -> list[tuple[int, str]]:
    """What each door says, each on a node of its own.

    Whose short deadline has passed on a full machine is asked again with the longest one.
    """
    said = []
    for door in DOORS:
        pressure = Pressure()
        one = door(site, site.placed(f"{name}-{door.__name__}", found), {})
        if "NS-3005" in one[1] and pressure.is_full():
            one = door(site, site.placed(f"{name}-again-{door.__name__}", found | {"deadline": "25s"}), {})
        said.append(one)
    return said


def test_image_is_verified_by_what_its_mirror_has_while_the_registry_can_not_be_reached(site: Mirrored) -> None:
    attach_signature(site.mirror, "team/app", site.image, envelope(site.signer, site.image))
    found = site.recorded_of(f'[host."{site.mirror.url}"]\ncapabilities = ["pull", "resolve"]\nca = "ca.pem"\n')
    found["proxy"] = {"HTTPS_PROXY": "http://127.0.0.1:1"}  # nobody
    for code, line in answers(site, found):
        assert (code, "ground=verified" in line) == (0, True), line
    asked = [each for each in site.mirror.seen if each.kind in ("manifests", "referrers", "blobs")]
    assert asked
    assert all(f"ns={HOST}" in each.target for each in asked), [each.target for each in asked]


@pytest.mark.parametrize("how", ["empty list", "404", "401", "silence", "spoilt", "unknown CA"])
def test_no_mirror_makes_a_signed_image_unsigned_or_an_unsigned_one_uncertain(site: Mirrored, how: str) -> None:
    if how in ("404", "401"):
        site.mirror.misbehave("referrers", lambda handler: handler.answer(int(how)))
        site.mirror.misbehave("manifests", lambda handler: handler.answer(int(how)))
    elif how == "silence":
        site.mirror.misbehave("referrers", misbehaviour.silence)
    elif how == "spoilt":
        site.mirror.misbehave("referrers", lambda handler: handler.answer(200, b"no json"))
    ca = "" if how == "unknown CA" else 'ca = "ca.pem"\n'
    found = site.recorded_of(f'[host."{site.mirror.url}"]\n{ca}') | {"deadline": "3s"}
    for code, line in answers(site, found):
        assert (code, "ground=verified" in line) == (0, True), line
    bare = site.registry.push_image("team/app", "2", salt="unsigned")
    unsigned = Mirrored(*site._replace(image=bare))
    unsigned.mirror, unsigned.corporate, unsigned.copies = site.mirror, site.corporate, site.copies
    for code, line in answers(unsigned, found, "unsigned"):
        assert code == 10, line


def test_mirror_with_bad_evidence_alone_denies_no_image_that_the_registry_has_good_evidence_of(site: Mirrored) -> None:
    """A stranger's signature is of the type that is asked for: nobody else is asked until the image would be denied."""
    stranger = usual_signer("stranger.example.net", number=3)
    attach_signature(site.mirror, "team/app", site.image, envelope(stranger, site.image))
    found = site.recorded_of(f'[host."{site.mirror.url}"]\nca = "ca.pem"\n')
    for code, line in answers(site, found):
        assert (code, "ground=verified" in line) == (0, True), line
    # A registry that nobody reaches makes no denial uncertain, and does not hold it back for long.
    for code, line in answers(site, found | {"proxy": {"HTTPS_PROXY": "http://127.0.0.1:1"}}, "alone"):
        assert (code, "NS-2103" in line) == (10, True), line
    site.registry.misbehave("referrers", misbehaviour.silence)
    begun, pressure = time.monotonic(), Pressure()
    code, line = DOORS[1](site, site.placed("silent", found), {})
    assert (code, "NS-2103" in line) == (10, True), line
    assert time.monotonic() - begun < 6 + pressure.slack()


def test_skip_verify_and_headers_are_the_mirrors_alone(site: Mirrored) -> None:
    attach_signature(site.mirror, "team/app", site.image, envelope(site.signer, site.image))
    text = f'[host."{site.mirror.url}"]\nskip_verify = true\n[host."{site.mirror.url}".header]\nx-team = "s3cret"\n'
    found = site.recorded_of(text)
    for code, line in answers(site, found):
        assert code == 0, line
    assert {each.headers.get("x-team") for each in site.mirror.seen} == {"s3cret"}
    # The registry behind it is verified as ever, and told nothing.
    site.mirror.misbehave("referrers", lambda handler: handler.answer(404))
    site.mirror.misbehave("manifests", lambda handler: handler.answer(404))
    for code, line in answers(site, found, "again"):
        assert code == 0, line
    assert all("x-team" not in each.headers for each in site.registry.seen)
    other = Authority(site.folder, "other CA")
    for door in DOORS:
        root = site.placed(f"other-{door.__name__}", found)
        (root / "etc/nodeseal/ca-bundle.pem").write_bytes(pathlib.Path(other.bundle).read_bytes())
        code, line = door(site, root, {})
        assert code == 11, line


def test_mirror_with_a_path_of_its_own(site: Mirrored) -> None:
    image = site.mirror.push_image("proxy/team/app", "1")
    assert image == site.image
    attach_signature(site.mirror, "proxy/team/app", image, envelope(site.signer, image))
    found = site.recorded_of(f'[host."{site.mirror.url}/v2/proxy"]\noverride_path = true\nca = "ca.pem"\n')
    found["proxy"] = {"HTTPS_PROXY": "http://127.0.0.1:1"}
    for code, line in answers(site, found):
        assert code == 0, line


def test_record_that_can_not_be_used_is_cannot_tell_and_asks_nobody(site: Mirrored) -> None:
    found = site.recorded_of(f'[host."{site.mirror.url}"]\n')
    found["registries"][HOST].insert(0, {"headers": [["bad name", "x"]]})
    for code, line in answers(site, found):
        assert code == 11, line
    assert not [each for each in site.mirror.seen if each.kind == "referrers"]


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    """A host with `certs.d`."""
    made = make_host(tmp_path)
    made.write(MAIN, CONFIG)
    made.write(f"{CERTS}/docker.io/hosts.toml", '[host."https://m.example"]\nca = "ca.pem"\n')
    made.write(f"{CERTS}/docker.io/ca.pem", "a CA")
    made.write(f"{CERTS}/r.example_5000_/client.cert", "no pair: no key")
    made.write(f"{CERTS}/README", "no folder")
    return made


def told(host: Host) -> list[str]:
    """The ids of what the doctor says of the record."""
    return [
        each.id for each in hostrecord.of_host(containerd.Asked(str(host.root)), str(host.root), host.world.facts())
    ]


def test_installation_records_certs_d_and_the_doctor_tells_when_it_changes(host: Host) -> None:
    host.install()
    found = json.loads(host.read("etc/nodeseal/bootstrap.json"))["found"]
    assert found["certsFolders"] == [CERTS]
    (mirror, own) = found["registries"]["docker.io"]
    assert (mirror["url"], own) == ("https://m.example/v2", {})
    assert host.read(mirror["ca"]) == "a CA"
    assert (host.root / mirror["ca"].lstrip("/")).stat().st_mode & 0o777 == 0o600
    assert found["registries"]["r.example_5000_"] == [{}]
    assert NodeState(str(host.root)).read_bootstrap().host.registries == found["registries"]
    assert told(host) == []
    host.write(f"{CERTS}/docker.io/ca.pem", "another CA")
    assert told(host) == ["host.registries"]
    host.install()
    assert told(host) == []
    assert not (host.root / mirror["ca"].lstrip("/")).exists()  # what nothing names any more is gone
    host.write(f"{CERTS}/bad.example/hosts.toml", '[host."https://user:pw@m.example"]\n')
    assert told(host) == ["host.registries"]
    before = host.tree()
    host.install()
    assert host.tree() == before  # what can't be used is not recorded, and told
    host.uninstall()
    assert not (host.root / "etc/nodeseal").exists()


@pytest.mark.unmeasured
def test_what_is_recorded_of_hosts_is_bounded(host: Host) -> None:
    for i in range(300):
        host.write(f"{CERTS}/r{i:03}.example/hosts.toml", f'[host."https://m{i}.example"]\n[host."x".header]\na="1"\n')
    found = hostfacts.certs(HostRoot(str(host.root)), [CERTS])
    assert len(found.registries) <= 256
    assert len(found.left_out) == 302 - len(found.registries)
    host.install()
    assert NodeState(str(host.root)).read_bootstrap().host.registries == found.registries
    assert "host.registries" in told(host)
