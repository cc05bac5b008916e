"""Where a registry's images are asked for, by what is recorded of `certs.d`."""

from typing import Any

import pytest

from agent.errors import Cause, Unavailable
from agent.model.reference import Repository
from agent.registry.access import Access
from agent.registry.hosts import HostTls, Place, places, until
from agent.registry.memory import Memory
from agent.registry.urls import Origin

HUB = Repository("docker.io", "library/busybox")
OURS = Repository("r.example:5000", "team/app")


def of(registries: dict[str, Any], repository: Repository = OURS, *, use_http: bool = False) -> tuple[Place, ...]:
    """The places."""
    return places(registries, repository, use_http=use_http)


def url(place: Place) -> str:
    """A manifest's URL there, whole."""
    made = Access.at(place, Memory(lambda: 0.0, lambda: None)).url("manifests", "x")
    return f"{made.origin}{made.target}"


@pytest.mark.parametrize(
    ("host", "folder"),
    [
        ("r.example:5000", "r.example_5000_"),
        ("r.example:5000", "r.example:5000"),
        ("r.example:5000", "_default"),
        ("r.example", "r.example"),
        ("r.example", "_default"),
        ("[::1]:5000", "[::1]_5000_"),
        ("docker.io", "docker.io"),
    ],
)
def test_folder_is_found_by_the_registrys_name(host: str, folder: str) -> None:
    found = of({folder: [{"url": "https://m.example/v2"}, {}], "other.example": [{}]}, Repository(host, "a/b"))
    assert [each.origin.host for each in found][0] == "m.example"
    assert len(found) == 2


def test_first_folder_that_is_there_counts_even_if_it_says_nothing() -> None:
    registries = {"r.example_5000_": [{}], "r.example:5000": [{"url": "https://m.example/v2"}, {}]}
    assert of(registries) == (Place(OURS, Origin("https", "r.example", 5000)),)
    assert of({"r.example": [{"url": "https://m.example/v2"}, {}]}) == of({})


def test_mirror_is_told_which_registry_is_meant_and_the_registry_is_not() -> None:
    mirror, own = of({"_default": [{"url": "https://m.example/v2"}, {}]})
    assert url(mirror) == "https://m.example/v2/team/app/manifests/x?ns=r.example%3A5000"
    assert url(own) == "https://r.example:5000/v2/team/app/manifests/x"


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ("https://m.example/v2/proxy", "https://m.example/v2/proxy/library/busybox/manifests/x?ns=docker.io"),
        ("https://m.example/sub/v2", "https://m.example/sub/v2/library/busybox/manifests/x?ns=docker.io"),
        ("https://m.example", "https://m.example/library/busybox/manifests/x?ns=docker.io"),
        ("http://m.example:80/v2", "http://m.example/v2/library/busybox/manifests/x?ns=docker.io"),
        ("https://docker.io/v2", "https://registry-1.docker.io/v2/library/busybox/manifests/x"),
        ("https://registry-1.docker.io/v2", "https://registry-1.docker.io/v2/library/busybox/manifests/x"),
    ],
)
def test_path_stands_in_front_of_the_repository(recorded: str, expected: str) -> None:
    assert url(of({"docker.io": [{"url": recorded}]}, HUB)[0]) == expected


def test_repository_at_a_mirror_has_the_mirrors_name_for_credentials_and_its_prefix_for_tokens() -> None:
    mirror, own = of({"docker.io": [{"url": "https://m.example:1/v2/proxy"}, {}]}, HUB)
    assert mirror.repository == Repository("m.example:1", "proxy/library/busybox")
    assert own.repository == HUB


def test_tls_and_headers_are_of_their_place_alone() -> None:
    place = {"url": "https://m.example/v2", "ca": "/c.pem", "client": ["/k.pem"], "skipVerify": True,
             "headers": [["x-a", "secret"]], "resolves": False}  # fmt: skip
    mirror, own = of({"_default": [place, {}]})
    assert mirror.tls == HostTls(Origin("https", "m.example", 443), ("/c.pem",), ("/k.pem",), skip_verify=True)
    assert mirror.tls.under("/root/").cas == ("/root/c.pem",)
    assert (mirror.headers, mirror.resolves) == ((("x-a", "secret"),), False)
    assert "secret" not in repr(mirror)
    assert own == of({})[0]


@pytest.mark.parametrize(
    "place",
    [
        1,
        [],
        {"url": 1},
        {"url": "https://"},
        {"url": "https://m.example/v2?x=1"},
        {"url": "https://user:pass@m.example/v2"},
        {"url": "https://m.example/../v2"},
        {"url": "ftp://m.example"},
        {"ca": 1},
        {"client": "x"},
        {"client": ["x"] * 9},
        {"headers": [["x"]]},
        {"headers": [["x y", "1"]]},
        {"headers": [["x", "1\r\ny: 2"]]},
        {"headers": [["x", "1"]] * 33},
    ],
    ids=str,
)
def test_record_that_can_not_be_used_is_no_answer_and_never_another_place(place: object) -> None:
    with pytest.raises(Unavailable) as raised:
        of({"_default": [place]})
    assert raised.value.cause is Cause.CONFIGURATION_INVALID
    assert "pass" not in raised.value.message


def test_each_place_leaves_the_ones_behind_it_their_share_of_the_time() -> None:
    assert [until(10.0, 18.0, i, 4) for i in range(4)] == [12.0, 14.0, 16.0, 18.0]
