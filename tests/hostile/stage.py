"""The program that trusts one signer, a registry whose repositories misbehave each in its own way, and cases on it."""

import concurrent.futures
import re
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

from agent.adapters import throttling
from agent.gathering import PATIENCE
from agent.model.descriptor import Descriptor
from tests.frozen.program import Program, descriptor, plugin_words
from tests.hostile.measure import MEMORY, Measured, note, run
from tests.signing import Profile, Signer, attach_signature, ca_profile, certificate, envelope, name
from tests.simulators.misbehaviour import Behaviour
from tests.simulators.registry import Handler, RegistrySimulator

DEADLINE = 9.0
"""Seconds: the program's own 8, and one to start and end it; containerd waits 10."""

_STARVED = 1.0
"""Seconds without a processor from which on a deadline proves nothing."""

PROMPT = 4.0
"""Seconds for what nothing has to be waited for; it takes a tenth of that on a quiet machine."""

OUT_OF_TIME = "NS-3005"
"""The code of the reason that is given at the deadline."""

AT_ONCE = 6
"""Cases at once."""

_PATH = re.compile(r"/v2/(?P<repository>[^?]+?)/(?P<kind>manifests|blobs|referrers)/(?P<name>[^/?]*)")


class Asked(NamedTuple):
    """How the program is called: its arguments, what stands on its standard input, its environment, what runs it."""

    words: Sequence[str]
    stdin: bytes = b""
    environment: Mapping[str, str] = {}
    runner: Sequence[str] = ()


class Stage:
    """Everything that a case may use."""

    def __init__(
        self,
        program: Program,
        registry: RegistrySimulator,
        other: RegistrySimulator,
        trusted: Signer,
        authority: Signer,
    ) -> None:
        """`other` is a host that no credential may reach; `authority` is trusted for timestamps."""
        self.program = program
        self.registry = registry
        self.other = other
        self.trusted = trusted
        self.authority = authority
        self._behaviours: dict[tuple[str, str], Behaviour] = {}
        # One registry plays all of them: none that wants to be left alone may close it to the others.
        (program.root / throttling.KIND.folder).parent.mkdir(parents=True, exist_ok=True)
        (program.root / throttling.KIND.folder).write_text("no folder")
        registry.misbehave("*", self._behave)
        self.signed = self.signed_image("plain/signed")
        self.unsigned = registry.push_image("plain/unsigned", "1", salt="unsigned")
        self.base = self.run(self.pull("plain/signed", self.signed))
        if self.base.code:
            raise AssertionError(f"a plain signed image: {self.base}")

    def signed_image(self, repository: str) -> Descriptor:
        """A new image with one good signature."""
        image = self.registry.push_image(repository, "1", salt=repository)
        attach_signature(self.registry, repository, image, envelope(self.trusted, image))
        return image

    def issued(self, **changes: Any) -> Signer:
        """A signer whose certificate, with these changes to a good one's profile, the trusted issuing CA issued."""
        profile = Profile(name("build.example.com"))._replace(**changes)
        issuer = ca_profile("build.example.com Issuing CA", key_number=1)
        chain = (certificate(profile, issuer), *self.trusted.chain[1:])
        return Signer(chain, profile.kind, profile.key_number)

    def image_with(self, repository: str, signature: Callable[[Descriptor], bytes], **changes: Any) -> Asked:
        """The call for a new image with one signature; `changes` are the signature manifest's."""
        image = self.registry.push_image(repository, "1", salt=repository)
        attach_signature(self.registry, repository, image, signature(image), **changes)
        return self.pull(repository, image)

    def misbehave(self, repository: str, kind: str, behaviour: Behaviour) -> None:
        """Let `behaviour` answer the requests of a kind ("*" for all) for one repository; without one ("") the kind is
        the path's first two segments."""
        self._behaviours[repository, kind] = behaviour

    def pull(self, repository: str, image: Descriptor, environment: Mapping[str, str] | None = None) -> Asked:
        """containerd's call for an image of the registry, by tag."""
        name = f"{self.registry.host}/{repository}:1"
        stdin = descriptor(str(image.digest), image.size)
        return Asked(plugin_words(name, str(image.digest)), stdin, environment or {})

    def run(self, asked: Asked) -> Measured:
        """Call the program."""
        return run([*asked.runner, str(self.program.path), *asked.words], asked.stdin, asked.environment)

    def _behave(self, handler: Handler) -> bool:
        match = _PATH.match(handler.path)
        repository = match["repository"] if match else ""
        kind = _kind(match["kind"], match["name"]) if match else "/".join(handler.path.split("/")[1:3])
        found = self._behaviours.get((repository, kind)) or self._behaviours.get((repository, "*"))
        return found(handler) if found else False


def _kind(plural: str, name: str) -> str:
    """A request's kind, as the simulator calls it."""
    if plural == "manifests":
        return "manifest" if ":" in name else "tag"
    return plural.removesuffix("s") if plural == "blobs" else plural


class Case(NamedTuple):
    """One bad input: its item in the list and its defect; how to ask; what must come of it, and how soon.

    `code` is the reason's code; an exit code of 0 must have one too.
    """

    name: str
    ask: Callable[[Stage], Asked]
    exit: int
    code: str
    seconds: float = PROMPT
    word: str = ""


def run_all(stage: Stage, group: str, cases: Iterable[Case]) -> dict[str, Measured]:
    """Run every case, several at a time, and keep what they took."""
    listed = tuple(cases)
    found = all_of(stage, listed, {case.name: case.ask(stage) for case in listed})
    note(group, stage.base, found)
    return found


def all_of(stage: Stage, cases: Iterable[Case], asked: Mapping[str, Asked]) -> dict[str, Measured]:
    """Run every case, several at a time.

    One that came to its deadline, or to the end of its patience, because the machine was full, and should have been
    sooner, is asked again, alone.
    """
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(asked, pool.map(stage.run, asked.values()), strict=True))
    for case in cases:
        one = found[case.name]
        is_late = OUT_OF_TIME in one.out and case.code != OUT_OF_TIME
        is_late = is_late or (one.code != case.exit and one.seconds > PATIENCE)
        if is_late and (one.queued > _STARVED or one.slack):
            found[case.name] = stage.run(asked[case.name])
    return found


def check(case: Case, found: Measured, base: Measured) -> None:
    """The answer is the expected one: one printable line, in time, within the memory."""
    line = found.out
    assert found.code == case.exit, found
    assert line.endswith("\n") and line.count("\n") == 1
    assert line[:-1].isascii() and line[:-1].isprintable()
    assert len(line) <= 401
    assert f" {case.code} " in line, line
    assert case.word in line, line
    assert (found.code == 0) == line.startswith("allow NS-0001 rule=default ground=verified: ")
    assert found.stderr == b""
    assert found.took < case.seconds + found.slack
    assert found.peak_kib - base.peak_kib < MEMORY
