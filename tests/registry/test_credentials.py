"""Docker configurations: what is read, what matches, what is said of the rest."""

import base64
import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import LimitExceeded, Malformed
from agent.model.reference import Repository
from agent.registry.credentials import Credential, Keyring, parse
from agent.registry.secret import Secret
from tests.registry.support import keyring

SHOP = Repository("registry.example.com", "shop/cart")


def auth(user: str, password: str) -> dict[str, str]:
    """An entry with both in one."""
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def held(credential: Credential) -> tuple[str, str, str, str]:
    """Everything secret in it."""
    return (
        credential.user.reveal(),
        credential.password.reveal(),
        credential.identity_token.reveal(),
        credential.registry_token.reveal(),
    )


def keys(ring: Keyring, name: str) -> list[str]:
    """Of the credentials for a repository, in their order."""
    host, _, path = name.partition("/")
    return [each.key for each in ring.credentials(Repository(host, path))]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (auth("jo", "pa:ss"), ("jo", "pa:ss", "", "")),
        ({"auth": base64.b64encode(b"jo:word\0\0").decode()}, ("jo", "word", "", "")),
        ({"auth": base64.b64encode(b"jo:wo").decode() + "\n"}, ("jo", "wo", "", "")),
        (auth("", "word"), ("", "word", "", "")),
        (auth("jö", "wörd"), ("jö", "wörd", "", "")),
        ({"username": "jo", "password": "word"}, ("jo", "word", "", "")),
        ({"auth": "", "username": "jo", "password": "word"}, ("jo", "word", "", "")),
        ({**auth("jo", "word"), "username": "other", "password": "x"}, ("jo", "word", "", "")),
        ({"identitytoken": "refresh"}, ("", "", "refresh", "")),
        ({**auth("00000000-0000", ""), "identitytoken": "refresh"}, ("00000000-0000", "", "refresh", "")),
        ({"registrytoken": "bearer"}, ("", "", "", "bearer")),
        ({**auth("jo", "word"), "email": "jo@example.com"}, ("jo", "word", "", "")),
        ({"auth": None, "username": "jo", "password": "word"}, ("jo", "word", "", "")),
    ],
)
def test_what_entries_hold(entry: dict[str, Any], expected: tuple[str, ...]) -> None:
    (found,) = keyring({SHOP.host: entry}).credentials(SHOP)
    assert held(found) == expected


@pytest.mark.parametrize(
    ("key", "name", "matches"),
    [
        ("registry.example.com", "registry.example.com/a/b", True),
        ("https://registry.example.com", "registry.example.com/a", True),
        ("http://registry.example.com/", "registry.example.com/a", True),
        ("REGISTRY.example.com", "registry.example.com/a", True),
        ("registry.example.com/v1/", "registry.example.com/a", True),
        ("https://registry.example.com/v2", "registry.example.com/a", True),
        ("registry.example.com/v2/a", "registry.example.com/a/b", True),
        ("registry.example.com", "registry.example.com:5000/a", False),
        ("registry.example.com:5000", "registry.example.com:5000/a", True),
        ("registry.example.com:443", "registry.example.com/a", False),
        ("registry.example.com", "other.example.com/a", False),
        ("example.com", "registry.example.com/a", False),
        ("registry.example.com", "registry.example.com.evil.net/a", False),
        ("*.example.com", "registry.example.com/a", True),
        ("*.example.com", "example.com/a", False),
        ("*.example.com", "a.b.example.com/a", False),
        ("*.*.example.com", "a.b.example.com/a", True),
        ("reg*y.example.com", "registry.example.com/a", True),
        ("re*i*y.example.com", "registry.example.com/a", True),
        ("re*x*y.example.com", "registry.example.com/a", False),
        ("regi*istry.example.com", "registry.example.com/a", False),
        ("*.azurecr.io", "x.azurecr.io.evil.com/a", False),
        ("*", "localhost:5000/a", False),
        ("*:5000", "localhost:5000/a", True),
        ("registry.example.com/team", "registry.example.com/team/app", True),
        ("registry.example.com/team/", "registry.example.com/team", True),
        ("registry.example.com/team", "registry.example.com/teammate/app", False),
        ("registry.example.com/team", "registry.example.com/other/team", False),
        ("registry.example.com/team/app", "registry.example.com/team", False),
        ("registry.example.com/*", "registry.example.com/team", False),
        ("[::1]:5000", "[::1]:5000/a", True),
        ("[::1]", "[::1]:5000/a", False),
        ("https://index.docker.io/v1/", "docker.io/library/busybox", True),
        ("docker.io", "docker.io/library/busybox", True),
        ("index.docker.io", "registry-1.docker.io/library/busybox", True),
        ("registry-1.docker.io", "docker.io/library/busybox", True),
        ("docker.io/team", "docker.io/team/app", True),
        ("docker.io/team", "docker.io/library/busybox", False),
        ("jo:word@registry.example.com", "registry.example.com/a", False),
        ("ftp://registry.example.com", "registry.example.com/a", False),
        ("", "registry.example.com/a", False),
        ("/team", "registry.example.com/team", False),
        ("registry.example.com/" + "a/" * 300, "registry.example.com/" + "a/" * 300, False),
        ("bücher.example.com", "registry.example.com/a", False),
    ],
)
def test_which_repositories_an_entry_is_for(key: str, name: str, matches: bool) -> None:
    assert keys(keyring({key: auth("jo", "word")}), name) == ([key] if matches else [])


def test_the_more_specific_comes_first() -> None:
    order = [
        "registry.example.com/team/app",
        "registry.example.com/team",
        "registry.example.com",
        "*.example.com/team",
        "regis*.example.com",
        "*.example.com",
        "*.*.com",
    ]
    for listed in (order, order[::-1]):
        assert keys(keyring({key: auth("jo", "word") for key in listed}), "registry.example.com/team/app") == order


def test_files_come_in_their_order() -> None:
    first = parse(json.dumps({"auths": {"*.example.com": auth("jo", "one")}}).encode(), "first")
    second = parse(json.dumps({"auths": {SHOP.host: auth("jo", "two")}}).encode(), "second")
    assert [each.source for each in Keyring([first, second]).credentials(SHOP)] == ["first", "second"]


DEFECTS: list[tuple[Any, str]] = [
    (7, "expected an object"),
    ([], "expected an object"),
    ({"auth": "not base64!"}, "expected base64"),
    ({"auth": "hunter2"}, "expected base64"),
    ({"auth": base64.b64encode(b"hunter2").decode()}, "expected base64"),
    ({"auth": base64.b64encode(b"\xff\xfe:hunter2").decode()}, "expected base64"),
    ({"auth": 7}, "auth: got int"),
    ({"username": "a:b", "password": "hunter2"}, "username"),
    ({"username": "a\n", "password": "hunter2"}, "username"),
    ({"username": "a" * 1025, "password": "hunter2"}, "username"),
    ({"username": "jo"}, "user name alone"),
    ({"username": "jo", "password": "hunter2\0x"}, "password"),
    ({"username": "jo", "password": "hunter2" * 3000}, "password"),
    ({"username": "jo", "password": ["hunter2"]}, "password: got list"),
    ({"identitytoken": "hunter2 "}, "identitytoken"),
    ({"identitytoken": "x" * 16385}, "identitytoken"),
    ({"registrytoken": "hunter2\r\nX: y"}, "registrytoken"),
]


@pytest.mark.parametrize(("entry", "told"), DEFECTS)
def test_entries_that_can_not_be_used(entry: Any, told: str) -> None:
    ring = keyring({SHOP.host: entry, "other.example.com": auth("jo", "word")})
    assert ring.credentials(SHOP) == ()
    complaint = ring.complaint(SHOP)
    assert complaint.startswith(f"config.json: entry '{SHOP.host}': ")
    assert told in complaint
    assert "hunter2" not in complaint
    assert keys(ring, "other.example.com/a") == ["other.example.com"]
    assert ring.complaint(Repository("other.example.com", "a")) == ""


def test_an_empty_entry_is_no_credential_and_no_defect() -> None:
    for empty in ({}, {"auth": ""}, {"email": "x"}):
        ring = keyring({SHOP.host: empty})
        assert (ring.credentials(SHOP), ring.complaint(SHOP)) == ((), "")


@pytest.mark.parametrize(
    ("config", "helper"),
    [
        ({"credHelpers": {SHOP.host: "ecr-login"}}, "'ecr-login'"),
        ({"credHelpers": {f"https://{SHOP.host}": "ecr-login"}, "credsStore": "desktop"}, "'ecr-login'"),
        ({"credHelpers": {"other.example.com": "ecr-login"}, "credsStore": "desktop"}, "'desktop'"),
        ({"auths": {SHOP.host: {}}, "credsStore": "desktop"}, "'desktop'"),
        ({"credsStore": "../evil\n"}, "'?'"),
        ({"credsStore": 7}, "'?'"),
        ({"credHelpers": {"other.example.com": "ecr-login"}}, ""),
        ({"credsStore": ""}, ""),
    ],
)
def test_what_only_a_helper_could_answer_is_told(config: dict[str, Any], helper: str) -> None:
    ring = Keyring([parse(json.dumps(config).encode(), "config.json")])
    assert ring.credentials(SHOP) == ()
    complaint = ring.complaint(SHOP)
    assert bool(complaint) == bool(helper)
    if helper:
        assert f"the credentials for {SHOP.host} are left to the credential helper {helper}" in complaint


def test_what_is_written_down_counts_before_a_helper() -> None:
    ring = keyring({SHOP.host: auth("jo", "word")}, credsStore="desktop")
    assert len(ring.credentials(SHOP)) == 1


def test_a_helper_for_docker_hub_goes_by_all_its_names() -> None:
    ring = keyring(credHelpers={"https://index.docker.io/v1/": "desktop"})
    assert "docker.io are left" in ring.complaint(Repository("docker.io", "library/busybox"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hunter2",
        b"[]",
        b"7",
        b'{"auths": {"a": {"auth": "hunter2"}}',
        b'{"auths": {}, "auths": {}}',
        b'{"hunter2": 1, "hunter2": 2}',
        b'{"auths": []}',
        b'{"auths": "hunter2"}',
        b'{"credHelpers": []}',
        b"\xff",
        b"[" * 100_000,
        json.dumps({"auths": {str(number): {} for number in range(1001)}}).encode(),
        b" " * (1024 * 1024) + b"{}",
        b'{"nodeseal": []}',
        b'{"nodeseal": {"realm": {}}}',
        b'{"nodeseal": {"realms": []}}',
        b'{"nodeseal": {"realms": {"registry.example.com": "auth.example.net"}}}',
        b'{"nodeseal": {"realms": {"registry.example.com": [7]}}}',
        b'{"nodeseal": {"realms": {"registry.example.com": ["https://auth.example.net/token"]}}}',
        b'{"nodeseal": {"realms": {"registry.example.com": ["auth.example.net/token"]}}}',
        b'{"nodeseal": {"realms": {"registry.example.com": ["*.example.net"]}}}',
        b'{"nodeseal": {"realms": {"registry example": []}}}',
    ],
)
def test_files_that_can_not_be_used(data: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        parse(data, "config.json")
    told, links = "", 0
    error: BaseException | None = caught.value
    while error is not None:
        told += repr(error) + repr(getattr(error, "__dict__", {}))
        assert not hasattr(error, "doc"), "what was read hangs on a decoder's exception"
        error, links = error.__context__, links + 1
    assert "hunter2" not in told
    assert caught.value.message.startswith("config.json")


def test_limits_are_named() -> None:
    with pytest.raises(LimitExceeded, match="1048576"):
        parse(b" " * (1024 * 1024 + 1), "config.json")
    with pytest.raises(LimitExceeded, match="1000"):
        parse(json.dumps({"credHelpers": {str(number): "x" for number in range(1001)}}).encode(), "config.json")


def test_realms_are_named_by_registry_in_one_spelling() -> None:
    ring = keyring(
        {SHOP.host: auth("jo", "word"), "docker.io": auth("jo", "word")},
        nodeseal={
            "realms": {"REGISTRY.example.com:443": ["Auth.example.net:443", "b.net:8443"], "docker.io": ["c.net"]}
        },
    )
    (found,) = ring.credentials(SHOP)
    assert found.realms(SHOP) == ("auth.example.net", "b.net:8443")
    assert found.realms(Repository("other.example.com", "a")) == ()
    assert found.realms(Repository("registry-1.docker.io", "a")) == ("c.net",)


def test_what_a_file_can_not_be_used_for_is_told_last() -> None:
    good = parse(json.dumps({"auths": {SHOP.host: auth("jo", "word")}}).encode(), "good")
    ring = Keyring([good], ["other: is a file that others may read"])
    assert len(ring.credentials(SHOP)) == 1
    assert ring.complaint(Repository("other.example.com", "a")) == "other: is a file that others may read"
    assert Keyring([]).complaint(SHOP) == ""


def test_secrets_are_shown_nowhere() -> None:
    ring = keyring(
        {SHOP.host: {**auth("jo-hunter2", "hunter2"), "identitytoken": "hunter2", "registrytoken": "hunter2"}}
    )
    (found,) = ring.credentials(SHOP)
    config = parse(json.dumps({"auths": {SHOP.host: auth("jo", "hunter2")}}).encode(), "config.json")
    for value in (found, config, config.entries, found.password, [found], {"x": found.user}):
        for text in (repr(value), str(value), f"{value}", "%r" % (value,)):  # noqa: UP031 - every way of formatting
            assert "hunter2" not in text
    with pytest.raises(TypeError):
        pickle.dumps(Secret("hunter2"))
    assert not Secret("")
    assert Secret("x")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "*", "am86d29yZA==", "a:b", "\x00"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["auths", "auth", "credHelpers", "credsStore", "nodeseal", "realms", "*.example.com", "[", "a"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.unmeasured
@settings(max_examples=300)
@given(_JSON)
def test_whatever_is_in_a_file(value: object) -> None:
    """It is read, or it is `Malformed`; looking something up never fails."""
    try:
        config = parse(json.dumps(value).encode(), "config.json")
    except Malformed:
        return
    ring = Keyring([config])
    for host in ("registry.example.com", "docker.io", "[::1]:5000", "localhost:5000"):
        assert isinstance(ring.credentials(Repository(host, "a")), tuple)
        assert ring.complaint(Repository(host, "a")).isascii()
