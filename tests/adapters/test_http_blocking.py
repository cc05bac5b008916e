"""The blocking transport: what only it promises, and what both take of its parts."""

import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from agent.adapters import trustedcas
from agent.adapters.http_blocking import BlockingTransport
from agent.adapters.http_dial import tls_context
from agent.adapters.http_retry import RetryPolicy
from agent.adapters.inline import run
from agent.errors import Cause, Unavailable
from agent.registry.messages import Request
from agent.registry.urls import Url
from tests.simulators import misbehaviour as does
from tests.simulators.certificates import Authority
from tests.simulators.registry import RegistrySimulator


def test_tls_context(authority: Authority) -> None:
    """Whatever the library's defaults become."""
    context = tls_context(authority.bundle)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.keylog_filename is None
    assert len(context.get_ca_certs()) == 1


def test_waits_are_asked_for_and_end_at_the_deadline(registry: RegistrySimulator) -> None:
    """With a clock that goes on only while somebody sleeps: never beyond the deadline."""
    now = 0.0
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(seconds)

    answers = [does.status(429, Retry_After="4"), does.status(503, Retry_After="3"), does.status(429, Retry_After="2")]
    registry.misbehave("base", does.in_turn(*answers))
    transport = BlockingTransport(
        deadline=10.0, clock=lambda: now, sleep=sleep, retry_policy=RetryPolicy(dice=lambda: 0.5)
    )
    request = Request(Url.parse(f"{registry.url}/v2/", "test"), "test", 1000)
    assert run(transport.send(request)).status == 429
    assert slept == [4.0, 3.0]
    assert run(transport.send(request)).status == 429
    assert slept == [4.0, 3.0]
    transport.close()


def test_ca_bundles(tmp_path: Path) -> None:
    """The first that can be read and is not empty; a path that was given is the only one."""
    empty, good = tmp_path / "empty", tmp_path / "good"
    empty.touch()
    good.write_text("x")
    search = [str(tmp_path / "none"), str(empty), str(tmp_path), str(good)]
    assert trustedcas.find(search=search) == str(good)
    assert trustedcas.find(str(good), []) == str(good)
    for explicit in (str(empty), str(tmp_path / "none")):
        with pytest.raises(Unavailable) as caught:
            trustedcas.find(explicit, search)
        assert caught.value.cause is Cause.REGISTRY_UNAVAILABLE
    with pytest.raises(Unavailable, match="ca-certificates.crt"):
        trustedcas.find(search=["/nowhere/ca-certificates.crt"])


# The start-up budget


def test_what_is_imported() -> None:
    """containerd's child loads this after a miss: none of what is known to be slow may come with it."""
    program = (
        "import sys, agent.adapters.http_blocking, agent.adapters.registry\n"
        "slow = {'dataclasses', 'inspect', 'logging', 'asyncio', 'urllib.request', 'http.cookiejar', 'structlog',"
        " 'anyio', 'yaml', 'cryptography', 'concurrent.futures', 'encodings.idna', 'subprocess'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={})
    assert finished.stdout == "[]\n"


def test_no_idna_tables_on_the_way(registry: RegistrySimulator) -> None:
    """Hosts are handed over as bytes, as the str codec would load big tables."""
    program = (
        "import sys, time\n"
        "from agent.adapters.http_blocking import BlockingTransport\n"
        "from agent.adapters.inline import run\n"
        "from agent.registry.messages import Request\n"
        "from agent.registry.urls import Url\n"
        "transport = BlockingTransport(deadline=time.monotonic() + 60)\n"
        f"run(transport.send(Request(Url.parse('{registry.url}/v2/', 'x'), 'x', 100)))\n"
        "transport.close()\n"
        "print('encodings.idna' in sys.modules)\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={})
    assert finished.stdout == "False\n"
