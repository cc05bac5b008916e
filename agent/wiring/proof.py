"""What a canary proves: from what the CRI said of its pull and our own registry saw, to whether pulls are verified.

A canary is a pull of the reserved name (`agent.rules.precedence`) from a registry of our own on this host, the witness,
that knows one manifest by its name alone.  Its tag is a nonce, so that nothing that was remembered can answer.  Where
containerd asks us, it asks the witness for the digest, asks us, and gives up; where it doesn't, it goes on and fetches
the manifest, which is not there.  Either way nothing is stored.

Only `State.ENFORCING` means that images are verified; it takes our own refusal, with the nonce, in containerd's words
(pkg/imageverifier/bindir and core/transfer/local of containerd 2.1 to 2.3).
"""

import re
from enum import Enum
from typing import NamedTuple

from agent.errors import Code
from agent.model.answer import printable, shortened

REPOSITORY = "nodeseal-canary"
"""The reserved repository, on 127.0.0.1."""

OLDEST = (2, 1)
"""The first containerd whose CRI asks verifiers."""

MOST_TEXT = 300
"""Characters of others' texts that are shown."""

INSTEAD = {
    "cri-o": "CRI-O has no image verifiers: use /etc/containers/policy.json, or ClusterImagePolicy on OpenShift",
}
"""What to use on other runtimes, by their names."""

_VERSION = re.compile(r"v?(\d+)\.(\d+)")
_NOT_FOUND = 5
_REFUSED = re.compile(
    r'failed to pull and unpack image "(?P<quoted>[^"]+)": image verifier bindir blocked pull of (?P<name>\S+) '
    r"with digest (?P<digest>\S+) for reason: verifier (?P<verifier>.+?) rejected image \(exit code (?P<code>\d+)\): "
    r"(?P<line>.*)\Z",
    re.DOTALL,
)
_BROKEN = re.compile(
    r"blocking pull of \S+ with digest \S+: image verifier bindir returned error: (?P<error>.*)\Z", re.DOTALL
)


class State(str, Enum):
    """Whether containerd asks us; the values are labels of metrics."""

    ENFORCING = "enforcing"
    BYPASSED = "bypassed"
    """Pulls by the CRI ask no verifier."""
    OFF = "off"
    """They do, and there is none of ours."""
    UNKNOWN = "unknown"
    """The canary proved neither."""
    UNSUPPORTED = "unsupported"
    """This runtime knows no verifiers."""


class Reason(str, Enum):
    """Why; the words are promises: a node condition has them."""

    ENFORCING = "Enforcing"
    LOCAL_PULL = "LocalPullFallback"
    NOT_CALLED = "VerifierNotCalled"
    NOT_INSTALLED = "VerifierNotInstalled"
    PULLED = "CanaryPulled"
    UNREACHABLE = "CanaryUnreachable"
    OTHER_VERIFIER = "OtherVerifierRefused"
    BROKEN = "VerifierFailed"
    SANDBOX_REFUSED = "SandboxImageRefused"
    UNEXPLAINED = "CanaryUnexplained"
    SILENT = "RuntimeSilent"
    NOT_CONTAINERD = "RuntimeNotContainerd"
    TOO_OLD = "ContainerdTooOld"
    DISTRIBUTION = "DistributionUnsupported"
    NOT_PROVED = "NotProvedYet"


class Proof(NamedTuple):
    """What is known; `message` is one printable line for people, with the next step where there is one."""

    state: State
    reason: Reason
    message: str

    @property
    def is_enforcing(self) -> bool:
        """Whether images are verified."""
        return self.state is State.ENFORCING

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {"state": self.state.value, "reason": self.reason.value, "message": self.message}


class Canary(NamedTuple):
    """What is pulled: the port of the witness, and 32 hexadecimal digits that nobody has seen before."""

    port: int
    nonce: str

    @property
    def image(self) -> str:
        """Its reference."""
        return f"127.0.0.1:{self.port}/{REPOSITORY}:{self.nonce}"

    @property
    def digest(self) -> str:
        """What the witness says that its manifest's digest is."""
        return f"sha256:{self.nonce}{self.nonce}"

    @property
    def paths(self) -> frozenset[str]:
        """How its manifest can be asked for."""
        return frozenset(f"/v2/{REPOSITORY}/manifests/{each}" for each in (self.nonce, self.digest))


class Pulled(NamedTuple):
    """How the CRI answered a pull: status code of gRPC, 0 for success, and its text."""

    code: int
    text: str


class Witnessed(NamedTuple):
    """What the witness was asked about the canary's manifest: how often whether it is there, and how often for it."""

    asked: int
    fetched: int


class Known(NamedTuple):
    """What was read of the node's configuration, to say why.  It never turns one state into `ENFORCING`.

    `triggers` are the settings that make the CRI pull without asking verifiers; `installed` is whether our program is
    in the verifiers' folder; None where nobody has looked.
    """

    triggers: tuple[str, ...] | None = None
    installed: bool | None = None


NOTHING_KNOWN = Known()
NOT_PROVED = Proof(State.UNKNOWN, Reason.NOT_PROVED, "no canary was pulled yet")


def unsupported(name: str, version: str) -> Proof | None:
    """What a runtime's own name and version say of it; None if it may know verifiers."""
    if name != "containerd":
        text = INSTEAD.get(name) or f"the runtime is {_said(name) or 'nameless'}; only containerd asks image verifiers"
        return Proof(State.UNSUPPORTED, Reason.NOT_CONTAINERD, text)
    found = _VERSION.match(version)
    if found and (int(found[1]), int(found[2])) < OLDEST:
        text = f"containerd {_said(version)}: the CRI asks image verifiers from {OLDEST[0]}.{OLDEST[1]} on"
        return Proof(State.UNSUPPORTED, Reason.TOO_OLD, text)
    return None


def unsupported_distribution(text: str) -> Proof:
    """Nothing can be installed on such nodes; `text` says what to use instead."""
    return Proof(State.UNSUPPORTED, Reason.DISTRIBUTION, text)


def silent(text: str) -> Proof:
    """The CRI gave no answer; `text` says how."""
    return Proof(State.UNKNOWN, Reason.SILENT, _said(text))


def refused_sandbox(image: str, text: str) -> Proof:
    """Our program refuses a sandbox image that is exempt, or fails over it: no pod could start.  `text` says how."""
    return Proof(
        State.UNKNOWN,
        Reason.SANDBOX_REFUSED,
        f"the canary is refused, but so is {_said(image)}, which every pod needs: {_said(text)}",
    )


def judged(canary: Canary, pulled: Pulled, witnessed: Witnessed, known: Known = NOTHING_KNOWN) -> Proof:
    """What one canary proves."""
    if pulled.code == 0:
        return Proof(State.BYPASSED, Reason.PULLED, "the canary was pulled, although there is nothing to pull")
    refused = _REFUSED.match(pulled.text)
    if refused and (refused["quoted"], refused["name"], refused["digest"]) == (
        canary.image,
        canary.image,
        canary.digest,
    ):
        return _refused(canary, refused, witnessed)
    broken = _BROKEN.search(pulled.text)
    if broken and witnessed.asked and not witnessed.fetched:
        text = f"every pull is refused, because containerd could not run a verifier: {_said(broken['error'])}"
        return Proof(State.UNKNOWN, Reason.BROKEN, text)
    if witnessed.fetched and pulled.code == _NOT_FOUND:
        return _bypassed(known)
    if not witnessed.asked:
        return Proof(
            State.UNKNOWN,
            Reason.UNREACHABLE,
            "containerd did not ask our registry on 127.0.0.1, so nothing is proved. If certs.d/_default/hosts.toml "
            "has a `server`, that was asked instead: leave it out, or see docs/proof.md. "
            f"containerd said: {_said(pulled.text)}",
        )
    return Proof(State.UNKNOWN, Reason.UNEXPLAINED, f"containerd said: {_said(pulled.text)}")


def _refused(canary: Canary, refused: "re.Match[str]", witnessed: Witnessed) -> Proof:
    """A verifier refused it: ours, another, or ours in words that we don't know."""
    verifier, line = _said(refused["verifier"]), refused["line"]
    if not line.startswith(f"deny {Code.CANARY.value} ") or canary.nonce not in line:
        text = f"verifier {verifier} refused the canary before ours was asked: {_said(line)}"
        return Proof(State.UNKNOWN, Reason.OTHER_VERIFIER, text)
    if not witnessed.asked or witnessed.fetched:
        return Proof(
            State.UNKNOWN, Reason.UNEXPLAINED, f"verifier {verifier} refused the canary, and yet it was fetched"
        )
    return Proof(State.ENFORCING, Reason.ENFORCING, f"containerd asked {verifier}, which refused the canary")


def _bypassed(known: Known) -> Proof:
    """Nobody was asked: why, as far as the configuration tells."""
    if known.triggers:
        text = (
            f"the CRI pulls without asking verifiers, because of {_said(', '.join(known.triggers))} in "
            "plugins.'io.containerd.cri.v1.images'; nodeseal doctor says what else changes without, and install "
            "--changes pull-path sets back what a later file can"
        )
        return Proof(State.BYPASSED, Reason.LOCAL_PULL, text)
    if known.installed is False:
        return Proof(State.OFF, Reason.NOT_INSTALLED, "our program is not in containerd's folder of image verifiers")
    text = (
        "containerd fetched the canary without asking us: the CRI pulls locally (its log says "
        '"Falling back to local image pull mode"), or its folder of image verifiers is another, or empty'
    )
    return Proof(State.BYPASSED, Reason.NOT_CALLED, text)


def _said(text: str) -> str:
    return shortened(printable(text.strip()), MOST_TEXT)
