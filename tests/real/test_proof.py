"""What a canary proves on a real containerd, for every way in which it does or does not ask us."""

import json
import pathlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping

import anyio
import pytest

from agent.modes import proving
from agent.wiring.proof import NOTHING_KNOWN, Known, Proof, Reason, State
from tests.real.conftest import Sealed
from tests.testbed.inside import Inside
from tests.testbed.wired import IMAGES, Wired, containerd

pytestmark = pytest.mark.real

DENIER = "#!/bin/sh\ncat >/dev/null\necho no image is good enough\nexit 1\n"
KILLS_ITSELF = "#!/bin/sh\nkill -9 $$\n"
ALLOWER = "#!/bin/sh\nexit 0\n"
SLEEPER = "#!/bin/sh\nexec sleep 60\n"


@pytest.fixture(scope="module")
def inside(sealed: Sealed) -> Iterator[Inside]:
    """A thread in the node's network, where the witness has to listen."""
    with Inside(sealed.node.pid) as inside:
        yield inside


def proved(wired: Wired, inside: Inside, known: Known = NOTHING_KNOWN) -> Proof:
    """Prove, and see that nothing is left behind."""

    async def body(listening: socket.socket) -> Proof:
        return await proving.prove(wired.socket, known, listening=listening)

    before = wired.counts()
    proof = anyio.run(body, inside.listener())
    assert wired.counts() == before == (0, 0)
    return proof


def install(wired: Wired, sealed: Sealed, name: str = "00-nodeseal") -> None:
    """Our program, as `install` links it."""
    link = wired.work / "link"
    link.symlink_to(sealed.program.path)
    link.rename(wired.verifiers / name)


def script(wired: Wired, name: str, content: str) -> None:
    """Another verifier."""
    path = wired.work / name
    path.write_text(content)
    path.chmod(0o755)
    path.rename(wired.verifiers / name)


def test_containerd_that_asks_us_is_enforcing(sealed: Sealed, inside: Inside) -> None:
    with containerd(sealed.node) as wired:
        install(wired, sealed)
        proofs = [proved(wired, inside) for _ in range(3)]
    assert {(proof.state, proof.reason) for proof in proofs} == {(State.ENFORCING, Reason.ENFORCING)}
    assert proofs[0].message == "containerd asked 00-nodeseal, which refused the canary"


TRIGGERS: Mapping[str, Mapping[str, str]] = {
    "use_local_image_pull": {"settings": "use_local_image_pull = true"},
    "max_concurrent_downloads": {"settings": "max_concurrent_downloads = 4"},
    "discard_unpacked_layers": {"settings": "discard_unpacked_layers = true"},
    "disable_snapshot_annotations": {"settings": "disable_snapshot_annotations = false"},
    "image_pull_with_sync_fs": {"settings": "image_pull_with_sync_fs = true"},
    "registry.configs": {"registry": f"[plugins.'{IMAGES}'.registry.configs.'r.example'.auth]\n    username = 'u'"},
    "registry.mirrors": {
        "registry": f"[plugins.'{IMAGES}'.registry.mirrors.'r.example']\n    endpoint = ['https://m.example']"
    },
    "registry.auths": {"registry": f"[plugins.'{IMAGES}'.registry.auths.'https://r.example']\n    username = 'u'"},
}


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_local_pull_mode_is_a_bypass_whatever_triggers_it(sealed: Sealed, inside: Inside, trigger: str) -> None:
    with containerd(sealed.node, **TRIGGERS[trigger]) as wired:  # type: ignore[arg-type]
        install(wired, sealed)
        generic = proved(wired, inside)
        named = proved(wired, inside, Known((trigger,), installed=True))
    assert (generic.state, generic.reason) == (State.BYPASSED, Reason.NOT_CALLED)
    assert (named.state, named.reason) == (State.BYPASSED, Reason.LOCAL_PULL)
    assert trigger in named.message


def nothing(wired: Wired, sealed: Sealed) -> None:
    """Leave the folder empty."""


def gone(wired: Wired, sealed: Sealed) -> None:
    wired.verifiers.rmdir()


def allower(wired: Wired, sealed: Sealed) -> None:
    script(wired, "10-other", ALLOWER)


@pytest.mark.parametrize("prepare", [nothing, gone, allower], ids=lambda each: each.__name__)
def test_folder_without_us_is_no_enforcement(
    sealed: Sealed, inside: Inside, prepare: Callable[[Wired, Sealed], None]
) -> None:
    with containerd(sealed.node) as wired:
        prepare(wired, sealed)
        generic, known = proved(wired, inside), proved(wired, inside, Known((), installed=False))
    assert (generic.state, generic.reason) == (State.BYPASSED, Reason.NOT_CALLED)
    assert (known.state, known.reason) == (State.OFF, Reason.NOT_INSTALLED)


@pytest.mark.parametrize(
    "settings", [{"bindir": "max_verifiers = 0"}, {"bin_dir": "/nowhere"}], ids=["none may run", "another folder"]
)
def test_verifiers_that_are_never_run_are_a_bypass(sealed: Sealed, inside: Inside, settings: dict[str, str]) -> None:
    with containerd(sealed.node, **settings) as wired:  # type: ignore[arg-type]
        install(wired, sealed)
        assert proved(wired, inside).state is State.BYPASSED


def test_refusal_by_another_verifier_proves_nothing_about_us(sealed: Sealed, inside: Inside) -> None:
    with containerd(sealed.node) as wired:
        install(wired, sealed, "50-nodeseal")
        script(wired, "10-other", DENIER)
        proof = proved(wired, inside)
        (wired.verifiers / "10-other").unlink()
        script(wired, "99-other", DENIER)
        ours_first = proved(wired, inside)
    assert (proof.state, proof.reason) == (State.UNKNOWN, Reason.OTHER_VERIFIER)
    assert "10-other refused the canary before ours was asked: no image is good enough" in proof.message
    assert ours_first.is_enforcing


@pytest.mark.parametrize(
    "content", [KILLS_ITSELF, SLEEPER, None, "not a program"], ids=["crash", "hang", "dangling", "text"]
)
def test_verifier_that_can_not_be_run_proves_nothing_but_is_told(
    sealed: Sealed, inside: Inside, content: str | None
) -> None:
    with containerd(sealed.node, bindir="per_verifier_timeout = '1s'") as wired:
        if content is None:
            (wired.verifiers / "00-nodeseal").symlink_to("/nowhere")
        else:
            script(wired, "00-nodeseal", content)
        proof = proved(wired, inside)
    assert (proof.state, proof.reason) == (State.UNKNOWN, Reason.BROKEN)
    assert "every pull is refused, because containerd could not run a verifier: " in proof.message


@pytest.mark.parametrize(
    ("hosts", "state", "reason"),
    [
        ("server = 'http://127.0.0.1:5000'\n", State.UNKNOWN, Reason.UNREACHABLE),
        ("[host.'http://127.0.0.1:9']\n  capabilities = ['pull', 'resolve']\n", State.ENFORCING, Reason.ENFORCING),
    ],
    ids=["another server", "a mirror that is away"],
)
def test_hosts_of_all_registries_never_pass_for_the_witness(
    sealed: Sealed, inside: Inside, hosts: str, state: State, reason: Reason
) -> None:
    with containerd(sealed.node, hosts={"_default": hosts}) as wired:
        install(wired, sealed)
        proof = proved(wired, inside)
    assert (proof.state, proof.reason) == (state, reason)
    assert state is State.ENFORCING or "certs.d/_default/hosts.toml has a `server`" in proof.message


def test_port_with_hosts_of_its_own_is_asked_though_all_others_are_sent_elsewhere(
    sealed: Sealed, inside: Inside
) -> None:
    listening = inside.listener()
    hosts = {"_default": "server = 'http://127.0.0.1:5000'\n", f"127.0.0.1_{listening.getsockname()[1]}_": ""}
    with containerd(sealed.node, hosts=hosts) as wired:
        install(wired, sealed)
        assert anyio.run(lambda: proving.prove(wired.socket, listening=listening)).is_enforcing


def test_other_registry_with_a_canary_of_its_own_proves_nothing(sealed: Sealed, inside: Inside) -> None:
    """Through a `_default` server we are asked about what that one has: the refusal is ours, and is no proof."""
    sealed.node.push_image("nodeseal-canary")
    hosts = {"_default": "server = 'http://127.0.0.1:5000'\n"}
    with containerd(sealed.node, hosts=hosts) as wired:
        install(wired, sealed)
        assert proved(wired, inside).state is State.UNKNOWN


def test_proxy_of_containerds_is_not_asked(sealed: Sealed, inside: Inside) -> None:
    environment = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    with containerd(sealed.node, environment=environment) as wired:
        install(wired, sealed)
        assert proved(wired, inside).is_enforcing


def test_socket_without_a_runtime_is_silence(tmp_path: pathlib.Path) -> None:
    proof = proving.prove_now(str(tmp_path / "none.sock"))
    assert (proof.state, proof.reason) == (State.UNKNOWN, Reason.SILENT)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "other.sock"))
        assert anyio.run(proving.prove, str(tmp_path / "other.sock")).reason is Reason.SILENT


class Watching:
    """The daemon, which proves one containerd."""

    def __init__(self, sealed: Sealed, wired: Wired) -> None:
        """See `words`."""
        self._sealed = sealed
        self.words = [str(sealed.program.path), "watch", "--root", str(sealed.program.root), "--prove"]
        self.words += ["--cri-socket", wired.socket]

    def until(self, state: str) -> dict[str, object]:
        """Wait for a state; what the daemon says of it."""
        command = [
            str(self._sealed.program.path),
            "status",
            "--root",
            str(self._sealed.program.root),
            "--format",
            "json",
        ]
        end = time.monotonic() + 90
        while True:
            status = json.loads(self._sealed.node.must(command))
            found = (status["daemon"] or {}).get("proof") or {}
            if found.get("state") == state:
                return dict(found)
            assert time.monotonic() < end, found
            time.sleep(0.2)


def test_daemon_notices_what_becomes_of_enforcement(sealed: Sealed) -> None:
    log = sealed.node.work / "proving.log"
    with containerd(sealed.node) as wired:
        watching = Watching(sealed, wired)
        with sealed.node.started(watching.words, log=log):
            assert watching.until("off")["reason"] == "VerifierNotInstalled"
            install(wired, sealed)
            assert watching.until("enforcing")["reason"] == "Enforcing"
            (wired.verifiers / "00-nodeseal").unlink()
            gone = watching.until("off")
            assert (gone["reason"], bool(gone["lastSuccess"])) == ("VerifierNotInstalled", True)
        assert wired.counts() == (0, 0)
    assert '"bug"' not in log.read_text()


def test_daemon_names_the_setting_that_sends_pulls_past_it(sealed: Sealed) -> None:
    with containerd(sealed.node, **TRIGGERS["discard_unpacked_layers"]) as wired:  # type: ignore[arg-type]
        install(wired, sealed)
        watching = Watching(sealed, wired)
        with sealed.node.started(watching.words, log=sealed.node.work / "naming.log"):
            found = watching.until("bypassed")
    assert found["reason"] == "LocalPullFallback"
    assert "discard_unpacked_layers" in str(found["message"])


def test_program_that_refuses_the_sandbox_of_every_pod_is_told(sealed: Sealed, inside: Inside) -> None:
    bad = sealed.node.work / "refuses"
    bad.write_text("#!/bin/sh\necho deny NS-2009\nexit 10\n")
    bad.chmod(0o755)
    with containerd(sealed.node) as wired:
        install(wired, sealed)

        async def body(program: str) -> Proof:
            return await proving.prove(wired.socket, program=program, listening=inside.listener())

        assert anyio.run(body, str(sealed.program.path)).is_enforcing
        refused, gone = anyio.run(body, str(bad)), anyio.run(body, "/nowhere/nodeseal")
    assert refused.reason is gone.reason is Reason.SANDBOX_REFUSED
    assert "so is registry.k8s.io/pause:3.10.2, which every pod needs: exit code 10: deny NS-2009" in refused.message
