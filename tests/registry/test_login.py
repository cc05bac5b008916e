"""What follows a 401, step by step: who gets the credentials, how often, what is remembered, what is told."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from agent.errors import Cause, Malformed, NodesealError, Unavailable
from agent.model.reference import Repository
from agent.registry.access import Access
from agent.registry.credentials import Keyring
from agent.registry.messages import Request, Response, Steps
from agent.registry.urls import Url
from tests.registry.support import REPOSITORY, Clock, access, feed, header, keyring, memory, response

REALM = "https://auth.example.com/token"
BASIC = "Basic " + base64.b64encode(b"jo:hunter2").decode()
ENTRY = {"username": "jo", "password": "hunter2"}
OURS = "repository:shop/cart:pull"


def get(to: Access) -> Steps[Response]:
    """GET some manifest."""
    return to.get(to.url("manifests", "1"), accept="a/b", limit=100, what="manifest 1", may_leave=True)


def bearer(realm: str = REALM, *, service: str = "s", scope: str = OURS, error: str = "") -> Response:
    """A 401 that asks for a token."""
    told = f',error="{error}"' if error else ""
    return response(401, www_authenticate=f'Bearer realm="{realm}",service="{service}",scope="{scope}"{told}')


def basic() -> Response:
    """A 401 that asks for user name and password."""
    return response(401, www_authenticate='Basic realm="registry"')


def token(value: str = "token", **others: Any) -> Response:
    """A token server's answer."""
    return response(200, json.dumps({"token": value, **others}).encode())


def with_credentials(
    entry: dict[str, Any] | None = None, host: str = REPOSITORY.host, clock: Clock | None = None, **others: Any
) -> Access:
    """Access with one entry for the registry; `use_http` among others."""
    use_http = others.pop("use_http", False)
    return access(host, memory_=memory(keyring({host: entry or ENTRY}, **others), clock), use_http=use_http)


def authorizations(asked: list[Request]) -> list[str]:
    """Of every request."""
    return [header(each, "Authorization") for each in asked]


def refused(to: Access, *responses: Response | NodesealError, cause: Cause = Cause.UNAUTHORIZED) -> str:
    """The message of a refusal after these responses."""
    with pytest.raises(Unavailable) as caught:
        feed(get(to), responses)
    assert caught.value.cause is cause
    assert "hunter2" not in repr(caught.value) + caught.value.hint
    assert BASIC.removeprefix("Basic ") not in repr(caught.value)
    return caught.value.message


# Basic


def test_basic_goes_home_and_is_remembered() -> None:
    to = with_credentials()
    got, asked = feed(get(to), [basic(), response(200, b"x")])
    assert got.body == b"x"
    assert authorizations(asked) == ["", BASIC]
    _, again = feed(get(to), [response(200)])
    assert authorizations(again) == [BASIC]


@pytest.mark.parametrize("elsewhere", ["https://cdn.example.net/x", "https://registry.example.com:8443/x"])
def test_basic_follows_no_redirect(elsewhere: str) -> None:
    to = with_credentials()
    _, asked = feed(get(to), [basic(), response(307, location=elsewhere), response(200)])
    assert authorizations(asked) == ["", BASIC, ""]
    back = [response(307, location=elsewhere), response(307, location="https://registry.example.com/x"), response(200)]
    _, asked = feed(get(to), back)
    assert authorizations(asked) == [BASIC, "", ""]


def test_basic_is_bound_to_origin_and_repository() -> None:
    to = with_credentials()
    feed(get(to), [basic(), response(200)])
    for other in (
        to._replace(repository=Repository(REPOSITORY.host, "shop/other")),
        access("registry.example.com:8443", memory_=to.memory),
        access(use_http=True, memory_=to.memory),
    ):
        _, asked = feed(get(other), [response(200)])
        assert authorizations(asked) == [""]


def test_a_token_is_no_answer_to_basic() -> None:
    told = refused(with_credentials({"identitytoken": "hunter2"}), basic())
    assert "asks for credentials ('basic'); what we have is of another kind" in told


def test_basic_that_is_refused_ends() -> None:
    for status in (401, 403):
        to = with_credentials()
        last = basic() if status == 401 else response(403)
        told = refused(to, basic(), last)
        assert f"refuses (status {status}), with the credentials for '{REPOSITORY.host}' in config.json" in told
        assert not to.memory.plans


def test_plain_http_is_for_registries_that_are_configured_so() -> None:
    to = with_credentials(use_http=True)
    _, asked = feed(get(to), [basic(), response(200)])
    assert str(asked[1].url.origin) == "http://registry.example.com"
    assert authorizations(asked) == ["", BASIC]


def test_bearer_comes_before_basic() -> None:
    both = Response(401, (("www-authenticate", "Basic realm=x"), ("www-authenticate", f'Bearer realm="{REALM}"')))
    _, asked = feed(get(with_credentials()), [both, token(), response(200)])
    assert authorizations(asked) == ["", BASIC, "Bearer token"]


def test_several_credentials_are_tried_in_their_order() -> None:
    ring = keyring({REPOSITORY.host: {"username": "a", "password": "a"}, "*.example.com": ENTRY})
    to = access(memory_=memory(ring))
    _, asked = feed(get(to), [basic(), response(403), response(200)])
    assert len(set(authorizations(asked))) == 3
    assert authorizations(asked)[2] == BASIC
    _, again = feed(get(to), [response(200)])
    assert authorizations(again) == [BASIC]


def test_no_more_than_three_credentials_are_tried() -> None:
    hosts = ("registry.example.com", "*.example.com", "*.*.com", "*.*.*")
    to = access(memory_=memory(keyring(dict.fromkeys(hosts, ENTRY))))
    assert "'*.*.com'" in refused(to, basic(), basic(), basic(), basic())


def test_a_failing_registry_is_no_refusal() -> None:
    ring = keyring({REPOSITORY.host: ENTRY, "*.example.com": ENTRY})
    to = access(memory_=memory(ring))
    refused(to, bearer(), response(503), cause=Cause.REGISTRY_UNAVAILABLE)


# Bearer, with user name and password


def test_a_token_for_credentials() -> None:
    to = with_credentials()
    _, asked = feed(get(to), [bearer(), token(), response(200)])
    assert asked[1].url.target == "/token?service=s&scope=repository%3Ashop%2Fcart%3Apull"
    assert (asked[1].body, asked[1].sent_by, asked[1].url.origin.host) == (None, to.origin, "auth.example.com")
    assert authorizations(asked) == ["", BASIC, "Bearer token"]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_credentials_that_the_token_server_refuses(status: int) -> None:
    told = refused(with_credentials(), bearer(), response(status))
    assert f"(status {status})" in told


def test_no_redirect_of_a_token_server_is_followed() -> None:
    for entry in (ENTRY, {"identitytoken": "hunter2"}):
        with pytest.raises(Malformed, match="redirect"):
            feed(get(with_credentials(entry)), [bearer(), response(307, location="https://auth.example.com/x")])


WITHHELD = [
    "https://auth.example.net/token",
    "https://registry.example.com.evil.net/token",
    "https://evilexample.com/token",
]


@pytest.mark.parametrize("realm", WITHHELD)
@pytest.mark.parametrize("entry", [ENTRY, {"identitytoken": "hunter2"}, {**ENTRY, "identitytoken": "hunter2"}])
def test_credentials_stay_here_if_the_realm_is_elsewhere(realm: str, entry: dict[str, str]) -> None:
    """An anonymous token is asked for; if that opens nothing, the message says why."""
    to = with_credentials(entry)
    _, asked = feed(get(to), [bearer(realm), token(), response(200)])
    assert authorizations(asked) == ["", "", "Bearer token"]
    assert asked[1].body is None
    for end in ([response(401)], [token(), response(401)], [token(), response(403)]):
        told = refused(with_credentials(entry), bearer(realm), *end)
        assert "the credentials for 'registry.example.com' in config.json were not sent to" in told
        assert "nodeseal.realms" in told


def test_a_realm_that_is_named_gets_credentials() -> None:
    realms = {"realms": {REPOSITORY.host: ["auth.example.net"]}}
    _, asked = feed(get(with_credentials(nodeseal=realms)), [bearer(WITHHELD[0]), token(), response(200)])
    assert authorizations(asked)[1] == BASIC


@pytest.mark.parametrize(
    ("host", "realm", "sent"),
    [
        ("docker.io", "https://auth.docker.io/token", True),
        ("registry.gitlab.com", "https://gitlab.com/jwt/auth", True),
        ("registry.example.com:5000", "https://registry.example.com:5001/token", True),
        ("10.0.0.1:5000", "https://10.0.0.1:5001/token", True),
        ("registry.shop.svc.cluster.local", "https://auth.eve.svc.cluster.local/token", False),
    ],
)
def test_realms_of_the_registry_itself(host: str, realm: str, sent: bool) -> None:
    _, asked = feed(get(with_credentials(host=host)), [bearer(realm), token(), response(200)])
    assert authorizations(asked)[1] == (BASIC if sent else "")


def test_http_realms_get_no_credentials_but_at_home() -> None:
    for realm, sent in (("http://auth.example.com/token", False), ("http://registry.example.com:81/token", True)):
        to = with_credentials(use_http=True)
        _, asked = feed(get(to), [bearer(realm), token(), response(200)])
        assert authorizations(asked)[1] == (BASIC if sent else "")


def test_a_remembered_realm_is_judged_again() -> None:
    """When its token is renewed: what was allowed once may not be any more."""
    clock = Clock()
    to = with_credentials(clock=clock, nodeseal={"realms": {REPOSITORY.host: ["auth.example.net"]}})
    feed(get(to), [bearer(WITHHELD[0]), token(), response(200)])
    (plan,) = to.memory.plans.values()
    assert plan.credential is not None
    plan.credential._realms = {}
    clock.time += 100
    _, asked = feed(get(to), [response(200)])
    assert authorizations(asked) == [""]


@pytest.mark.parametrize("realm", ["http://auth.example.com/token", "https://10.0.0.1/token"])
def test_a_remembered_realm_that_is_none_is_never_asked(realm: str) -> None:
    clock = Clock()
    for to in (with_credentials(clock=clock), access(memory_=memory(clock=clock))):
        feed(get(to), [bearer(), token(), response(200)])
        ((place, plan),) = to.memory.plans.items()
        to.memory.plans[place] = plan._replace(realm=Url.parse(realm, "realm"))
        with pytest.raises(Malformed):
            feed(get(to), [])


# Tokens that are credentials


def test_a_registry_token_is_used_as_it_is() -> None:
    for challenge in (bearer(), basic(), response(401)):
        to = with_credentials({"registrytoken": "hunter2"})
        _, asked = feed(get(to), [challenge, response(200)])
        assert authorizations(asked) == ["", "Bearer hunter2"]
    refused(to, basic(), basic())


def test_an_identity_token_is_posted() -> None:
    to = with_credentials({"identitytoken": "hunter2&x=y"})
    _, asked = feed(get(to), [bearer(), token(), response(200)])
    post = asked[1]
    assert post.body is not None
    assert (str(post.url), post.url.query, header(post, "Authorization")) == (REALM, "", "")
    assert header(post, "Content-Type") == "application/x-www-form-urlencoded"
    assert parse_qs(post.body.decode(), strict_parsing=True) == {
        "grant_type": ["refresh_token"],
        "client_id": ["nodeseal"],
        "service": ["s"],
        "scope": [OURS],
        "refresh_token": ["hunter2&x=y"],
    }
    assert authorizations(asked)[2] == "Bearer token"


@pytest.mark.parametrize("status", [400, 401, 404, 405])
def test_where_there_is_no_post_it_is_a_password(status: int) -> None:
    to = with_credentials({"username": "jo", "password": "", "identitytoken": "hunter2"})
    _, asked = feed(get(to), [bearer(), response(status), token(), response(200)])
    assert [each.body is None for each in asked] == [True, False, True, True]
    assert authorizations(asked) == ["", "", BASIC, "Bearer token"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_without_user_name_the_refusal_stands(status: int) -> None:
    refused(with_credentials({"identitytoken": "hunter2"}), bearer(), response(status))


def test_a_post_that_fails_is_not_tried_otherwise() -> None:
    to = with_credentials({"username": "jo", "identitytoken": "hunter2"})
    refused(to, bearer(), response(503), cause=Cause.REGISTRY_UNAVAILABLE)


def test_no_service_is_none_in_the_form() -> None:
    to = with_credentials({"identitytoken": "hunter2"})
    _, asked = feed(get(to), [response(401, www_authenticate=f'Bearer realm="{REALM}"'), token(), response(200)])
    assert asked[1].body is not None
    assert b"service" not in asked[1].body


# How long tokens last


@pytest.mark.parametrize(
    ("said", "refresh", "end"),
    [
        ({}, 45, 60),
        ({"expires_in": 60}, 45, 60),
        ({"expires_in": 300}, 240, 300),
        ({"expires_in": 300.5}, 240.4, 300.5),
        ({"expires_in": 20}, 5, 20),
        ({"expires_in": "300"}, 45, 60),
        ({"expires_in": True}, 45, 60),
        ({"expires_in": None}, 45, 60),
        ({"expires_in": 10**15}, 69120, 86400),
    ],
)
def test_tokens_are_renewed_in_time(said: dict[str, Any], refresh: float, end: float) -> None:
    clock = Clock()
    to = with_credentials(clock=clock)
    start = clock.time
    feed(get(to), [bearer(), token(**said), response(200)])
    clock.time = start + refresh - 0.01
    _, asked = feed(get(to), [response(200)])
    assert authorizations(asked) == ["Bearer token"]
    clock.time = start + refresh + 0.01
    _, asked = feed(get(to), [response(503), response(200)])
    assert authorizations(asked) == [BASIC, "Bearer token"], "still good while no other is to be had"
    clock.time = start + end + 0.01
    refused(to, response(503), cause=Cause.REGISTRY_UNAVAILABLE)
    _, asked = feed(get(to), [token("new"), response(200)])
    assert authorizations(asked) == [BASIC, "Bearer new"]


@pytest.mark.parametrize("seconds", [0, 10, -5])
def test_tokens_that_end_at_once_are_used_once(seconds: int) -> None:
    to = with_credentials()
    _, asked = feed(get(to), [bearer(), token(expires_in=seconds), response(200)])
    assert len(asked) == 3
    _, asked = feed(get(to), [token("new", expires_in=seconds), response(200)])
    assert authorizations(asked) == [BASIC, "Bearer new"]


def test_a_kept_token_that_is_refused_is_dropped_and_asked_for_once() -> None:
    to = with_credentials()
    feed(get(to), [bearer(), token("old"), response(200)])
    _, asked = feed(get(to), [bearer(), token("new"), response(200)])
    assert authorizations(asked) == ["Bearer old", BASIC, "Bearer new"]
    refused(to, bearer(), token("newer"), bearer())
    assert (to.memory.tokens, to.memory.plans) == ({}, {})


def test_credentials_are_looked_up_anew_when_they_let_nobody_in() -> None:
    clock = Clock()
    to = with_credentials(clock=clock)
    feed(get(to), [bearer(), token(), response(200)])
    clock.time += 100
    _, asked = feed(get(to), [response(401), bearer(), token(), response(200)])
    assert authorizations(asked)[1:3] == ["", BASIC]


@pytest.mark.parametrize(("challenge", "given"), [(basic(), []), (bearer(), [token("old")])], ids=["basic", "token"])
def test_credentials_that_are_gone_are_used_no_longer(challenge: Response, given: list[Response]) -> None:
    """Nor a token that was given for them: whoever takes them out of the file need not restart anything."""
    to = with_credentials()
    feed(get(to), [challenge, *given, response(200)])
    ring = keyring({})
    to.memory.credentials = lambda: ring
    _, asked = feed(get(to), [response(200)])
    assert authorizations(asked) == [""]
    assert (to.memory.tokens, to.memory.plans) == ({}, {})


def test_a_403_makes_us_begin_anew() -> None:
    to = with_credentials()
    feed(get(to), [basic(), response(200)])
    got, _ = feed(get(to), [response(403)])
    assert got.status == 403
    _, asked = feed(get(to), [response(200)])
    assert authorizations(asked) == [""]


def test_tokens_of_other_credentials_are_other_tokens() -> None:
    to = with_credentials()
    feed(get(to), [bearer(), token("jo's"), response(200)])
    to.memory.credentials = lambda: keyring({REPOSITORY.host: {"username": "eve", "password": "x"}})
    to.memory.plans.clear()
    _, asked = feed(get(to), [bearer(), token("eve's"), response(200)])
    assert authorizations(asked)[2] == "Bearer eve's"
    assert len(to.memory.tokens) == 2


# Scopes


def test_a_wider_scope_is_asked_for_once() -> None:
    wider = bearer(scope=f"{OURS} repository:shop/base:pull,push registry:catalog:*", error="insufficient_scope")
    to = with_credentials()
    _, asked = feed(get(to), [bearer(), token("weak"), wider, token("strong"), response(200)])
    assert parse_qs(asked[3].url.query[1:])["scope"] == [OURS, "repository:shop/base:pull"]
    assert authorizations(asked) == ["", BASIC, "Bearer weak", BASIC, "Bearer strong"]
    _, again = feed(get(to), [response(200)])
    assert authorizations(again) == ["Bearer strong"]


def test_a_remembered_token_that_is_too_weak() -> None:
    wider = bearer(scope="repository:shop/base:pull", error="insufficient_scope")
    to = with_credentials()
    feed(get(to), [bearer(), token("weak"), response(200)])
    _, asked = feed(get(to), [wider, token("strong"), response(200)])
    assert parse_qs(asked[1].url.query[1:])["scope"] == [OURS, "repository:shop/base:pull"]


def test_a_loop_of_wider_scopes_ends() -> None:
    def wider(name: str) -> Response:
        return bearer(scope=f"repository:{name}:pull", error="insufficient_scope")

    refused(with_credentials(), bearer(), token(), wider("a"), token(), wider("b"))


@pytest.mark.parametrize(
    "scope",
    [
        "",
        OURS,
        "repository:shop/base:push",
        "repository:shop/base:delete,*",
        "registry:catalog:pull",
        "repository::pull",
        "repository:pull",
        "repository:SHOP:pull",
        "repository:a%20b:pull",
        "repository:" + "a" * 400 + ":pull",
    ],
)
def test_scopes_that_are_not_asked_for(scope: str) -> None:
    refused(with_credentials(), bearer(), token(), bearer(scope=scope, error="insufficient_scope"))


def test_scopes_are_bounded() -> None:
    many = " ".join(f"repository:r{number}:pull" for number in range(50))
    responses = [bearer(), token(), bearer(scope=many, error="insufficient_scope"), token(), response(200)]
    _, asked = feed(get(with_credentials()), responses)
    assert len(parse_qs(asked[3].url.query[1:])["scope"]) == 5


def test_another_error_asks_for_nothing() -> None:
    refused(with_credentials(), bearer(), token(), bearer(scope="repository:shop/base:pull", error="invalid_token"))


# Credentials that can't be had


def test_what_a_helper_keeps_is_told_once_the_registry_refuses() -> None:
    ring = keyring(credHelpers={REPOSITORY.host: "ecr-login"})
    for refusals in ([basic()], [bearer(), response(401)], [bearer(), token(), response(401)]):
        to = access(memory_=memory(ring))
        told = refused(to, *refusals, cause=Cause.CREDENTIALS_UNAVAILABLE)
        assert "the credentials for registry.example.com are left to the credential helper 'ecr-login'" in told
    _, asked = feed(get(access(memory_=memory(ring))), [bearer(), token(), response(200)])
    assert authorizations(asked) == ["", "", "Bearer token"], "anonymous access is tried"


def test_a_file_that_can_not_be_used_is_told_once_the_registry_refuses() -> None:
    to = access(memory_=memory(Keyring([], ["/x/config.json: got no valid JSON"])))
    assert "/x/config.json: got no valid JSON" in refused(to, basic(), cause=Cause.CREDENTIALS_UNAVAILABLE)
    _, asked = feed(get(to), [bearer(), token(), response(200)])
    assert len(asked) == 3


def test_files_are_not_opened_before_a_registry_asks() -> None:
    to = access()
    to.memory.credentials = lambda: pytest.fail("looked for credentials")
    for answer in (response(200), response(403), response(404), response(500)):
        feed(get(to), [answer])
    feed(get(to), [response(307, location="https://cdn.example.net/x"), response(401)])


def test_reprs_hold_no_secrets() -> None:
    to = with_credentials({**ENTRY, "identitytoken": "hunter2", "registrytoken": ""})
    _, asked = feed(get(to), [bearer(REALM + "?x=hunter2"), response(404), token("hunter2"), response(200, b"hunter2")])
    assert "hunter2" not in repr((asked, to, to.memory.plans, to.memory.tokens, token("hunter2")))
    assert BASIC not in repr(asked)


@pytest.mark.unmeasured
def test_what_is_remembered_is_bounded() -> None:
    to = with_credentials()
    for number in range(1100):
        other = to._replace(repository=Repository(REPOSITORY.host, f"r{number}"))
        feed(get(other), [bearer(), token(), response(200)])
    assert (len(to.memory.plans), len(to.memory.tokens)) == (1000, 1000)
