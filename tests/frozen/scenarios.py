"""What a pull can meet, one row each: what lies on the node and in the registry, and what must come of it.

A row added to `SCENARIOS` is asked at all three of the child's doors (`test_doors`).
"""

import contextlib
import json
import pathlib
import re
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import NamedTuple

from cryptography.x509 import ocsp

from agent.adapters import answers, nodestate
from agent.adapters.credentials import NODE_FILE
from agent.adapters.nodestate import NodeState
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.spool import FOLDER as SPOOL
from agent.model.descriptor import Descriptor
from agent.model.manifest import IMAGE_INDEX
from agent.rules.breakglass import Moment
from agent.rules.rule import KeysUsed
from tests.commands import Done, run
from tests.frozen import cosigned
from tests.frozen.program import Program, descriptor, plugin_words
from tests.signing import Signer, attach_signature, envelope, usual_signer, write_config
from tests.signing_cosign import public_der
from tests.simulators import misbehaviour
from tests.simulators.authentication import PASSWORD, USER, Gate, pair
from tests.simulators.misbehaviour import Behaviour
from tests.simulators.registry import RegistrySimulator
from tests.simulators.responder import Responder
from tests.trust.answers import Ocsp, asked_at, chain_with, ocsp_answer

PLUGIN, ANSWER, DAEMON = "plugin", "answer", "daemon"
"""The doors, as the spool calls them."""

SIGNED, UNSIGNED, STRANGER, TAMPERED, ENDED = "signed", "unsigned", "stranger", "tampered", "ended"
GOOD, REVOKED, UNKNOWN = "good", "revoked", "unknown"
"""What images have beside what `cosigned` has: signatures, and some whose certificate's responder says that."""

DENIED = [{"key": f"sha256:{sha256(public_der()).hexdigest()}"}]
"""`denySigners` with the key that cosign's signatures are made with."""

REGO = "package ratify.policy\ndefault valid := false\nvalid { count(input.verifierReports) > 0 }\n"
NEVER_ENDING = """package ratify.policy
valid { xs := numbers.range(1, 100000); ys := [(x * y) | x := xs[_]; y := xs[_]]; count(ys) > 0 }
"""
_CONFUSED = "{"
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
_STATE = "var/lib/nodeseal"
_RULES: Mapping[str, Mapping[str, object]] = {
    "case": {},
    "audit": {"enforcement": "Audit"},
    "disabled": {"enforcement": "Disabled"},
    "ignore": {"failurePolicy": {"default": "Ignore"}},
    "before": {"failurePolicy": "IgnoreIfVerifiedBefore"},
    "rego": {"policy": "policy.rego"},
    "endless": {"policy": "endless.rego"},
    "without": {"allowWithoutEvidence": True},
    **cosigned.RULES,
}


class World:
    """A node with the program, a registry, and a responder."""

    def __init__(self, folder: pathlib.Path, registry: RegistrySimulator, responder: Responder) -> None:
        """Nothing is in force yet."""
        self.folder = folder
        self.registry = registry
        self.responder = responder
        self.program = Program(folder / "host")
        self.root = self.program.root
        self.trusted = usual_signer()
        self.stranger = usual_signer("stranger.example.net", number=3)
        self.asking = {kind: chain_with(asked_at(f"{responder.base}/{kind}")) for kind in (GOOD, REVOKED, UNKNOWN)}
        for kind, status in ((GOOD, ocsp.OCSPCertStatus.GOOD), (REVOKED, ocsp.OCSPCertStatus.REVOKED)):
            leaf, issuer, *_ = self.asking[kind].chain
            responder.serve(f"/{kind}", ocsp_answer(leaf, issuer, 32, Ocsp(status)))
        self.allowed = registry.push_image("allow/image", "1", salt="allowed")

    def image(self, repository: str, kind: str) -> Descriptor:
        """An image of its own; `kind` is what it has."""
        image = self.registry.push_image(repository, "1", salt=repository)
        signers = {SIGNED: self.trusted, STRANGER: self.stranger, TAMPERED: self.trusted, ENDED: self.trusted}
        by: Signer | None = {**signers, **self.asking}.get(kind)
        if by is not None:
            over = self.allowed if kind == TAMPERED else image
            expiry = datetime.now(timezone.utc) - timedelta(minutes=1) if kind == ENDED else None
            attach_signature(self.registry, repository, image, envelope(by, over, expiry=expiry))
        cosigned.sign(self.registry, repository, image, kind)
        return image

    def configuration(self, name: str, **section: object) -> pathlib.Path:
        """A folder with the configuration of all scenarios; `section` are further keys of ours, or other ones."""
        host, until = (
            self.registry.host,
            (datetime.now(timezone.utc) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        folder = write_config(self.folder / name, self.trusted.root_pem, paths=["trusted.crt", "asking.crt"],
                              trustStores=["ca:trusted", "ca:asking"])  # fmt: skip
        (folder / "asking.crt").write_bytes(b"".join(each.root_pem for each in self.asking.values()))
        for document, content in cosigned.documents().items():
            (folder / document).write_bytes(content)
        (folder / "policy.rego").write_text(REGO)
        (folder / "endless.rego").write_text(NEVER_ENDING)
        usual = {"verifiers": ["notation"], "policy": {"any": ["notation"]}}
        value = json.loads((folder / "config.json").read_text())
        value["nodeseal"] = {
            "apiVersion": "nodeseal.dev/v1alpha1",
            "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
            "deny": [f"{host}/deny/**"],
            "breakGlass": [{"match": f"{host}/glass/*", "until": until, "reason": "INC-1"}],
            "allow": [{"image": f"{host}/allow/image@{self.allowed.digest}", "until": until, "reason": "INC-2"}],
            "exempt": [{"match": f"{host}/exempt/*", "insecure": True}],
            "verifiers": cosigned.VERIFIERS,
            "rules": [{"name": name, "match": [f"{host}/{name}/**"], **usual, **each} for name, each in _RULES.items()],
            **section,
        }
        (folder / "config.json").write_text(json.dumps(value))
        return folder

    def spooled(self) -> list[dict[str, object]]:
        """What the spool was told since it was asked last."""
        file = self.root / SPOOL / "spool.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]


class Pull(NamedTuple):
    """How containerd calls the program."""

    words: list[str]
    stdin: bytes

    def run(self, world: World) -> Done:
        """Call it."""
        return run([str(world.program.path), *self.words], stdin=self.stdin)


Arranged = Callable[[World], AbstractContextManager[object]]
Before = Callable[[World, Pull], object]


class Scenario(NamedTuple):
    """A pull of an image of its own.

    `under` is the rule or list that its repository falls under; `arranged` is how node and registry are meanwhile;
    `before` happens before each first question; `door` is who answers where there is a daemon, and `kept` is whether
    the same is answered again without asking anybody.  `varies` is what of the line may differ from one question to the
    next, where it is not times; `times` is how often it is asked in a row.
    """

    name: str
    exit: int
    code: str
    kind: str = SIGNED
    under: str = "case"
    arranged: Arranged = lambda _: nullcontext()
    before: Before = lambda _, __: None
    door: str = DAEMON
    kept: bool = True
    varies: str = _TIME
    times: int = 2

    def constant(self, text: str) -> str:
        """What of a line is the same each time."""
        return re.sub(self.varies, "...", text)

    def pull(self, world: World) -> Pull:
        """The pull; its image is pushed when this is called."""
        repository = f"{self.under}/{'-'.join(''.join(c if c.isalnum() else ' ' for c in self.name.lower()).split())}"
        if self.under == "allow":
            return pull_of(world, "allow/image", world.allowed)
        return pull_of(world, repository, world.image(repository, self.kind))


def pull_of(world: World, repository: str, image: Descriptor) -> Pull:
    """A pull by tag."""
    words = plugin_words(f"{world.registry.host}/{repository}:1", str(image.digest))
    return Pull(words, descriptor(str(image.digest), image.size))


# ---- how a node and its registry are ------------------------------------------------------------------------------


def answering(behaviour: Behaviour, kind: str = "*") -> Arranged:
    """The registry answers so."""

    @contextlib.contextmanager
    def arranged(world: World) -> Iterator[None]:
        world.registry.misbehave(kind, behaviour)
        try:
            yield
        finally:
            world.registry.behave()

    return arranged


def configured(**section: object) -> Arranged:
    """Another configuration is in force."""

    @contextlib.contextmanager
    def arranged(world: World) -> Iterator[None]:
        world.program.apply(world.configuration("other", **section))
        try:
            yield
        finally:
            world.program.apply(world.configuration("usual"))

    return arranged


forgetful = configured(cache={"allow": "0s", "deny": {"first": "0s", "max": "0s"}, "cannotTell": "0s"})
"""Nothing is said again, so that what was verified before is all that is known."""


@contextlib.contextmanager
def asking_for_a_token(world: World) -> Iterator[None]:
    """The registry is open to all who ask for a token first."""
    world.registry.asks_for_token = True
    try:
        yield
    finally:
        world.registry.asks_for_token = False


def down_after_it_was_verified(world: World, pull: Pull) -> None:
    """The registry goes away once the image was verified."""
    world.registry.behave()
    assert pull.run(world).out.startswith("allow NS-0001 ")
    world.registry.misbehave("*", misbehaviour.status(503))


@contextlib.contextmanager
def forgetful_while_it_goes(world: World) -> Iterator[None]:
    """See `down_after_it_was_verified`."""
    with forgetful(world), answering(misbehaviour.as_usual)(world):
        yield


def forgetful_without_staleness(world: World) -> AbstractContextManager[object]:
    """The same, where nothing passes as stale."""
    cache = {"allow": "0s", "deny": {"first": "0s", "max": "0s"}, "cannotTell": "0s"}
    stack = contextlib.ExitStack()
    stack.enter_context(configured(cache=cache | {"staleIfError": {"registry": "0s"}})(world))
    stack.enter_context(answering(misbehaviour.as_usual)(world))
    return stack


def with_file(path: str, content: str | bytes, mode: int = 0o600) -> Arranged:
    """A file of the node's has this content."""

    @contextlib.contextmanager
    def arranged(world: World) -> Iterator[None]:
        file = world.root / path
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        before = file.read_bytes() if file.exists() else None
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(mode)
        try:
            yield
        finally:
            file.unlink()
            if before is not None:
                file.write_bytes(before)
                file.chmod(0o600)

    return arranged


def credentials(password: str) -> Arranged:
    """The registry is closed, and the node has this password to it."""

    @contextlib.contextmanager
    def arranged(world: World) -> Iterator[None]:
        auths = {world.registry.host: {"auth": pair(USER, password)}}
        with with_file(NODE_FILE, json.dumps({"auths": auths}))(world), answering(Gate(world.registry))(world):
            yield

    return arranged


def bootstrap(**said: object) -> Arranged:
    """The node's bootstrap document says so."""
    return with_file(nodestate.BOOTSTRAP, json.dumps({"apiVersion": "nodeseal.dev/v1alpha1", **said}))


def together(*all_of: Arranged) -> Arranged:
    """All of these at once."""

    @contextlib.contextmanager
    def arranged(world: World) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for each in all_of:
                stack.enter_context(each(world))
            yield

    return arranged


@contextlib.contextmanager
def without_configuration(world: World) -> Iterator[None]:
    """Nothing was ever published."""
    state = world.root / _STATE
    state.rename(state.with_name("elsewhere"))
    try:
        yield
    finally:
        shutil.rmtree(state, ignore_errors=True)
        state.with_name("elsewhere").rename(state)


@contextlib.contextmanager
def damaged(world: World) -> Iterator[None]:
    """The snapshot is not what was published."""
    with with_file(f"{_STATE}/current/snapshot.json", "{}")(world):
        yield


@contextlib.contextmanager
def writable(world: World) -> Iterator[None]:
    """Others may write to the snapshots."""
    folder = world.root / _STATE / "snapshots"
    mode = folder.stat().st_mode
    folder.chmod(0o777)
    try:
        yield
    finally:
        folder.chmod(mode)


@contextlib.contextmanager
def unsafe_program(world: World) -> Iterator[None]:
    """Others may write to the program's folder."""
    folder = world.program.path.parent
    mode = folder.stat().st_mode
    folder.chmod(0o777)
    try:
        yield
    finally:
        folder.chmod(mode)


def out_of_date(left: float) -> Arranged:
    """The configuration came from a cluster, and counts for so many seconds more."""

    @contextlib.contextmanager
    def arranged(world: World) -> Iterator[None]:
        age(world.root, left)
        try:
            yield
        finally:
            (world.root / nodestate.COMPLETE).unlink()
            world.program.apply(world.configuration("usual"))

    return arranged


def age(root: pathlib.Path, left: float) -> None:
    """Let what is in force be a cluster's, and count for so many seconds more."""
    store = SnapshotStore(str(root))
    config, now = store.load(), nodestate.moment()
    complete = now.wall - timedelta(seconds=config.ruleset.greatest_age - left)
    NodeState(str(root)).note_complete(Moment(complete, 0.0, ""))
    store.publish(config._replace(ruleset=config.ruleset._replace(from_cluster=True)))


def out_of_date_after_it_was_verified(world: World, pull: Pull) -> None:
    """The image is verified while the configuration counts, and then that ends."""
    age(world.root, 1000)
    assert pull.run(world).out.startswith("allow NS-0001 ")
    age(world.root, 0)
    shutil.rmtree(world.root / answers.FOLDER)  # its answer ends with the configuration: see `test_again`


def denied_after_it_was_verified(world: World, pull: Pull) -> None:
    """The image is verified, and kept as that, and then its signer is denied."""
    world.program.apply(world.configuration("usual"))
    assert pull.run(world).out.startswith("allow NS-0001 ")
    assert pull.run(world).out.startswith("allow NS-0001 ")
    world.program.apply(world.configuration("other", denySigners=DENIED))


@contextlib.contextmanager
def with_old_keys(world: World) -> Iterator[None]:
    """All rules rest on keys that were fetched too long ago."""
    store, now = SnapshotStore(str(world.root)), nodestate.moment()
    config, keys = store.load(), KeysUsed("f" * 64, "corp", 3600.0)
    rules = tuple(rule._replace(keys=(keys,)) for rule in config.rules)
    NodeState(str(world.root)).note_fetched({keys.source: Moment(now.wall - timedelta(hours=1), 0.0, "")})
    store.publish(config._replace(ruleset=config.ruleset._replace(rules=rules)))
    try:
        yield
    finally:
        (world.root / nodestate.FETCHED).unlink()
        world.program.apply(world.configuration("usual"))


def break_glass(pattern: str) -> Arranged:
    """Break-glass is on, on this node."""

    @contextlib.contextmanager
    def arranged(world: World) -> Iterator[None]:
        words = ("--for", "1h", "--image", f"{world.registry.host}/{pattern}", "--reason", "INC-3")
        root = ("--root", str(world.root))
        done = world.program.person("break-glass", "on", *words, *root)
        assert done.code == 0, done
        try:
            yield
        finally:
            done = world.program.person("break-glass", "off", "--no-verify", *root)
            assert done.code == 0, done

    return arranged


DOWN = answering(misbehaviour.status(503))
GLASS_FILE, BOOTSTRAP = nodestate.BREAK_GLASS, nodestate.BOOTSTRAP
LENIENT = bootstrap(floor={"failurePolicy": {"revocationUnknown": "Ignore", "configurationInvalid": "Ignore"}})

SCENARIOS = (
    # What verification comes to.
    Scenario("signed", 0, "NS-0001"),
    Scenario("unsigned", 10, "NS-2001", UNSIGNED),
    Scenario("signed by somebody else", 10, "NS-2103", STRANGER),
    Scenario("signature of another image", 10, "NS-2102", TAMPERED),
    Scenario("signature that has ended", 10, "NS-2105", ENDED),
    Scenario("signed by cosign", 0, "NS-0001", cosigned.COSIGNED, "cosign"),
    Scenario("signed by cosign under a tag", 0, "NS-0001", cosigned.COSIGNED_TAG, "cosign"),
    Scenario("signed by cosign and a stranger", 10, "NS-2103", cosigned.COSIGNED_BY_STRANGER, "cosign"),
    Scenario("signed by cosign and denied since", 10, "NS-2117", cosigned.COSIGNED, "cosign",
             configured(denySigners=DENIED), denied_after_it_was_verified),
    Scenario("attested by cosign", 10, "NS-2112", cosigned.ATTESTED, "cosign"),
    Scenario("unsigned where cosign must sign", 10, "NS-2001", UNSIGNED, "cosign"),
    Scenario("signed by cosign alone where both must sign", 10, "NS-2006", cosigned.COSIGNED, "both"),
    Scenario("signed by one where two must sign", 10, "NS-2006", cosigned.COSIGNED, "two"),
    Scenario("signed by both who must sign", 0, "NS-0001", cosigned.COSIGNED_BY_TWO, "two"),
    Scenario("signed by an identity", 0, "NS-0001", cosigned.BY_IDENTITY, "release"),
    Scenario("signed by another identity", 10, "NS-2104", cosigned.BY_ANOTHER, "release"),
    Scenario("signed before the trusted root ended", 0, "NS-0001", cosigned.LONG_AGO, "aged"),
    Scenario("logged where an ended trusted root knows nothing", 11, "NS-3012", cosigned.IN_A_NEWER_LOG, "aged",
             door=PLUGIN),
    Scenario("logged where it knows nothing, and ignored", 11, "NS-3012", cosigned.IN_A_NEWER_LOG, "aged-ignore",
             door=PLUGIN),
    Scenario("logged where a trusted root of today knows nothing", 10, "NS-2114", cosigned.IN_A_NEWER_LOG, "release"),
    Scenario("tag that nobody answers for", 11, "NS-3001", UNSIGNED, "cosign",
             answering(misbehaviour.status(503), "tag"), door=PLUGIN),
    Scenario("certificate that is not revoked", 0, "NS-0001", GOOD),
    Scenario("certificate that is revoked", 10, "NS-2111", REVOKED, kept=False),  # what was said before it is in doubt
    Scenario("responder that does not know", 11, "NS-3004", UNKNOWN, door=PLUGIN),
    Scenario("registry that asks for a token", 0, "NS-0001", arranged=asking_for_a_token),
    Scenario("manifest that is not its digest", 10, "NS-2003",
             arranged=answering(misbehaviour.other_content(b"{}"), "manifest")),
    Scenario("listing that is no JSON", 10, "NS-2002",
             arranged=answering(misbehaviour.other_content(b"{", IMAGE_INDEX), "referrers")),
    # Rules.
    Scenario("audited", 0, "NS-2001", UNSIGNED, "audit"),
    Scenario("disabled", 0, "NS-0002", UNSIGNED, "disabled"),
    Scenario("without evidence where that is enough", 0, "NS-0002", UNSIGNED, "without"),
    Scenario("Rego that is content", 0, "NS-0001", SIGNED, "rego"),
    Scenario("Rego that is not", 10, "NS-2001", UNSIGNED, "rego"),
    Scenario("Rego without end", 10, "NS-2008", SIGNED, "endless"),
    Scenario("no rule", 10, "NS-2007", under="elsewhere"),
    # Lists.
    Scenario("on the deny list", 10, "NS-2009", under="deny"),
    Scenario("on the allow list", 0, "NS-0004", under="allow"),
    Scenario("exempt", 0, "NS-0003", UNSIGNED, "exempt"),
    Scenario("on a deny list that grew", 10, "NS-2009", arranged=lambda world: configured(
             deny=[f"{world.registry.host}/case/**"])(world)),
    # Break-glass.
    Scenario("break-glass of the configuration", 0, "NS-0005", UNSIGNED, "glass", kept=False),
    Scenario("break-glass of the node", 0, "NS-0005", UNSIGNED, arranged=break_glass("case/**"), kept=False),
    Scenario("break-glass that is no JSON", 10, "NS-2001", UNSIGNED, arranged=with_file(GLASS_FILE, _CONFUSED)),
    Scenario("break-glass and the deny list", 10, "NS-2009", under="deny", arranged=break_glass("case/**")),
    # What does not answer.
    Scenario("registry away", 11, "NS-3001", arranged=DOWN, door=PLUGIN),
    Scenario("registry away and audited", 0, "NS-3001", under="audit", arranged=DOWN, door=PLUGIN),
    Scenario("registry away and ignored", 0, "NS-3001", under="ignore", arranged=DOWN, door=PLUGIN),
    Scenario("registry away and never verified", 11, "NS-3001", under="before", arranged=DOWN, door=PLUGIN),
    Scenario("registry away and stale", 0, "NS-3001", arranged=forgetful_while_it_goes,
             before=down_after_it_was_verified, door=PLUGIN, kept=False),
    Scenario("registry away and verified before", 0, "NS-3001", under="before", arranged=forgetful_without_staleness,
             before=down_after_it_was_verified, door=PLUGIN, kept=False),
    Scenario("registry that throttles", 11, "NS-3003", arranged=answering(misbehaviour.status(429))),
    Scenario("registry that knows nobody", 11, "NS-3002", arranged=answering(misbehaviour.status(401)), door=PLUGIN),
    Scenario("registry that is closed", 0, "NS-0001", arranged=credentials(PASSWORD)),
    Scenario("registry that is closed to us", 11, "NS-3002", arranged=credentials("wrong"), door=PLUGIN),
    Scenario("registry that says nothing", 11, "NS-3005", arranged=answering(misbehaviour.silence, "referrers"),
             kept=False, varies="deadline: .*; see", times=1),  # who waits gives up before who asks
    # What the node has.
    Scenario("no configuration", 11, "NS-3006", arranged=without_configuration, door=PLUGIN, kept=False),
    Scenario("no configuration, and a lenient start", 0, "NS-3006", door=PLUGIN, kept=False,
             arranged=together(without_configuration, bootstrap(untilFirstSnapshot="Audit"))),
    Scenario("damaged snapshot", 11, "NS-3006", arranged=damaged, door=PLUGIN, kept=False),
    Scenario("damaged snapshot and ignored", 0, "NS-3006", under="ignore", arranged=damaged, door=PLUGIN, kept=False),
    Scenario("damaged snapshot and the deny list", 10, "NS-2009", under="deny", arranged=damaged),
    Scenario("configuration out of date", 11, "NS-3010", arranged=out_of_date(0), kept=False),
    Scenario("configuration out of date soon", 0, "NS-0001", arranged=out_of_date(1000)),
    Scenario("configuration out of date and ignored", 11, "NS-3010", under="ignore", arranged=out_of_date(0),
             kept=False),
    Scenario("configuration out of date and audited", 0, "NS-3010", under="audit", arranged=out_of_date(0), kept=False),
    Scenario("configuration out of date and verified before", 0, "NS-3010", under="before", arranged=out_of_date(0),
             before=out_of_date_after_it_was_verified, kept=False),
    Scenario("configuration out of date and verified before, all the same", 11, "NS-3010", arranged=out_of_date(0),
             before=out_of_date_after_it_was_verified, kept=False),
    Scenario("configuration out of date and disabled", 0, "NS-0002", UNSIGNED, "disabled", out_of_date(0)),
    Scenario("configuration out of date and no rule", 10, "NS-2007", under="elsewhere", arranged=out_of_date(0)),
    Scenario("configuration out of date and the deny list", 10, "NS-2009", under="deny", arranged=out_of_date(0)),
    Scenario("keys that were not fetched for long", 11, "NS-3011", arranged=with_old_keys, kept=False),
    Scenario("keys that were not fetched for long, ignored", 11, "NS-3011", under="ignore", arranged=with_old_keys,
             kept=False),
    Scenario("snapshots that others may write", 11, "NS-3007", arranged=writable, door=PLUGIN, kept=False),
    Scenario("program that others may write", 11, "NS-3007", arranged=unsafe_program, door="", kept=False),
    Scenario("floor that enforces", 10, "NS-2001", UNSIGNED, "audit", bootstrap(floor={"enforcement": "Enforce"})),
    Scenario("floor that lets be ignored", 0, "NS-3004", UNKNOWN, "ignore", door=PLUGIN, arranged=together(LENIENT,
             configured())),
    Scenario("bootstrap that is no JSON", 10, "NS-2001", UNSIGNED, "disabled", with_file(BOOTSTRAP, _CONFUSED)),
    Scenario("bootstrap that others may write", 10, "NS-2001", UNSIGNED, "disabled",
             with_file(BOOTSTRAP, '{"apiVersion": "nodeseal.dev/v1alpha1"}', 0o666)),
)  # fmt: skip


@contextlib.contextmanager
def world_in(folder: pathlib.Path) -> Iterator[World]:
    """A world with the usual configuration in force."""
    with RegistrySimulator() as registry, Responder(socket.create_server(("127.0.0.1", 0))) as responder:
        world = World(folder, registry, responder)
        world.program.apply(world.configuration("usual"))
        yield world
