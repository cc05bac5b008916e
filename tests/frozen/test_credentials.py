"""The frozen program in front of a registry that is closed: the public suffix list is within, secrets stay within."""

import json
import pathlib
from typing import Iterator

import pytest

from tests.frozen.conftest import Setting
from tests.frozen.program import BUILT
from tests.simulators.authentication import IDENTITY, PASSWORD, SECRETS, USER, Gate, pair

pytestmark = pytest.mark.frozen


@pytest.fixture
def file(setting: Setting) -> Iterator[pathlib.Path]:
    """The node's docker configuration; the registry is open again at the end."""
    path = setting.program.root / "etc" / "nodeseal" / "docker-config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    setting.registry.seen.clear()
    yield path
    path.unlink()
    setting.registry.misbehave("*", lambda handler: False)


def test_public_suffix_list_is_inside() -> None:
    assert (BUILT / "_internal" / "publicsuffixlist" / "public_suffix_list.dat").stat().st_size > 100_000


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"auth": pair(USER, PASSWORD)}, 0),
        ({"identitytoken": IDENTITY}, 0),
        ({"auth": pair(USER, "wrong")}, 11),
        ({"auth": PASSWORD}, 11),
    ],
    ids=["password", "identity token", "wrong", "defect"],
)
def test_credentials_are_found_below_the_programs_root(
    setting: Setting, file: pathlib.Path, entry: dict[str, str], code: int
) -> None:
    setting.registry.misbehave("*", Gate(setting.registry))
    file.write_text(json.dumps({"auths": {setting.registry.host: entry}}))
    file.chmod(0o600)
    answer = setting.program.pull(setting.signed_name, str(setting.signed.digest), setting.signed.size)
    assert answer.code == code, answer
    assert not any(secret in answer.out + answer.err for secret in SECRETS)
    assert len(answer.out.encode()) <= 401
    if code == 0:
        kinds = [each.kind for each in setting.registry.seen]
        assert kinds == ["referrers", "token", "referrers", "manifest", "blob"]


@pytest.mark.parametrize("realm", ["https://auth.example.com/token", "https://auth.example.net/token"])
def test_realms_are_judged_by_the_public_suffix_list(setting: Setting, file: pathlib.Path, realm: str) -> None:
    """The list is read, or this would be a bug (70).  A proxy lends the registry its name, and leads to no realm."""
    setting.registry.misbehave("*", Gate(setting.registry, realm=realm))
    file.write_text(json.dumps({"auths": {"registry.example.com": {"auth": pair(USER, PASSWORD)}}}))
    file.chmod(0o600)
    answer = setting.program.pull(
        "registry.example.com/team/signed:1",
        str(setting.signed.digest),
        setting.signed.size,
        environment={"http_proxy": setting.registry.url, "https_proxy": setting.registry.url},
    )
    assert answer.code == 11, answer
    assert "registryUnavailable" in answer.out
    assert setting.registry.authorizations == []
