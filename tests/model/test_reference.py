"""Names, digests and descriptors: what is read, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Malformed, UsageError
from agent.model.descriptor import MAX_SIZE, Descriptor
from agent.model.digest import Digest
from agent.model.reference import Reference

HEX = "a" * 64
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "host", "path", "tag", "digest"),
    [
        ("registry.example.com/a/b:1", "registry.example.com", "a/b", "1", None),
        (f"registry.example.com/a@{DIGEST}", "registry.example.com", "a", None, DIGEST),
        (f"registry.example.com/a:1@{DIGEST}", "registry.example.com", "a", "1", DIGEST),
        ("registry.example.com:5000/a:1", "registry.example.com:5000", "a", "1", None),
        ("127.0.0.1:5000/a:1", "127.0.0.1:5000", "a", "1", None),
        ("localhost/a:1", "localhost", "a", "1", None),
        ("[::1]:5000/a:1", "[::1]:5000", "a", "1", None),
        ("10.0.0.5/a:1", "10.0.0.5", "a", "1", None),
        ("5.example/a:1", "5.example", "a", "1", None),
        ("Registry.Example.COM/a:1", "registry.example.com", "a", "1", None),
        ("docker.io/library/busybox:latest", "docker.io", "library/busybox", "latest", None),
        ("r.example/a__b/c--d/e.f_g:V1.0-x_Y", "r.example", "a__b/c--d/e.f_g", "V1.0-x_Y", None),
    ],
)
def test_full_names_are_read(text: str, host: str, path: str, tag: str | None, digest: str | None) -> None:
    reference = Reference.parse(text)
    assert (reference.repository.host, reference.repository.path, reference.tag) == (host, path, tag)
    assert (str(reference.digest) if reference.digest else None) == digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "busybox",
        "busybox:1",
        "r.example:0443/a:1",
        "library/busybox:1",
        "r.example/",
        "r.example/a",
        "r.example/A:1",
        "r.example/a:",
        "r.example/a:-x",
        "r.example/a:" + "x" * 129,
        "r.example//a:1",
        "r.example/a/:1",
        "r.example/../a:1",
        "r.example/a:1@",
        f"r.example/a:1@{DIGEST}@{DIGEST}",
        f"r.example/a@{DIGEST.upper()}",
        "r.example/a@sha256:../../x",
        "r.example:port/a:1",
        "r.example:999999/a:1",
        "r.example:65536/a:1",
        "r.example:0/a:1",
        "r.example:/a:1",
        "-r.example/a:1",
        "r..example/a:1",
        "user@r.example/a:1",
        "https://r.example/a:1",
        "r.example/a:1\n",
        "r.example/a\x00:1",
        "r.example/\x1b[31m:1",
        "r.ex\u0430mple/a:1",
        "r.example./a:1",
        "127.1:5000/a:1",
        "2130706433:5000/a:1",
        "0x7f000001:5000/a:1",
        "0x7f.1/a:1",
        "0177.0.0.1/a:1",
        "127.0.0.1.1/a:1",
        "127.0.0.256/a:1",
        "r.example.1/a:1",
        "[:::]:5000/a:1",
        "[1:2]/a:1",
        "[::1/a:1",
        "[fe80::1%eth0]/a:1",
        "r.example/\uff41:1",
        "r.example/a%2fb:1",
        "r.example/a?x:1",
        "r.example/" + "a" * 256 + ":1",
        "r.example/" + "a" * 5000 + ":1",
    ],
)
def test_other_names_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError):
        Reference.parse(text)


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1", "docker.io/library/busybox:1"),
        ("team/app", "docker.io/team/app:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/team/app:1", "docker.io/team/app:1"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}"),
        ("localhost/a", "localhost/a:latest"),
        ("r.example:5000/a", "r.example:5000/a:latest"),
    ],
)
def test_short_names_of_people_are_completed_as_docker_does(text: str, full: str) -> None:
    assert str(Reference.parse_short(text)) == full


@pytest.mark.parametrize("text", ["", " ", "https://r.example/a:1", "docker://busybox", DIGEST, DIGEST[7:]])
def test_what_names_no_repository_of_anybodys_is_not_taken_for_one_of_docker_hubs(text: str) -> None:
    with pytest.raises(UsageError, match="expected REPOSITORY.:TAG. or REPOSITORY@DIGEST") as told:
        Reference.parse_short(text)
    assert told.value.hint.startswith("no scheme in front")


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("R.Example:443/a:1", "r.example/a"),
        ("r.example:8443/a:1", "r.example:8443/a"),
        ("[0:0:0:0:0:0:0:1]:5000/a:1", "[::1]:5000/a"),
        ("[FD00:0::0A]:443/a:1", "[fd00::a]/a"),
        ("[::ffff:a00:5]:5000/a:1", "10.0.0.5:5000/a"),
        ("docker.io/busybox:1", "docker.io/library/busybox"),
        ("Registry-1.Docker.IO:443/busybox:1", "docker.io/library/busybox"),
        ("index.docker.io/library/busybox:1", "docker.io/library/busybox"),
        ("index.docker.io/team/app:1", "docker.io/team/app"),
    ],
)
def test_repository_has_one_spelling_by_which_it_is_compared(text: str, scope: str) -> None:
    assert Reference.parse(text).repository.scope == scope


@given(st.text(max_size=120))
def test_no_text_makes_anything_but_a_usage_error(text: str) -> None:
    for parse in (Reference.parse, Reference.parse_short, Digest.parse):
        try:
            parse(text)
        except UsageError as error:
            assert error.message.isprintable()


@given(st.sampled_from(["r.example/a:1", "127.0.0.1:5000/x/y:z", f"r.example/a@{DIGEST}"]))
def test_canonical_form_is_read_back(text: str) -> None:
    assert str(Reference.parse(text)) == text


@pytest.mark.parametrize("path", ["a" * 200 + "!", "a-" * 100 + "!", "a/" * 100 + "!", "a__" * 80 + "!"])
def test_long_wrong_names_cost_little(path: str) -> None:
    with pytest.raises(UsageError):
        Reference.parse(f"r.example/{path}:1")


def test_digest_is_of_the_content() -> None:
    for algorithm in ("sha256", "sha512"):
        digest = Digest.of(b"x", algorithm)
        assert Digest.parse(str(digest)) == digest
        assert digest.matches(b"x")
        assert not digest.matches(b"y")


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"mediaType": "", "digest": DIGEST, "size": 1},
        {"mediaType": 1, "digest": DIGEST, "size": 1},
        {"mediaType": "a\n", "digest": DIGEST, "size": 1},
        {"mediaType": "a" * 256, "digest": DIGEST, "size": 1},
        {"mediaType": "a", "digest": "x", "size": 1},
        {"mediaType": "a", "digest": 1, "size": 1},
        {"mediaType": "a", "digest": DIGEST},
        {"mediaType": "a", "digest": DIGEST, "size": -1},
        {"mediaType": "a", "digest": DIGEST, "size": True},
        {"mediaType": "a", "digest": DIGEST, "size": 1.0},
        {"mediaType": "a", "digest": DIGEST, "size": MAX_SIZE + 1},
        {"mediaType": "a", "digest": DIGEST, "size": 1, "artifactType": ""},
    ],
    ids=str,
)
def test_what_is_no_descriptor_is_malformed_and_says_where(value: object) -> None:
    with pytest.raises(Malformed, match="^here"):
        Descriptor.from_json(value, "here")
