"""Pushing the image, and writing its digest into a manifest."""

import json
import pathlib

import image
import push
import pytest
import yaml

from agent.model.reference import Reference
from agent.registry import credentials
from tests.simulators.pushes import PASSWORD, TOKEN, USER, PushRegistry

PLACEHOLDER = "registry.example.com/nodeseal@sha256:" + "0" * 64
PUSHED = "reg.example.com:5000/team/nodeseal@sha256:" + "a" * 64
MANIFEST = f"""\
apiVersion: apps/v1
kind: DaemonSet
spec:
  template:
    spec:
      initContainers:
      - name: install   # image: of the node
        image: {PLACEHOLDER}   # by make push
        args: [install]
        env:
        - name: NODESEAL_IMAGE
          value: {PLACEHOLDER}
        - {{name: OTHER, value: "{PLACEHOLDER}"}}
      containers:
      - image: "{PLACEHOLDER}"
        name: watch
"""


def everywhere(reference: str) -> str:
    """The manifest with another image, but where a variable that is not ours has it."""
    return MANIFEST.replace(PLACEHOLDER, reference).replace(f'value: "{reference}"', f'value: "{PLACEHOLDER}"')


@pytest.fixture
def layout(tmp_path: pathlib.Path) -> pathlib.Path:
    """A small image."""
    layers = [b"one" * 1000, b"two" * 1000]
    image.write_layout(tmp_path / "layout", layers, image.config("0.1.0", 0), "0.1.0")
    return tmp_path / "layout"


def target(registry: PushRegistry, *, password: str = PASSWORD, extra: str = "") -> push.Target:
    """The repository that is pushed to, with a docker configuration."""
    entry = {"auths": {registry.host: {"username": USER, "password": password}}, **json.loads(extra or "{}")}
    keyring = credentials.Keyring([credentials.parse(json.dumps(entry).encode(), "config.json")])
    return push.Target(Reference.parse(f"{registry.host}/team/nodeseal:any").repository, keyring)


@pytest.mark.parametrize("wants", ["", "basic", "bearer"])
def test_everything_arrives(layout: pathlib.Path, wants: str) -> None:
    with PushRegistry(wants=wants) as registry:
        digest = target(registry).push(layout)
    names = {path.name for path in (layout / "blobs" / "sha256").iterdir()}
    assert {each.removeprefix("sha256:") for each in registry.blobs} == names - {digest.removeprefix("sha256:")}
    assert registry.manifests["0.1.0"] == (layout / "blobs" / digest.replace(":", "/")).read_bytes()
    assert set(registry.scopes) == ({"repository:team/nodeseal:pull,push"} if wants == "bearer" else set())


def test_what_is_there_is_not_sent_again(layout: pathlib.Path) -> None:
    with PushRegistry() as registry:
        target(registry).push(layout)
        registry.requests.clear()
        target(registry).push(layout)
    assert [each.split()[0] for each in registry.requests] == ["HEAD", "HEAD", "HEAD", "PUT"]


def test_wrong_credentials_end_in_a_sentence_without_them(layout: pathlib.Path) -> None:
    with PushRegistry(wants="bearer") as registry, pytest.raises(push.Refused, match="gives no token") as caught:
        target(registry, password="wr0ng-word").push(layout)
    assert "wr0ng-word" not in str(caught.value)


def test_no_credentials_at_all_are_told(layout: pathlib.Path) -> None:
    with PushRegistry(wants="basic") as registry:
        bare = push.Target(Reference.parse(f"{registry.host}/team/nodeseal:any").repository, credentials.Keyring(()))
        with pytest.raises(push.Refused, match="wants credentials"):
            bare.push(layout)


def test_a_credential_helper_is_named_and_not_run(layout: pathlib.Path) -> None:
    with PushRegistry(wants="basic") as registry:
        config = credentials.parse(b'{"credsStore": "desktop"}', "config.json")
        bare = push.Target(
            Reference.parse(f"{registry.host}/team/nodeseal:any").repository, credentials.Keyring([config])
        )
        with pytest.raises(push.Refused, match="no helper is run"):
            bare.push(layout)


def test_credentials_go_to_no_realm_elsewhere(layout: pathlib.Path) -> None:
    with PushRegistry(wants="bearer") as registry, PushRegistry() as elsewhere:
        registry.realm = f"http://localhost:{elsewhere.host.split(':')[1]}/token"
        with pytest.raises(push.Refused):
            target(registry).push(layout)
        assert elsewhere.requests == []


def test_authorization_goes_to_no_upload_elsewhere(layout: pathlib.Path) -> None:
    with PushRegistry(wants="basic") as registry, PushRegistry(wants="basic") as elsewhere:
        registry.uploads = f"http://{elsewhere.host}/uploads/1"
        with pytest.raises(push.Refused, match="without HTTPS"):
            target(registry).push(layout)
        assert elsewhere.requests == []


def test_another_manifest_than_ours_is_found_out(layout: pathlib.Path) -> None:
    with PushRegistry() as registry, pytest.raises(push.Refused, match="another manifest"):
        registry.lies = True
        target(registry).push(layout)


def test_plain_http_is_for_loopback_alone() -> None:
    assert not push._is_loopback("registry.example.com")
    assert not push._is_loopback("10.0.0.1:5000")
    assert push._is_loopback("127.0.0.1:5000")
    assert push._is_loopback("localhost")
    assert push._is_loopback("[::1]:5000")


def test_the_command_pushes_and_rewrites(
    layout: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "daemonset.yaml"
    manifest.write_text(MANIFEST)
    with PushRegistry(wants="bearer") as registry:
        (tmp_path / "config.json").write_text(
            json.dumps({"auths": {registry.host: {"username": USER, "password": PASSWORD}}})
        )
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        push.main([f"{registry.host}/team/nodeseal", str(layout), str(manifest)])
    (digest,) = (each["digest"] for each in json.loads((layout / "index.json").read_bytes())["manifests"])
    reference = f"{registry.host}/team/nodeseal@{digest}"
    printed = capsys.readouterr().out
    assert printed == f"pushed {reference}\ndaemonset.yaml: its image is this one now\n"
    assert PASSWORD not in printed
    assert TOKEN not in printed
    assert manifest.read_text() == everywhere(reference)


@pytest.mark.parametrize("words", [[], [""], ["registry.example.com"], ["UPPER.example.com/Nodeseal"]])
def test_a_command_without_a_repository_says_what_it_wants(words: list[str]) -> None:
    with pytest.raises(SystemExit, match="expected|got"):
        push.main(words)


def test_the_image_of_a_manifest_is_rewritten_wherever_it_stands() -> None:
    text = push.rewritten(MANIFEST, PUSHED)
    spec = yaml.safe_load(text)["spec"]["template"]["spec"]
    assert [each["image"] for each in (*spec["initContainers"], *spec["containers"])] == [PUSHED, PUSHED]
    assert spec["initContainers"][0]["env"][0] == {"name": "NODESEAL_IMAGE", "value": PUSHED}
    assert text == everywhere(PUSHED)
    assert "# by make push" in text
    assert "# image: of the node" in text
    assert push.rewritten(push.rewritten(MANIFEST, PUSHED), PLACEHOLDER) == MANIFEST


@pytest.mark.parametrize(
    "manifest",
    [
        "kind: ConfigMap\n",
        MANIFEST.replace(f'"{PLACEHOLDER}"', "registry.example.com/other@sha256:" + "1" * 64),
        MANIFEST.replace(PLACEHOLDER, "registry.example.com/nodeseal:1.0"),
        MANIFEST.replace(f"value: {PLACEHOLDER}", "value: registry.example.com/nodeseal@sha256:" + "1" * 64),
    ],
    ids=["none", "two different ones", "by tag", "another one that it is told"],
)
def test_a_manifest_that_is_not_ours_is_left_alone(manifest: str) -> None:
    with pytest.raises(push.Refused, match="expected one, by digest"):
        push.rewritten(manifest, PUSHED)
