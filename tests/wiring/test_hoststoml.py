"""`hosts.toml` files, read as containerd reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wiring import hoststoml
from agent.wiring.hoststoml import Folder, Host

CA, CERT, KEY = b"a CA", b"a certificate", b"its key"
FILES = {"ca.pem": CA, "sub/ca.pem": b"another CA", "client.cert": CERT, "client.key": KEY, "both.pem": b"both"}


def hosts(text: str | None, names: tuple[str, ...] = (), **files: bytes) -> tuple[Host, ...]:
    """What a folder says, with these files beside."""
    there = {f"/certs/r.example/{name}": content for name, content in {**FILES, **files}.items()}
    there["/etc/abs.pem"] = b"an absolute one"
    if text is not None:
        there["/certs/r.example/hosts.toml"] = text.encode()
    return hoststoml.hosts(Folder("/certs/r.example", there.get, names))


def test_mirrors_stand_in_the_order_of_the_file_and_the_registry_behind_them() -> None:
    text = '[host."https://b.example"]\n[host."http://a.example:5000"]\n[host."c.example"]\n'
    assert [each.url for each in hosts(text)] == [
        "https://b.example/v2", "http://a.example:5000/v2", "https://c.example/v2", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ('server = "https://up.example"\n', "https://up.example/v2"),
        ('server = "up.example:5000"\n', "https://up.example:5000/v2"),
        ('server = "http://up.example/v2/"\n', "http://up.example/v2"),
        ('server = "https://up.example/sub"\n', "https://up.example/sub/v2"),
        ('server = "https://up.example/v2/proxy"\noverride_path = true\n', "https://up.example/v2/proxy"),
        ('server = "https://up.example"\noverride_path = true\n', "https://up.example"),
        ("skip_verify = false\n", ""),
    ],
)
def test_server_is_asked_in_place_of_the_registry(text: str, url: str) -> None:
    (host,) = hosts(text)
    assert host.url == url


def test_all_that_goes_with_a_host_is_read() -> None:
    text = """
ca = "/etc/abs.pem"
[host."https://m.example/v2/proxy"]
  capabilities = ["Pull"]
  ca = ["ca.pem", "sub/ca.pem", "absent.pem"]
  client = [["client.cert", "client.key"], ["both.pem", ""], ["absent.cert", "client.key"]]
  skip_verify = true
  override_path = true
  [host."https://m.example/v2/proxy".header]
    x-one = "1"
    x-two = ["2", "3"]
"""
    mirror, own = hosts(text)
    assert mirror == Host(
        "https://m.example/v2/proxy", False, (CA, b"another CA"), (CERT + b"\n" + KEY, b"both"), True,
        (("x-one", "1"), ("x-two", "2"), ("x-two", "3")),
    )  # fmt: skip
    assert own == Host(cas=(b"an absolute one",))


def test_who_may_not_be_asked_for_content_is_left_out_and_somebody_is_always_last() -> None:
    text = 'capabilities = ["push"]\n[host."https://push.example"]\ncapabilities = ["push", "resolve"]\n'
    assert hosts(text) == (Host(),)
    text = '[host."https://m.example"]\ncapabilities = ["pull", "resolve", "referrers"]\n'
    assert [(each.url, each.resolves) for each in hosts(text)] == [("https://m.example/v2", True), ("", True)]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "no toml",
        'capabilities = ["sing"]\n',
        '[host."https://m.example"]\nskip_verify = "yes"\n',
        '[host."https://m.example"]\nca = 1\n',
        "[host]\nx = 1\n",
        "server = 1\n",
        'client = [["a", "b", "c"]]\n',
        "".join(f'[host."https://m{i}.example"]\n' for i in range(16)),
        "# " + "x" * 70_000,
        "a = " + "[" * 5000,
    ],
    ids=lambda text: str(text)[:30],
)
def test_file_that_containerd_can_not_use_counts_as_none_and_dockers_files_do(text: str | None) -> None:
    names = ("ca.crt", "client.cert", "client.key", "other.cert")
    (host,) = hosts(text, names, **{"ca.crt": CA})
    assert host == Host(cas=(CA,), clients=(CERT + b"\n" + KEY,))
    assert hosts(text) == (Host(),)


@given(st.text(st.sampled_from('[host."https://m.example"]\nserver=ca skip_verify true12{}')))
def test_nothing_that_is_written_there_is_an_error(text: str) -> None:
    assert hosts(text)


def test_file_that_is_a_bomb_is_one_that_cannot_be_read() -> None:
    assert hosts(f"{'.'.join(['a'] * 30_000)} = 1\n") == (Host(),)


@pytest.mark.parametrize("key", ["ca", "client"])
def test_files_of_certificates_that_are_too_many_are_not_read(key: str) -> None:
    most = hoststoml.MAX_CERTIFICATES
    listed = ["'both.pem'"] * (most + 1)
    at_most, beyond = (hosts(f"{key} = [{', '.join(each)}]\n")[-1] for each in (listed[1:], listed))
    assert (len(at_most.cas) + len(at_most.clients), beyond) == (most, Host())
    many = {f"{i}.{end}": b"x" for i in range(most + 9) for end in ("crt", "cert", "key")}
    (found,) = hosts(None, tuple(many), **many)
    assert (len(found.cas), len(found.clients)) == (most, most)
