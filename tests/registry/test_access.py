"""Tokens and redirects: who is asked, with what, how often."""

import json

import pytest

from agent.errors import Cause, LimitExceeded, Malformed, Unavailable
from agent.registry.access import Access
from agent.registry.messages import Response, Steps
from tests.registry.support import REPOSITORY, access, feed, header, response, with_token

AUTH = "https://auth.example.com/token"
SECRET = "eyJ.secret.token"


def get(to: Access, *, may_leave: bool = True) -> Steps[Response]:
    """GET some manifest."""
    return to.get(to.url("manifests", "1"), accept="a/b", limit=100, what="manifest 1", may_leave=may_leave)


def challenged(realm: str = AUTH, *, scheme: str = "Bearer", service: str = ',service="s"') -> Response:
    """A 401."""
    return response(401, www_authenticate=f'{scheme} realm="{realm}"{service},scope="repository:other:pull,push"')


def token(value: object = SECRET, key: str = "token") -> Response:
    """A token server's answer."""
    return response(200, json.dumps({key: value}).encode(), content_type="application/json")


def test_without_challenge() -> None:
    """One request, nothing in it but what is needed."""
    got, asked = feed(get(access()), [response(200, b"x")])
    assert got.body == b"x"
    assert str(asked[0].url) == "https://registry.example.com/v2/shop/cart/manifests/1"
    assert asked[0].headers == (("Accept", "a/b"),)
    assert (asked[0].limit, asked[0].sent_by) == (100, None)


def test_token_dance() -> None:
    """The token is asked for without any credential, for pulling this repository, and then used at home alone."""
    to = access()
    got, asked = feed(get(to), [challenged(), token(), response(200, b"x")])
    assert got.body == b"x"
    assert asked[1].url.origin.host == "auth.example.com"
    assert asked[1].url.target == "/token?service=s&scope=repository%3Ashop%2Fcart%3Apull"
    assert asked[1].headers == (("Accept", "application/json"),)
    assert asked[1].sent_by == to.origin
    assert asked[1].limit == 65536
    assert header(asked[2], "Authorization") == f"Bearer {SECRET}"
    _, again = feed(get(to), [response(200)])
    assert header(again[0], "Authorization") == f"Bearer {SECRET}"


def test_tokens_are_bound() -> None:
    """To origin and repository: scheme, port and path all count."""
    home = access()
    with_token(home, SECRET)
    _, asked = feed(get(home), [response(200)])
    assert header(asked[0], "Authorization") == f"Bearer {SECRET}"
    for other in (
        access("registry.example.com:8443", memory_=home.memory),
        access(use_http=True, memory_=home.memory),
        access("example.com", memory_=home.memory),
        home._replace(repository=REPOSITORY._replace(path="shop/other")),
    ):
        _, asked = feed(get(other), [response(200)])
        assert not header(asked[0], "Authorization")


def test_old_token_is_replaced_once() -> None:
    """A kept token that is refused is dropped; the new one is kept."""
    to = access()
    with_token(to, "old")
    _, asked = feed(get(to), [challenged(), token("new"), response(200)])
    assert [header(each, "Authorization") for each in asked] == ["Bearer old", "", "Bearer new"]
    assert [each.value.reveal() for each in to.memory.tokens.values()] == ["new"]


def test_a_refused_token_is_forgotten() -> None:
    """Also if there is no other one to be had."""
    to = access()
    with_token(to, "old")
    with pytest.raises(Unavailable):
        feed(get(to), [challenged(), response(503)])
    assert not to.memory.tokens


def test_a_401_loop_ends() -> None:
    """After one token the refusal stands: no third try."""
    with pytest.raises(Unavailable, match="refuses .status 401.") as caught:
        feed(get(access()), [challenged(), token(), challenged()])
    assert caught.value.cause is Cause.UNAUTHORIZED


def test_realm_keeps_its_query() -> None:
    """And gets ours behind it."""
    _, asked = feed(get(access()), [challenged(AUTH + "?a=b"), token(), response(200)])
    assert asked[1].url.query == "?a=b&service=s&scope=repository%3Ashop%2Fcart%3Apull"


def test_service_is_quoted() -> None:
    """A service is the registry's text: it adds no parameters of its own."""
    service = ',service="x&scope=repository:secret:push#\\" y"'
    _, asked = feed(get(access()), [challenged(service=service), token(), response(200)])
    assert asked[1].url.query.count("scope=") == 1
    assert "push%23%22%20y" in asked[1].url.query


def test_no_service() -> None:
    """Not every registry names one."""
    _, asked = feed(get(access()), [challenged(service=""), token(), response(200)])
    assert asked[1].url.query == "?scope=repository%3Ashop%2Fcart%3Apull"


def test_several_challenges() -> None:
    """Bearer is taken wherever it stands."""
    refusal = Response(401, (("www-authenticate", "Basic realm=x"), ("www-authenticate", f'Bearer realm="{AUTH}"')))
    _, asked = feed(get(access()), [refusal, token(key="access_token"), response(200)])
    assert header(asked[2], "Authorization") == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    "realm",
    [
        "http://auth.example.com/token",
        "http://registry.example.com/token",
        "/token",
        "//auth.example.com/token",
        "file:///etc/shadow",
        "gopher://auth.example.com/",
        "https://user:word@auth.example.com/token",
        "https://auth.example.com/token#x",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00:ec2::254]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[::ffff:a9fe:a9fe]/",
        "https://127.0.0.1/token",
        "https://127.0.0.1:443/token",
        "https://2130706433/token",
        "https://0x7f.1/token",
        "https://[::1]/token",
        "https://10.0.0.1/token",
        "https://192.168.0.1:8443/token",
        "https://172.16.0.1/",
        "https://0.0.0.0/",
        "https://auth.example.com/a b",
        "https://auth.example.com\\@evil.example/",
        "",
    ],
)
def test_realms_that_are_never_asked(realm: str) -> None:
    """Typed, and no request leaves."""
    with pytest.raises(Malformed):
        feed(get(access()), [challenged(realm.replace("\\", "\\\\"))])


@pytest.mark.parametrize(
    ("host", "use_http", "realm"),
    [
        ("127.0.0.1:5000", True, "http://127.0.0.1:5000/token"),
        ("127.0.0.1:5000", True, "http://127.0.0.1:8080/jwt/auth"),
        ("127.0.0.1:5000", False, "https://127.0.0.1:8080/jwt/auth"),
        ("10.0.0.1", False, "https://10.0.0.1/token"),
        ("[::1]:5000", False, "https://[0:0::1]/token"),
        ("registry.example.com", True, "https://auth.example.com/token"),
        ("docker.io", False, "https://auth.docker.io/token"),
    ],
)
def test_realms_that_are_asked(host: str, use_http: bool, realm: str) -> None:
    """The registry's own host, whatever it is; public ones; plain http only beside plain http."""
    _, asked = feed(get(access(host, use_http=use_http)), [challenged(realm), token(), response(200)])
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("refusal", "cause"),
    [
        (response(401), Cause.UNAUTHORIZED),
        (response(401, www_authenticate="Basic realm=x"), Cause.UNAUTHORIZED),
        (response(401, www_authenticate="Negotiate"), Cause.UNAUTHORIZED),
    ],
)
def test_other_schemes_are_not_ours(refusal: Response, cause: Cause) -> None:
    """We have no credentials."""
    with pytest.raises(Unavailable) as caught:
        feed(get(access()), [refusal])
    assert caught.value.cause is cause


@pytest.mark.parametrize(
    "value", ['Bearer service="s"', 'Bearer realm="x', 'Bearer realm="https://a/",realm="https://b/"', "x" * 9000]
)
def test_challenges_that_are_none(value: str) -> None:
    """Malformed, not "cannot tell": the registry chose it."""
    with pytest.raises(Malformed):
        feed(get(access()), [response(401, www_authenticate=value)])


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (response(400), Cause.UNAUTHORIZED),
        (response(401), Cause.UNAUTHORIZED),
        (response(403), Cause.UNAUTHORIZED),
        (response(404), Cause.UNAUTHORIZED),
        (response(429, retry_after="99999999"), Cause.THROTTLED),
        (response(500), Cause.REGISTRY_UNAVAILABLE),
        (response(503, retry_after="Wed, 21 Oct 2099 07:28:00 GMT"), Cause.REGISTRY_UNAVAILABLE),
    ],
)
def test_token_servers_that_say_no(answer: Response, cause: Cause) -> None:
    """With the cause that fits."""
    with pytest.raises(Unavailable) as caught:
        feed(get(access()), [challenged(), answer])
    assert caught.value.cause is cause


@pytest.mark.parametrize(
    "answer",
    [
        response(302, location="https://auth.example.com/other"),
        response(307, location="https://169.254.169.254/"),
        response(200, b"<html>", content_type="text/html"),
        response(200, b"[]"),
        response(200, b"{}"),
        token(""),
        token(7),
        token(["x"]),
        token("a\r\nX-Injected: 1"),
        token("a b"),
        token("a\x00"),
        token("ü"),
        token("x" * 16385),
        response(200, b'{"token":"a","token":"b"}'),
        response(200, b"[" * 60000),
    ],
)
def test_token_answers_that_are_none(answer: Response) -> None:
    """No redirect is followed, no odd token is sent."""
    to = access()
    with pytest.raises(Malformed):
        feed(get(to), [challenged(), answer])
    assert not to.memory.tokens


def test_longest_token() -> None:
    """16 KiB."""
    _, asked = feed(get(access()), [challenged(), token("x" * 16384), response(200)])
    assert len(header(asked[2], "Authorization")) == 16384 + 7


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://cdn.example.net/blob?sig=secret",
        "https://registry.example.com:8443/v2/x",
        "//cdn.example.net/blob",
    ],
)
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_lose_credentials(elsewhere: str, code: int) -> None:
    """On any change of scheme, host or port, and for good: also when the way leads back."""
    to = access()
    with_token(to, SECRET)
    responses = [
        response(code, location="/v2/shop/cart/elsewhere"),
        response(code, location=elsewhere),
        response(code, location="https://registry.example.com/v2/back"),
        response(200, b"x"),
    ]
    got, asked = feed(get(to), responses)
    assert got.body == b"x"
    assert [bool(header(each, "Authorization")) for each in asked] == [True, True, False, False]
    assert [each.sent_by for each in asked] == [None, None, to.origin, None]
    assert {each.limit for each in asked} == {100}


def test_a_401_elsewhere_is_not_answered() -> None:
    """No token of ours is asked for on behalf of another host."""
    got, asked = feed(get(access()), [response(307, location="https://cdn.example.net/b"), challenged()])
    assert (got.status, len(asked)) == (401, 2)


def test_redirects_to_plain_http() -> None:
    """Never from https, not even in two steps; from plain http it is the same as before."""
    with pytest.raises(Malformed, match="https"):
        feed(get(access()), [response(307, location="http://registry.example.com/x")])
    with pytest.raises(Malformed, match="https"):
        feed(
            get(access(use_http=True)),
            [response(307, location="https://cdn.example.net/x"), response(307, location="http://cdn.example.net/x")],
        )
    _, asked = feed(get(access(use_http=True)), [response(307, location="http://cdn.example.net/x"), response(200)])
    assert len(asked) == 2


@pytest.mark.parametrize(
    "location",
    [
        "https://169.254.169.254/latest",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://user@cdn.example.net/",
        "file:///etc/passwd",
        "https://cdn.example.net/\r\nX: y",
        "",
    ],
)
def test_redirects_that_are_not_followed(location: str) -> None:
    """Typed, and no request leaves."""
    with pytest.raises(Malformed):
        feed(get(access()), [response(307, location=location)])


def test_two_locations() -> None:
    """Which one would it be?"""
    both = Response(307, (("location", "https://a.example/"), ("location", "https://b.example/")))
    with pytest.raises(Malformed, match="2 Location"):
        feed(get(access()), [both])


def test_redirect_loop() -> None:
    """Five are followed, the sixth is too many."""
    here = response(307, location="https://cdn.example.net/x")
    _, asked = feed(get(access()), [here] * 5 + [response(200)])
    assert len(asked) == 6
    with pytest.raises(LimitExceeded, match="5 redirects"):
        feed(get(access()), [here] * 6)


def test_listings_do_not_leave() -> None:
    """A redirect to another origin is the response; one at home is followed."""
    got, asked = feed(get(access(), may_leave=False), [response(302, location="https://login.example.net/")])
    assert (got.status, len(asked)) == (302, 1)
    got, asked = feed(get(access(), may_leave=False), [response(302, location="http://registry.example.com/x")])
    assert (got.status, len(asked)) == (302, 1)
    got, asked = feed(get(access(), may_leave=False), [response(302, location="/v2/y"), response(200)])
    assert (got.status, len(asked)) == (200, 2)


def test_messages_hold_no_secrets() -> None:
    """Neither queries nor tokens; a Retry-After only if it is a number."""
    sources: list[list[Response]] = [
        [challenged(AUTH + "?key=hunter2"), response(403)],
        [challenged(AUTH + "?key=hunter2"), token("hunter2 ")],
        [response(307, location="http://cdn.example.net/x?sig=hunter2")],
        [challenged(), response(503, retry_after="hunter2")],
    ]
    for responses in sources:
        with pytest.raises((Malformed, Unavailable)) as caught:
            feed(get(access()), responses)
        assert "hunter2" not in caught.value.message
