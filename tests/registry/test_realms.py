"""Token servers: who may have credentials."""

import pytest

from agent.registry import realms
from agent.registry.urls import Origin


def origin(text: str) -> Origin:
    """`host[:port]`, https unless said otherwise."""
    scheme, _, rest = text.rpartition("://")
    host, port = (rest, "") if rest.startswith("::") else rest.partition(":")[::2]
    return Origin(scheme or "https", host, int(port or (80 if scheme == "http" else 443)))


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("registry.example.com", "registry.example.com"),
        ("registry.example.com:5000", "registry.example.com"),
        ("registry.example.com", "auth.example.com"),
        ("registry.example.com", "example.com:8443"),
        ("example.com", "auth.example.com"),
        ("a.b.example.co.uk", "auth.example.co.uk"),
        ("registry-1.docker.io", "auth.docker.io"),
        ("registry.gitlab.com", "gitlab.com"),
        ("x.azurecr.io", "x.azurecr.io"),
        ("10.0.0.1:5000", "10.0.0.1"),
        ("localhost:5000", "localhost:8080"),
        ("http://registry.example.com", "http://registry.example.com:8080"),
        ("http://registry.example.com", "https://auth.example.com"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:8080"),
    ],
)
def test_realms_that_may_have_credentials(registry: str, realm: str) -> None:
    assert realms.objection(origin(registry), origin(realm), ()) == ""


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("registry.example.com", "auth.example.net"),
        ("registry.example.com", "registry.example.com.evil.net"),
        ("registry.example.com", "evilexample.com"),
        ("registry.example.com", "com"),
        ("a.co.uk", "b.co.uk"),
        ("jo.github.io", "eve.github.io"),
        ("x.azurecr.io", "y.azurecr.io"),
        ("x.azurecr.io", "x.azurecr.io.evil.com"),
        ("shop.jfrog.io", "evil.jfrog.io"),
        ("registry.shop.svc.cluster.local", "auth.eve.svc.cluster.local"),
        ("registry.corp", "auth.corp"),
        ("10.0.0.1", "11.0.0.1"),
        ("10.0.0.1", "10.0.0.2"),
        ("localhost", "auth.localhost"),
        ("::1", "::2"),
        ("registry.example.com", "auth.docker.io"),
        ("registry-1.docker.io", "gitlab.com"),
        ("registry.example.com", "http://registry.example.com"),
        ("registry.example.com", "http://auth.example.com"),
        ("http://registry.example.com", "http://auth.example.com"),
    ],
)
def test_realms_that_may_not(registry: str, realm: str) -> None:
    assert realms.objection(origin(registry), origin(realm), ("other.example.net", "auth.example.net:8443"))


def test_realms_that_are_named() -> None:
    registry = origin("registry.example.com")
    assert not realms.objection(registry, origin("auth.example.net"), ("a.net", "auth.example.net"))
    assert not realms.objection(registry, origin("auth.example.net:8443"), ("auth.example.net:8443",))
    assert "nodeseal.realms" in realms.objection(registry, origin("auth.example.net:8443"), ("auth.example.net",))
    assert "plain http" in realms.objection(registry, origin("http://auth.example.net"), ("auth.example.net",))
