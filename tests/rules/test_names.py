"""Nobody chooses a rule, or escapes a list, by another spelling of the same name."""

import ipaddress
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.errors import UsageError
from agent.model.reference import Reference, Repository
from agent.rules import lists, matching, precedence
from agent.rules.rule import EVERYTHING, PolicySettings, Rule
from agent.rules.ruleset import Denied

DIGEST = "sha256:" + "0" * 64
CONFUSABLE = (
    "\u0430\u0435\u043e\u0440\u0441\u0131\u017f\u212a\uff41\uff0e\u3002"
    "\uff61\u2024\u2044\u2215\uff0f\u200b\u200d\u00ad\u0301\u202e\u00df"
)
"""Letters, dots and slashes of other scripts, and characters that nobody sees."""

_SEGMENTS = st.from_regex(r"[a-z0-9]{1,3}(?:[._-][a-z0-9]{1,3})?", fullmatch=True)
_PATHS = st.lists(_SEGMENTS, min_size=1, max_size=3).map("/".join)
_HOSTS = st.sampled_from(
    ["example.com", "registry.example.com", "example.com:5000", "localhost", "localhost:5000", "10.0.0.5:5000"]
)
_LABELS = st.sampled_from(["", ":1", ":latest", ":V1.0-x_Y"])


def parsed(name: str) -> Repository:
    """The repository of a name with a digest."""
    return Reference.parse(f"{name}@{DIGEST}").repository


def cased(draw: st.DrawFn, text: str) -> str:
    """The same letters, large and small."""
    return "".join(letter.upper() if draw(st.booleans()) else letter for letter in text)


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, str]:
    """A name without tag and digest, and another spelling of it."""
    host, path = draw(_HOSTS), draw(_PATHS)
    other = cased(draw, host)
    if ":" not in host and draw(st.booleans()):
        other += ":443"
    return f"{host}/{path}", f"{other}/{path}{draw(_LABELS)}"


@st.composite
def hub_spellings(draw: st.DrawFn) -> tuple[str, str]:
    """The same for Docker Hub, which has three names, and a library of what has one segment."""
    path = draw(_PATHS)
    host = cased(draw, draw(st.sampled_from(["docker.io", "index.docker.io", "registry-1.docker.io"])))
    port = draw(st.sampled_from(["", ":443"]))
    full = path if "/" in path else f"library/{path}"
    return f"docker.io/{full}", f"{host}{port}/{draw(st.sampled_from([path, full]))}{draw(_LABELS)}"


@st.composite
def ipv6_spellings(draw: st.DrawFn) -> tuple[str, str]:
    """The same for a registry at an IPv6 address."""
    number, port = draw(st.integers(0, 2**128 - 1) | st.integers(0, 2**33)), draw(st.sampled_from(["", ":5000"]))
    address = ipaddress.IPv6Address(number)
    groups = [group if draw(st.booleans()) else group.lstrip("0") or "0" for group in address.exploded.split(":")]
    other = draw(st.sampled_from([":".join(groups), address.exploded, cased(draw, ":".join(groups))]))
    assume("." not in str(address))  # Python shows a mapped address with dots, which no reference has
    return f"[{address}]{port}/a", f"[{other}]{port}/a{draw(_LABELS)}"


@pytest.mark.unmeasured
@given(spellings() | hub_spellings() | ipv6_spellings())
def test_every_spelling_of_a_name_is_under_the_same_rules_and_lists(both: tuple[str, str]) -> None:
    name, other = both
    repository = parsed(other)
    assert matching.complaint(name) == ""
    assert matching.matches(matching.canonical(name), repository)
    assert parsed(name).scope == repository.scope
    assert lists.denied((Denied(matching.canonical(name)),), repository, DIGEST)
    strict = Rule("strict", (matching.canonical(name),), (), PolicySettings("", {}))
    everything = Rule("everything", (EVERYTHING,), (), PolicySettings("", {}))
    assert precedence.rule_for((everything, strict), repository) is strict


@given(spellings() | hub_spellings() | ipv6_spellings())
def test_pattern_means_the_same_however_its_host_is_written(both: tuple[str, str]) -> None:
    name, other = (each.partition("@")[0] for each in both)
    host, _, path = other.partition("/")
    other = f"{host}/{path.partition(':')[0]}"
    assert matching.canonical(name) == matching.canonical(other)


@given(_HOSTS, _PATHS, _SEGMENTS)
def test_name_that_only_begins_like_a_pattern_is_another_name(host: str, path: str, more: str) -> None:
    longer = parsed(f"{host}/{path}{more}")
    for pattern in (f"{host}/{path}", f"{host}/{path}/**", f"{host}/{path}/*"):
        assert not matching.matches(matching.canonical(pattern), longer)
    around = [f"x{host}/{path}", f"x.{host}/{path}"] if "example" in host else []
    for name in (f"{host}/{more}{path}", *around):
        assert not matching.matches(f"{host}/{path}", parsed(name))


@given(st.sampled_from(["example.com", "localhost", "10.0.0.5"]), st.integers(1, 65535), st.integers(1, 65535))
def test_other_port_is_another_registry(host: str, port: int, other: int) -> None:
    same = parsed(f"{host}:{port}/a").scope == parsed(f"{host}:{other}/a").scope
    assert same is (port == other)
    assert (parsed(f"{host}:{port}/a").scope == parsed(f"{host}/a").scope) is (port == 443)


@given(_PATHS, st.sampled_from(string.punctuation + string.whitespace + "\x00\x7f" + CONFUSABLE), st.integers(0, 40))
def test_name_with_a_character_that_looks_like_another_is_refused(path: str, character: str, at: int) -> None:
    assume(character not in "-._/:@")  # these have a meaning, and their places
    name = f"registry.example.com/{path}"
    at = min(at, len(name))
    with pytest.raises(UsageError):
        Reference.parse(f"{name[:at]}{character}{name[at:]}@{DIGEST}")


@pytest.mark.parametrize(
    "name",
    [
        "example.com./a",
        "example.com.:5000/a",
        "localhost./a",
        "docker.io./library/busybox",
        ".example.com/a",
        "example..com/a",
        "example.com:/a",
        "example.com:0443/a",
        "example.com:00443/a",
        "example.com%2f/a",
        "example.com/%61",
        "example.com/a%2Fb",
        "example.com/./a",
        "example.com/a/../b",
        "example.com//a",
        "example.com/a/",
        "user@example.com/a",
        "http://example.com/a",
        "EXAMPLE.COM/A",
    ],
)
def test_spelling_that_would_be_another_name_of_something_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        parsed(name)


def numeric_spellings(address: ipaddress.IPv4Address) -> list[str]:
    """What a resolver takes for an address: one to four parts, decimal, octal or hexadecimal."""
    number = int(address)
    parts = [(number >> shift) & 255 for shift in (24, 16, 8, 0)]
    heads = [(), parts[:1], parts[:2], parts[:3]]
    rests = [number, number & 0xFFFFFF, number & 0xFFFF, number & 0xFF]
    return [
        ".".join(map(form, (*head, rest)))
        for head, rest in zip(heads, rests, strict=True)
        for form in (str, "0{:o}".format, hex)
    ]


_LOOPBACK = st.integers(0, 2**24 - 1).flatmap(
    lambda low: st.sampled_from([ipaddress.IPv4Address(low), ipaddress.IPv4Address((127 << 24) + low)])
)


@given(_LOOPBACK, st.sampled_from(["", ":5000"]))
def test_this_machine_is_known_by_every_spelling_of_its_addresses(address: ipaddress.IPv4Address, port: str) -> None:
    for spelling in numeric_spellings(address):
        assert lists.is_loopback(f"{spelling}{port}"), spelling
        assert lists.is_loopback(f"{spelling}{port}".upper().replace("0X", "0x")), spelling


@given(st.sampled_from([*range(1, 127), *range(128, 256)]), st.integers(0, 2**24 - 1), st.sampled_from(["", ":5000"]))
def test_ordinary_address_in_its_usual_form_is_not_this_machine(first: int, rest: int, port: str) -> None:
    address = ipaddress.IPv4Address((first << 24) + rest)
    assert not lists.is_loopback(f"{address}{port}")


@given(st.integers(0, 2**32 - 1))
def test_registry_at_an_ipv4_address_has_one_name(number: int) -> None:
    usual = str(ipaddress.IPv4Address(number))
    for spelling in numeric_spellings(ipaddress.IPv4Address(number)):
        if spelling != usual:
            with pytest.raises(UsageError):
                parsed(f"{spelling}:5000/a")
    mapped = f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]:5000/a"
    assert parsed(mapped).scope == parsed(f"{usual}:5000/a").scope


@pytest.mark.parametrize(
    ("host", "is_this_machine"),
    [
        ("localhost", True),
        ("LOCALHOST:5000", True),
        ("registry.localhost", True),
        ("localhost.localdomain:5000", True),
        ("ip6-loopback:5000", True),
        ("[::1]:5000", True),
        ("[0:0:0:0:0:0:0:1]", True),
        ("[::ffff:7f00:1]", True),
        ("127.0.0.1", True),
        ("127.1", True),
        ("0x7f000001", True),
        ("017700000001:5000", True),
        ("0", True),
        ("127.0.0.1.example.com", False),
        ("localhost.example.com", False),
        ("registry.example.com:5000", False),
        ("10.0.0.5", False),
    ],
)
def test_what_is_this_machine(host: str, is_this_machine: bool) -> None:
    assert lists.is_loopback(host) is is_this_machine
