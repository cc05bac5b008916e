"""Whole verifications behind a closed door: whose files are read, what it costs, and that no secret is seen."""

import json
import os
import pathlib
import traceback
from typing import Any, Iterator, NamedTuple

import pytest

from agent import cli
from agent.adapters import token_store
from agent.adapters.inline import NoTrace, OneByOne, SystemClock, run
from agent.adapters.snapshots import SnapshotStore
from agent.engine import Engine
from agent.errors import NodesealError
from agent.model.descriptor import Descriptor
from agent.model.reference import Reference, Repository
from agent.model.request import PullRequest
from agent.modes.config import load_for_person
from agent.modes.registry_access import open_registry, personal_credentials
from tests.engines import OnTheSpot, judged
from tests.formats.support import Answers
from tests.signing import attach_signature, envelope, usual_signer, write_config
from tests.simulators import misbehaviour
from tests.simulators.authentication import IDENTITY, ISSUED, PASSWORD, REGISTRY_TOKEN, SECRETS, USER, Gate, pair
from tests.simulators.registry import Handler, RegistrySimulator

ENTRY = {"auth": pair(USER, PASSWORD)}


class Setting(NamedTuple):
    """A registry behind a gate with a signed image, a configuration as files, and the same one in force."""

    registry: RegistrySimulator
    image: Descriptor
    folder: pathlib.Path

    @property
    def config(self) -> pathlib.Path:
        """The configuration's files."""
        return self.folder / "config"

    @property
    def root(self) -> pathlib.Path:
        """The node's root."""
        return self.folder / "root"

    @property
    def name(self) -> str:
        """The image."""
        return f"{self.registry.host}/team/signed:1"

    def node(self, content: object, mode: int = 0o600) -> None:
        """Write the node's docker configuration."""
        _write(self.root / "etc/nodeseal/docker-config.json", content, mode)

    def person(self, content: object, mode: int = 0o644) -> None:
        """Write the person's."""
        _write(self.folder / "home/.docker/config.json", content, mode)

    def entry(self, entry: dict[str, Any]) -> dict[str, Any]:
        """A docker configuration with this entry for the registry."""
        return {"auths": {self.registry.host: entry}}


def _write(path: pathlib.Path, content: object, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)


@pytest.fixture
def setting(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    """A new one; nobody has credentials yet."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    trusted = usual_signer()
    with RegistrySimulator() as registry:
        image = registry.push_image("team/signed", "1", salt="signed")
        attach_signature(registry, "team/signed", image, envelope(trusted, image))
        config = write_config(tmp_path / "config", trusted.root_pem)
        SnapshotStore(str(tmp_path / "root")).publish(load_for_person(str(config), "/"))
        yield Setting(registry, image, tmp_path)


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> "Verify":
    """Runs the command."""
    return Verify(capsys)


class Verify:
    """The command, through the command line."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What it prints is read from `capsys`."""
        self._capsys = capsys

    def __call__(self, *words: object) -> tuple[int, str]:
        """Exit code and everything that it said."""
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", "verify", *map(str, words)])
        assert isinstance(ended.value.code, int)
        return ended.value.code, "".join(self._capsys.readouterr())


def test_the_nodes_credentials_are_found_below_its_root(setting: Setting, verify: Verify) -> None:
    setting.registry.misbehave("*", Gate(setting.registry))
    assert verify("--root", setting.root, setting.name)[0] == 11
    setting.node(setting.entry(ENTRY))
    code, told = verify("--root", setting.root, setting.name)
    assert (code, "allow NS-0001" in told) == (0, True)
    assert verify("--root", setting.root, "--config", setting.config, setting.name)[0] == 0


def test_a_persons_credentials_count_with_a_configuration_of_theirs_alone(setting: Setting, verify: Verify) -> None:
    setting.registry.misbehave("*", Gate(setting.registry))
    setting.person(setting.entry(ENTRY))
    assert verify("--root", setting.root, "--config", setting.config, setting.name)[0] == 0
    code, told = verify("--root", setting.root, setting.name)
    assert code == 11
    assert "NS-3002" in told


def test_docker_config_names_the_persons_folder(
    setting: Setting, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting.registry.misbehave("*", Gate(setting.registry))
    setting.person({})
    _write(setting.folder / "elsewhere/config.json", setting.entry(ENTRY), 0o600)
    assert verify("--root", setting.root, "--config", setting.config, setting.name)[0] == 11
    monkeypatch.setenv("DOCKER_CONFIG", str(setting.folder / "elsewhere"))
    assert verify("--root", setting.root, "--config", setting.config, setting.name)[0] == 0


def test_where_a_person_has_nothing() -> None:
    assert personal_credentials({}) == []
    assert personal_credentials({"HOME": ""}) == []
    assert [each.path for each in personal_credentials({"HOME": "/home/jo"})] == ["/home/jo/.docker/config.json"]


def test_the_nodes_credentials_come_first(setting: Setting, verify: Verify) -> None:
    gate = Gate(setting.registry)
    setting.registry.misbehave("*", gate)
    setting.node(setting.entry(ENTRY))
    setting.person(setting.entry({"auth": pair("jo", "wrong")}))
    assert verify("--root", setting.root, "--config", setting.config, setting.name)[0] == 0
    assert [each.authorization for each in gate.asked] == [f"Basic {pair(USER, PASSWORD)}"]


def test_a_broken_file_keeps_nobody_from_pulling_what_is_open(setting: Setting, verify: Verify) -> None:
    setting.node("{" + PASSWORD, mode=0o666)
    assert verify("--root", setting.root, setting.name)[0] == 0


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        (PASSWORD, 0o600, "docker-config.json: got no valid JSON"),
        ({}, 0o640, "others may read (mode 0640)"),
        ({"credsStore": "desktop"}, 0o600, "the credential helper 'desktop'"),
        ({"auths": {"127.0.0.1:*": {}}, "credHelpers": {}, "credsStore": "ecr-login"}, 0o600, "'ecr-login'"),
    ],
)
def test_credentials_that_can_not_be_had_are_told(
    setting: Setting, verify: Verify, content: object, mode: int, told: str
) -> None:
    setting.registry.misbehave("*", Gate(setting.registry))
    setting.node(content, mode)
    code, said = verify("--root", setting.root, setting.name)
    assert code == 11
    assert "NS-3009" in said
    assert "credentialsUnavailable" in said
    assert told in said
    assert PASSWORD not in said


def test_what_a_verification_costs(setting: Setting) -> None:
    """Cold three requests for one signature, a refusal and a token; warm one; two for each further signature."""
    trusted = usual_signer()
    setting.registry.misbehave("*", Gate(setting.registry))
    setting.node(setting.entry(ENTRY))
    config = load_for_person(str(setting.config), "/")
    request = PullRequest(setting.name, Reference.parse(setting.name), setting.image)
    deadline = SystemClock().monotonic() + 20
    with open_registry(config, {}, deadline, root=str(setting.root)) as registry:
        engine = Engine(
            config,
            registry=registry,
            revocation=Answers(),
            concurrent=OneByOne(),
            policies=OnTheSpot(),
            clock=SystemClock(),
            trace=NoTrace(),
        )
        kinds = []
        for _ in range(2):
            assert run(judged(request, engine)).answer.exit == 0
            kinds.append([each.kind for each in setting.registry.seen])
            setting.registry.seen.clear()
        assert kinds == [["referrers", "token", "referrers", "manifest", "blob"], ["referrers"]]
        for _ in range(3):
            bad = envelope(trusted, setting.image)
            attach_signature(setting.registry, "team/signed", setting.image, bad[:-20] + os.urandom(10).hex().encode())
        run(judged(request, engine))
        asked = [each.kind for each in setting.registry.seen]
    assert asked == ["referrers", *["manifest", "blob"] * (len(asked) // 2)]
    assert len(asked) // 2 <= 3


def refuse_with_what_was_sent(handler: Handler) -> bool:
    """A registry or a token server that puts what it got into its answer."""
    length = int(handler.headers.get("Content-Length", 0))
    got = handler.headers.get("Authorization", "") + handler.rfile.read(length).decode()
    challenge = f'Bearer realm="{handler.simulator.url}/token",service="{USER}"'
    code = 403 if handler.path.startswith("/token") else 401
    return handler.answer(code, json.dumps({"errors": [{"code": got}]}).encode(), WWW_Authenticate=challenge)


def token_that_is_none(handler: Handler) -> bool:
    """What comes from the token server can't stand in a header."""
    if handler.path.startswith("/token"):
        return handler.answer(200, json.dumps({"token": f"{ISSUED}\n{PASSWORD}"}).encode())
    challenge = f'Bearer realm="{handler.simulator.url}/token?x={PASSWORD}"'
    return handler.answer(401, WWW_Authenticate=challenge)


ENTRIES = {
    "password": ENTRY,
    "plain": {"username": USER, "password": PASSWORD},
    "identity": {"identitytoken": IDENTITY},
    "identity as password": {"identitytoken": IDENTITY, "username": USER},
    "registry token": {"registrytoken": REGISTRY_TOKEN},
    "defect": {"username": f"{USER}:", "password": PASSWORD, "identitytoken": IDENTITY},
    "no base64": {"auth": f"{PASSWORD}!"},
}


def doors(registry: RegistrySimulator) -> dict[str, Any]:
    """How a registry may treat who comes with credentials."""
    return {
        "basic": Gate(registry, scheme="basic"),
        "bearer": Gate(registry),
        "no post": Gate(registry, post=405),
        "gone": Gate(registry, gone=True),
        "weak": Gate(registry, needs=("repository:team/base:push",)),
        "elsewhere": Gate(registry, realm=f"http://localhost:{registry.port}/token?x={PASSWORD}"),
        "metadata": Gate(registry, realm="http://169.254.169.254/"),
        "mirror": refuse_with_what_was_sent,
        "no token": token_that_is_none,
        "failing": misbehaviour.status(503),
    }


DOORS = ("basic", "bearer", "no post", "gone", "weak", "elsewhere", "metadata", "mirror", "no token", "failing")


def revealed(text: str) -> list[str]:
    """Which secrets stand in a text."""
    return [each for each in SECRETS if each in text]


@pytest.mark.parametrize("door", DOORS)
def test_no_secret_is_seen(setting: Setting, verify: Verify, door: str) -> None:
    """Whatever is in the file and whatever the registry does: not in output, exceptions, reprs, or on disk.

    But for tokens that are kept for other processes, in a folder of their own.
    """
    seen_any, codes = False, set[int]()
    for entry in ENTRIES.values():
        setting.registry.misbehave("*", doors(setting.registry)[door])
        setting.node(setting.entry(entry))
        setting.registry.seen.clear()
        said = ""
        for words in (["--explain"], ["--format", "json", "--explain"]):
            code, told = verify("--root", setting.root, "--timeout", "5", *words, setting.name)
            codes.add(code)
            said += told
        assert revealed(said) == []
        assert revealed(_exceptions(setting)) == []
        seen_any = seen_any or any(revealed(each) for each in setting.registry.authorizations)
    assert seen_any or door not in ("basic", "bearer", "no post", "gone", "weak")
    assert codes <= {0, 2, 10, 11}
    assert (0 in codes) == (door not in ("mirror", "no token", "failing"))  # a registry token opens every gate
    for path in setting.folder.rglob("*"):
        kept = setting.root / token_store.KIND.folder in path.parents
        assert not kept or (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        if path.is_file() and path.name != "docker-config.json" and not kept:
            assert revealed(path.read_bytes().decode("latin-1")) == [], path


def _exceptions(setting: Setting) -> str:
    """Everything that is said of the errors of one client, with their chains, and what the client remembers."""
    text = ""
    repository = Repository(setting.registry.host, "team/signed")
    deadline = SystemClock().monotonic() + 5
    config = load_for_person(str(setting.config), "/")
    with open_registry(config, {}, deadline, root=str(setting.root)) as registry:
        try:
            run(registry.manifest(repository, setting.image))
        except NodesealError as error:
            text += "".join(traceback.format_exception(error)) + error.message + error.hint
            chain: BaseException | None = error
            while chain is not None:
                text += repr(chain) + repr(chain.args) + repr(vars(chain))
                chain = chain.__cause__ or chain.__context__
        memory = registry._inner._memory  # type: ignore[attr-defined]
        text += repr((vars(memory), memory.credentials()))
    return text
