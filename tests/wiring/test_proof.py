"""What a canary proves."""

import pytest

from agent.wiring import proof
from agent.wiring.proof import Canary, Known, Proof, Pulled, Reason, State, Witnessed, judged

CANARY = Canary(40001, "0123456789abcdef" * 2)
IMAGE, DIGEST = CANARY.image, CANARY.digest
LINE = f"deny NS-1001 rule=canary: the canary's name is always refused; this verifier is live: {CANARY.nonce}"
UNKNOWN, NOT_FOUND = 2, 5
SEEN, FETCHED, NOTHING = Witnessed(1, 0), Witnessed(1, 1), Witnessed(0, 0)
PULL = f'failed to pull and unpack image "{IMAGE}": '
MISSED = Pulled(NOT_FOUND, f"{PULL}failed to copy: httpReadSeeker: failed open: content at https://... not found")


def refused(verifier: str = "00-nodeseal", line: str = LINE, image: str = IMAGE, digest: str = DIGEST) -> Pulled:
    """containerd's words when a verifier said no."""
    why = f"verifier {verifier} rejected image (exit code 10): {line}"
    text = f"image verifier bindir blocked pull of {image} with digest {digest} for reason: {why}"
    return Pulled(UNKNOWN, f'failed to pull and unpack image "{image}": {text}')


def kinds(found: Proof) -> tuple[State, Reason]:
    return found.state, found.reason


def test_our_own_refusal_of_this_canary_after_it_was_resolved_here_is_the_proof() -> None:
    found = judged(CANARY, refused(), SEEN)
    assert kinds(found) == (State.ENFORCING, Reason.ENFORCING)
    assert found.is_enforcing
    assert found.as_json() == {
        "state": "enforcing",
        "reason": "Enforcing",
        "message": "containerd asked 00-nodeseal, which refused the canary",
    }


OTHER = Canary(40001, "f" * 32)


@pytest.mark.parametrize(
    ("pulled", "witnessed"),
    [
        (refused(), NOTHING),
        (refused(), FETCHED),
        (refused(line=LINE.replace(CANARY.nonce, OTHER.nonce)), SEEN),
        (refused(line=LINE.removesuffix(f": {CANARY.nonce}")), SEEN),
        (refused(line=f"deny NS-2001 rule=default: {CANARY.nonce}"), SEEN),
        (refused(line=f"no: {LINE}"), SEEN),
        (refused(line=""), SEEN),
        (refused(image=OTHER.image), SEEN),
        (refused(digest=OTHER.digest), SEEN),
        (refused(image=IMAGE.replace("40001", "40002")), SEEN),
        (refused()._replace(text=f"a registry's own words: {refused().text}"), SEEN),
        (refused()._replace(text=f"{PULL}unexpected status: {refused().text}"), SEEN),
        (Pulled(UNKNOWN, LINE), SEEN),
        (Pulled(UNKNOWN, ""), SEEN),
        (Pulled(UNKNOWN, ""), NOTHING),
        (Pulled(4, "deadline exceeded"), SEEN),
        (Pulled(UNKNOWN, "unexpected EOF"), FETCHED),
        (MISSED, NOTHING),
    ],
)
def test_everything_else_that_was_refused_is_unknown(pulled: Pulled, witnessed: Witnessed) -> None:
    for known in (Known(), Known((), installed=True), Known(("x",), installed=False)):
        assert judged(CANARY, pulled, witnessed, known).state is State.UNKNOWN


@pytest.mark.parametrize(
    ("known", "expected", "word"),
    [
        (Known(), (State.BYPASSED, Reason.NOT_CALLED), "Falling back to local image pull mode"),
        (Known((), installed=True), (State.BYPASSED, Reason.NOT_CALLED), "folder of image verifiers"),
        (Known((), installed=False), (State.OFF, Reason.NOT_INSTALLED), "not in containerd's folder"),
        (Known(("a", "b\n"), installed=False), (State.BYPASSED, Reason.LOCAL_PULL), "because of a, b in plugins."),
    ],
)
def test_canary_that_was_fetched_is_a_bypass_and_what_was_read_says_why(
    known: Known, expected: tuple[State, Reason], word: str
) -> None:
    found = judged(CANARY, MISSED, FETCHED, known)
    assert kinds(found) == expected
    assert word in found.message


def test_canary_that_was_pulled_is_a_bypass_whatever_was_seen() -> None:
    for witnessed in (SEEN, FETCHED, NOTHING):
        assert kinds(judged(CANARY, Pulled(0, ""), witnessed)) == (State.BYPASSED, Reason.PULLED)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (
            "failed to call verifier 00-nodeseal (runtime 29ms): waiting on command to exit: signal: killed",
            "failed to call verifier 00-nodeseal (runtime 29ms): waiting on command to exit: signal: killed",
        ),
        ("starting process: fork/exec /v/00-nodeseal: no such file\x1b[31m", "no such file\\x1b[31m"),
        ("x" * 5000, "x" * 200),
    ],
)
def test_verifier_that_can_not_be_run_is_told_in_short(error: str, shown: str) -> None:
    text = f"{PULL}blocking pull of {IMAGE} with digest {DIGEST}: image verifier bindir returned error: {error}"
    found = judged(CANARY, Pulled(UNKNOWN, text), SEEN)
    assert kinds(found) == (State.UNKNOWN, Reason.BROKEN)
    assert shown in found.message
    assert found.message.isprintable()
    assert len(found.message) < 500
    assert kinds(judged(CANARY, Pulled(UNKNOWN, text), FETCHED))[1] is Reason.UNEXPLAINED


def test_other_verifier_is_named() -> None:
    found = judged(CANARY, refused("10-other", "not on my list"), SEEN)
    assert kinds(found) == (State.UNKNOWN, Reason.OTHER_VERIFIER)
    assert found.message == "verifier 10-other refused the canary before ours was asked: not on my list"


def test_witness_that_was_not_asked_is_explained() -> None:
    found = judged(CANARY, Pulled(UNKNOWN, "dial tcp: connection refused"), NOTHING)
    assert kinds(found) == (State.UNKNOWN, Reason.UNREACHABLE)
    assert "certs.d/_default" in found.message
    assert "dial tcp: connection refused" in found.message


@pytest.mark.parametrize(
    ("name", "version", "reason"),
    [
        ("containerd", "2.1.0", None),
        ("containerd", "2.1.9+unknown", None),
        ("containerd", "v2.3.4-k3s1.36", None),
        ("containerd", "10.0", None),
        ("containerd", "2.10.0", None),
        ("containerd", "who knows", None),
        ("containerd", "2.0.10", Reason.TOO_OLD),
        ("containerd", "v1.7.34", Reason.TOO_OLD),
        ("cri-o", "1.33.0", Reason.NOT_CONTAINERD),
        ("docker", "29.0", Reason.NOT_CONTAINERD),
        ("", "", Reason.NOT_CONTAINERD),
    ],
)
def test_runtime_that_knows_no_verifiers_is_unsupported(name: str, version: str, reason: Reason | None) -> None:
    found = proof.unsupported(name, version)
    assert (found.reason if found else None) is reason
    assert found is None or found.state is State.UNSUPPORTED


def test_canary_carries_its_nonce_in_every_way_to_ask_for_it() -> None:
    assert CANARY.image == f"127.0.0.1:40001/nodeseal-canary:{CANARY.nonce}"
    assert CANARY.digest == f"sha256:{CANARY.nonce * 2}"
    assert CANARY.paths == {
        f"/v2/nodeseal-canary/manifests/{CANARY.nonce}",
        f"/v2/nodeseal-canary/manifests/sha256:{CANARY.nonce * 2}",
    }


def test_sandbox_image_that_is_refused_is_no_state_to_be_content_with() -> None:
    found = proof.refused_sandbox("registry.k8s.io/pause:3", "exit code 1: \n")
    assert kinds(found) == (State.UNKNOWN, Reason.SANDBOX_REFUSED)
    assert found.message.endswith("so is registry.k8s.io/pause:3, which every pod needs: exit code 1:")
