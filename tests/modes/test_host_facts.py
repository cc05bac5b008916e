"""What a node has recorded of its host counts at every door, whatever environment each of them was given."""

import argparse
import io
import json
import os
import pathlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

import anyio
import pytest

from agent import __version__
from agent.adapters import answers, ipc
from agent.adapters.http_dial import HostNetwork
from agent.adapters.ipc import Question
from agent.adapters.snapshots import SnapshotStore
from agent.model.descriptor import Descriptor
from agent.modes import place, plugin, verify
from agent.modes.config import load_for_person
from agent.modes.warm import WarmDoor
from agent.modes.warm_access import Connections
from tests.frozen.program import descriptor, plugin_words
from tests.modes.test_node import write_bootstrap
from tests.modes.warmdoor import Said
from tests.signing import Signer, attach_signature, envelope, usual_signer, write_config
from tests.simulators import misbehaviour
from tests.simulators.certificates import Authority
from tests.simulators.proxy import ProxySimulator
from tests.simulators.registry import RegistrySimulator
from tests.starvation import Pressure

HOST = "registry.example"
NOBODY = "http://127.0.0.1:1"
ENVIRONMENTS: tuple[Mapping[str, str], ...] = (
    {},
    {"HTTPS_PROXY": NOBODY, "https_proxy": NOBODY},
    {"NO_PROXY": "*", "SSL_CERT_FILE": "/dev/null"},
)


class Answered(NamedTuple):
    """What a door said, and how long it took."""

    code: int
    line: str
    seconds: float


class Site(NamedTuple):
    """A registry under a CA of its own, behind a proxy, and what verifies an image of it."""

    folder: pathlib.Path
    registry: RegistrySimulator
    proxy: ProxySimulator
    authority: Authority
    signer: Signer
    image: Descriptor

    def recorded(self, **changes: object) -> dict[str, Any]:
        """What an installation would record here."""
        proxy = {"HTTPS_PROXY": f"http://me:s3cret@127.0.0.1:{self.proxy.port}"}
        return {"version": 1, "caBundle": "/etc/nodeseal/ca-bundle.pem", "proxy": proxy, **changes}

    def node(self, name: str, **keys: Any) -> pathlib.Path:
        """A node of its own, with nothing remembered."""
        root = self.folder / name
        write_bootstrap(root, **keys)
        (root / "etc/nodeseal/ca-bundle.pem").write_bytes(pathlib.Path(self.authority.bundle).read_bytes())
        config = write_config(self.folder / f"{name}-config", self.signer.root_pem)
        document = json.loads((config / "config.json").read_text())
        document["store"]["plugins"][0].pop("useHttp", None)
        (config / "config.json").write_text(json.dumps(document))
        SnapshotStore(str(root)).publish(load_for_person(str(config), "/"))
        return root


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    """With a signed image."""
    authority, signer = Authority(tmp_path), usual_signer()
    with (
        RegistrySimulator(certificate=authority.issue([HOST])) as registry,
        ProxySimulator({HOST: registry.port}) as proxy,
    ):
        image = registry.push_image("team/app", "1")
        attach_signature(registry, "team/app", image, envelope(signer, image))
        yield Site(tmp_path, registry, proxy, authority, signer, image)


def by_verify(site: Site, root: pathlib.Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """A person's door."""
    out = io.StringIO()
    parser = argparse.ArgumentParser()
    verify.add_parser(parser.add_subparsers())
    options = parser.parse_args(["verify", "--root", str(root), f"{HOST}/team/app@{site.image.digest}"])
    return int(verify.handle(options, environment, out, io.StringIO())), out.getvalue()


def by_child(site: Site, root: pathlib.Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """containerd's child, by itself."""
    words = plugin_words(f"{HOST}/team/app:1", str(site.image.digest))
    body = descriptor(str(site.image.digest), site.image.size)
    pull, deadline = plugin._Pull(), time.monotonic() + plugin.DEADLINE
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(place, "running_program", lambda: f"{root}/opt/nodeseal/0.1.0/nodeseal")
        patched.setattr(place, "unsafe", lambda program: "")
        call = plugin.Call(["nodeseal", *words], environment, True, body)
        answer = plugin._judge(pull, plugin.parse_arguments(call.argv), call, deadline)
    return int(answer.exit), answer.line()


def by_daemon(site: Site, root: pathlib.Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """The daemon."""

    async def ask() -> Said:
        async with Connections(str(root), environment) as connections, anyio.create_task_group() as group:
            door = WarmDoor(str(root), connections, group, lambda error: None)
            words = ["nodeseal", *plugin_words(f"{HOST}/team/app:1", str(site.image.digest))]
            body = answers._words(words, descriptor(str(site.image.digest), site.image.size))
            said = Said.of(await door.pull(Question(ipc.PULL, __version__, 7.0, b"", body)).message())
            group.cancel_scope.cancel()
        return said

    said = anyio.run(ask)
    return said.code, said.line


DOORS: tuple[Callable[..., tuple[int, str]], ...] = (by_verify, by_child, by_daemon)


def at_all_doors(site: Site, **keys: Any) -> list[Answered]:
    """What each door says in each environment; each on a node of its own."""
    found = []
    for door in DOORS:
        for i, environment in enumerate(ENVIRONMENTS):
            root = site.node(f"{door.__name__}-{i}", **keys)
            begun = time.monotonic()
            code, line = door(site, root, environment)
            found.append(Answered(code, line, time.monotonic() - begun))
    return found


def test_every_door_takes_proxy_and_ca_bundle_from_the_record_whatever_its_environment(site: Site) -> None:
    answered = at_all_doors(site, found=site.recorded())
    for each in answered:
        assert each.code == 0, each
        assert "ground=verified" in each.line
    assert len({each.headers["proxy-authorization"] for each in site.proxy.asked}) == 1


@pytest.mark.parametrize("owner", [False, True], ids=["found", "written by the owner over what was found"])
def test_every_door_uses_no_proxy_where_the_record_has_none(
    site: Site, owner: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"found": site.recorded(), "host": {"proxy": {}}} if owner else {"found": site.recorded(proxy={})}
    url = f"http://127.0.0.1:{site.proxy.port}"

    def unknown(self: HostNetwork, host: str, port: int) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(HostNetwork, "resolve", unknown)
    monkeypatch.setattr("tests.modes.test_host_facts.ENVIRONMENTS", ({"HTTPS_PROXY": url}, {}))
    answered = at_all_doors(site, **keys)
    assert {each.code for each in answered} == {11}, answered
    assert all("the name can't be resolved" in each.line for each in answered), answered
    assert site.proxy.asked == []


def test_every_door_trusts_the_recorded_bundle_alone(site: Site) -> None:
    (site.folder / "other").mkdir()
    other = Authority(site.folder / "other")
    for door in DOORS:
        root = site.node(door.__name__, found=site.recorded())
        (root / "etc/nodeseal/ca-bundle.pem").write_bytes(pathlib.Path(other.bundle).read_bytes())
        code, line = door(site, root, {})
        assert (code, "TLS failed" in line) == (11, True), line
        root = site.node(f"{door.__name__}-gone", found=site.recorded())
        os.unlink(root / "etc/nodeseal/ca-bundle.pem")
        code, line = door(site, root, {})
        assert (code, "no CA certificates" in line) == (11, True), line


def test_every_door_answers_within_the_recorded_deadline(site: Site) -> None:
    site.registry.misbehave("referrers", misbehaviour.silence)
    for door in DOORS:
        root = site.node(door.__name__, found=site.recorded(deadline="2s"))
        begun, pressure = time.monotonic(), Pressure()
        code, line = door(site, root, {})
        assert code == 11, line
        assert "NS-3005" in line, line
        assert time.monotonic() - begun < 6 + pressure.slack()  # of the usual eight


def test_without_a_record_the_environment_says_where_the_proxy_is(site: Site) -> None:
    environment = {"HTTPS_PROXY": f"http://127.0.0.1:{site.proxy.port}"}
    for door in DOORS:
        root = site.node(door.__name__, host={"caBundle": "/etc/nodeseal/ca-bundle.pem"})
        assert door(site, root, environment)[0] == 0


def test_no_answer_has_the_proxys_password(site: Site) -> None:

    site.registry.misbehave("referrers", misbehaviour.silence)
    for door in DOORS:
        root = site.node(door.__name__, found=site.recorded(proxy={"HTTPS_PROXY": "http://me:s3cret@127.0.0.1:1"}))
        code, line = door(site, root, {})
        assert code == 11
        assert "s3cret" not in line
        spoken = [path for path in root.rglob("*") if path.is_file() and path.name != "bootstrap.json"]
        assert not [path for path in spoken if b"s3cret" in path.read_bytes()]
