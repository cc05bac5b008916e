"""Secrets that the configuration in force names: a daemon in its own process, a registry with a gate, all doors."""

import base64
import contextlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import anyio
import pytest

from agent.adapters import files, ipc, token_store
from agent.adapters.kube import ApiServer
from agent.adapters.pull_secrets import FOLDER, READY, PullSecretFiles
from agent.config.discovery import ACTIVE, LABEL
from agent.model.descriptor import Descriptor
from agent.modes import secrets
from agent.modes.secrets import FORBIDDEN, Secrets
from tests import forked
from tests.adapters.kube import Given
from tests.adapters.kube import until as reached
from tests.frozen.program import descriptor, plugin_words
from tests.modes.clustered import DEFAULT, daemon, events, in_force, put, rule, tenant, until
from tests.signing import attach_signature, envelope, usual_signer
from tests.simulators.authentication import PASSWORD, SECRETS, USER, Gate, pair
from tests.simulators.kube import NAMESPACE, READER, KubeSimulator
from tests.simulators.registry import RegistrySimulator
from tests.warm import Told

ENFORCE = {**DEFAULT, "enforcement": "Enforce"}
NODE_PASSWORD = "planted-node-password"
TRUSTED = usual_signer()


class Setting(NamedTuple):
    """A node, an API server, and a registry that lets nobody in who has no credentials."""

    root: pathlib.Path
    server: KubeSimulator
    registry: RegistrySimulator
    gate: Gate
    image: Descriptor

    @property
    def file(self) -> pathlib.Path:
        """Where the credentials of the Secret `pull` are on the node."""
        return self.root / FOLDER / "pull/config.json"

    @property
    def name(self) -> str:
        """The signed image, by tag."""
        return f"{self.registry.host}/team/signed:1"

    def documents(self, *secrets: str, **more: object) -> Mapping[str, str]:
        """A configuration for the registry's images, with these Secrets."""
        whole = tenant("team", f"{self.registry.host}/team/**", default=ENFORCE)
        provider = {"name": "k8Secrets", "secrets": [{"secretName": name} for name in secrets]}
        store = {"name": "oras", "useHttp": True, **({"authProvider": provider} if secrets else {}), **more}
        section = json.loads(whole["nodeseal.yaml"])
        section["nodeseal"]["cache"] = {"cannotTell": "0s"}
        documents = {"nodeseal.yaml": json.dumps({**section, "store": {"plugins": [store]}})}
        return {**whole, **documents, "root.pem": TRUSTED.root_pem.decode()}

    def secret(self, name: str = "pull", labels: Mapping[str, str] | None = None, **fields: str) -> None:
        """A Secret with credentials for the registry."""
        entry = {"username": USER, "password": PASSWORD, **fields}
        content = json.dumps({"auths": {self.registry.host: entry}}).encode()
        self.server.put_secret(name, content, labels={LABEL: ACTIVE} if labels is None else labels)

    def verify(self) -> int:
        """The exit code of `nodeseal verify`."""
        return forked.run("verify", "--root", str(self.root), "--timeout", "60", self.name).code

    def said(self) -> dict[str, Any]:
        """What the daemon says of the cluster."""
        status = json.loads(ipc.Client(str(self.root)).ask(ipc.STATUS, seconds=30) or b"{}")
        found: dict[str, Any] = status["cluster"]
        return found

    def secrets(self) -> dict[str, str]:
        """What the daemon says of Secrets."""
        found: dict[str, str] = self.said().get("secrets", {})
        return found


@pytest.fixture
def setting(tmp_path: pathlib.Path) -> Iterator[Setting]:
    """A new one; the Secret `pull` may be read."""
    root = tmp_path / "host"
    root.mkdir()
    with KubeSimulator() as server, RegistrySimulator() as registry:
        image = registry.push_image("team/signed", "1", salt="signed")
        attach_signature(registry, "team/signed", image, envelope(TRUSTED, image))
        gate = Gate(registry)
        registry.misbehave("*", gate)
        server.grant("secrets", "pull")
        yield Setting(root, server, registry, gate, image)


@contextlib.contextmanager
def following(setting: Setting) -> Iterator[pathlib.Path]:
    """A daemon that may read ConfigMaps and what was granted; its log."""
    with daemon(setting.root, setting.server, token=READER) as log:
        yield log


def becomes(setting: Setting, log: pathlib.Path, *texts: str) -> None:
    """Wait until something stands in what the daemon says of the Secret `pull`."""
    until(lambda: all(text in setting.secrets().get("pull", "") for text in texts), log)


def test_a_named_secret_lets_every_door_in_and_goes_with_its_name(setting: Setting) -> None:
    setting.secret()
    put(setting.server, "team", setting.documents("pull"))
    with following(setting) as log:
        becomes(setting, log, READY)
        assert (setting.file.stat().st_mode & 0o777, setting.file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert by_daemon(setting).startswith("(0, b'allow NS-0001 ")
        forget(setting)
        assert setting.verify() == 0
        forget(setting)
        assert by_child(setting)[0] == 0
        put(setting.server, "team", setting.documents())
        until(lambda: not setting.file.parent.exists(), log)
        assert setting.secrets() == {}
    asked = [each for each in setting.server.seen if each.kind == "secrets"]
    assert {each.query.get("fieldSelector") for each in asked} == {"metadata.name=pull"}
    assert {each.verb for each in asked} == {"list", "watch"}


def forget(setting: Setting) -> None:
    """Forget what was answered, and the tokens."""
    for folder in ("var/cache/nodeseal", token_store.KIND.folder):
        files.remove_tree(str(setting.root / folder))


def by_daemon(setting: Setting) -> str:
    """What the daemon answers a pull."""
    image = setting.image
    words = ["x", *plugin_words(setting.name, str(image.digest))]
    stdin = descriptor(str(image.digest), image.size)
    script = (
        "from agent import fastpath\nfrom agent.adapters import answers\n"
        "fastpath._SILENCE = fastpath._PATIENCE = fastpath._END = 60.0\n"  # a busy machine's daemon takes its time
        f"print(fastpath.ask({str(setting.root)!r}, b'', answers._words({words!r}, {stdin!r})))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout


def by_child(setting: Setting) -> tuple[int, str]:
    """What containerd's child answers a pull alone."""
    image = setting.image
    script = (
        "import sys\nfrom agent.modes import place, plugin\nplugin.DEADLINE = 60.0\n"
        f"place.running_program = lambda: '/x'\nplace.unsafe = lambda _: ''\n"
        f"place.root_of = lambda _: {str(setting.root)!r}\nplugin.run(sys.argv, {{}}, frozen=True)\n"
    )
    words = plugin_words(setting.name, str(image.digest))
    stdin = descriptor(str(image.digest), image.size)
    done = subprocess.run([sys.executable, "-c", script, *words], input=stdin, capture_output=True, check=False)
    return done.returncode, done.stdout.decode() + done.stderr.decode()


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (lambda setting: setting.server.delete(NAMESPACE, "pull", "secrets"), "there is no Secret"),
        (lambda setting: setting.secret(labels={}), "no label nodeseal.dev/config: active"),
        (lambda setting: setting.secret(labels={LABEL: "no"}), "no label nodeseal.dev/config: active"),
        (lambda setting: setting.server.put_secret("pull", b"{", labels={LABEL: ACTIVE}), "no docker configuration"),
        (lambda setting: setting.server.put_secret("pull", b"", labels={LABEL: ACTIVE}), "nothing under"),
        (lambda setting: setting.server.put_secret("pull", b"{}", labels={LABEL: ACTIVE}, kind="Opaque"), "type"),
    ],
)
def test_what_counts_no_longer_is_gone_from_the_node_and_told(
    setting: Setting, end: Callable[[Setting], None], told: str
) -> None:
    setting.secret()
    put(setting.server, "team", setting.documents("pull"))
    with following(setting) as log:
        becomes(setting, log, READY)
        end(setting)
        becomes(setting, log, told)
        assert not setting.file.exists()
        until(lambda: "SecretUnavailable" in {each[0] for each in events(setting.server)}, log)
        assert setting.verify() == 11
        setting.secret()
        becomes(setting, log, READY)
        assert setting.verify() == 0


def test_a_secret_of_the_old_type_counts_and_its_change_too(setting: Setting) -> None:
    wrong = {setting.registry.host: {"username": USER, "password": "other"}}
    old = "kubernetes.io/dockercfg"
    setting.server.put_secret("pull", json.dumps(wrong).encode(), labels={LABEL: ACTIVE}, kind=old)
    put(setting.server, "team", setting.documents("pull"))
    with following(setting) as log:
        becomes(setting, log, READY)
        assert setting.verify() == 11
        before = setting.file.read_bytes()
        wrong[setting.registry.host]["password"] = PASSWORD
        setting.server.put_secret("pull", json.dumps(wrong).encode(), labels={LABEL: ACTIVE}, kind=old)
        until(lambda: setting.file.read_bytes() != before, log)
        assert setting.verify() == 0


def test_without_the_grant_registries_are_asked_without_and_it_is_told_once(setting: Setting) -> None:
    setting.server.granted.clear()
    setting.secret()
    setting.server.put_secret("other", b"{}", labels={LABEL: ACTIVE})
    put(setting.server, "team", setting.documents("pull"))
    with following(setting) as log:
        becomes(setting, log, FORBIDDEN)
        until(lambda: "SecretUnavailable" in {each[0] for each in events(setting.server)}, log)
        assert "Secret pull not in use: no Role lets us" in command(setting, "status")
        code, said = by_child(setting)
        assert (code, "NS-3009" in said, "Secret pull" in said) == (11, True, True)
        put(setting.server, "more", tenant("more", "r.example/**"))
        until(lambda: len(in_force_names(setting)) == 2, log)
        setting.server.grant("secrets", "pull")
        becomes(setting, log, READY)
        assert setting.verify() == 0
        assert log.read_text().count("Secret not in use") == 1
    told = [each for each in events(setting.server) if each[0] == "SecretUnavailable"]
    assert told == [
        ("SecretUnavailable", "team", f"Secret pull: {FORBIDDEN}; registries that need it are asked without")
    ]


def test_a_grant_that_is_taken_away_is_believed_after_a_while(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "LOOK", 0.05)
    monkeypatch.setattr(secrets, "FORGET", 3600.0)
    setting.secret()

    async def body() -> None:
        found = Secrets(str(setting.root), Told())
        async with ApiServer(Given(setting.server.url, READER)) as api, anyio.create_task_group() as group:
            found.want({"pull": ("o",)})
            group.start_soon(found.run, api, NAMESPACE, lambda owner, message: True)
            await reached(lambda: found.as_json() == {"pull": READY})
            setting.server.granted.clear()
            setting.server.hang_up()
            await reached(lambda: found.as_json() == {"pull": FORBIDDEN})
            assert setting.file.exists()
            monkeypatch.setattr(secrets, "FORGET", 0.0)
            await reached(lambda: not setting.file.exists())
            setting.server.grant("secrets", "pull")
            await reached(setting.file.exists)
            await reached(lambda: found.as_json() == {"pull": READY})
            group.cancel_scope.cancel()

    anyio.run(body)


def in_force_names(setting: Setting) -> list[str]:
    """The rules in force, by the names that their documents give them."""
    config = in_force(setting.root)
    return [each.name.partition("/")[2] for each in config.rules] if config else []


def test_while_the_api_server_is_away_a_secret_stays_and_a_daemon_that_begins_keeps_it(setting: Setting) -> None:
    setting.secret()
    put(setting.server, "team", setting.documents("pull"))
    with following(setting) as log:
        becomes(setting, log, READY)
    PullSecretFiles(str(setting.root)).write("left", b"{}")
    setting.server.tokens.clear()
    with following(setting) as log:
        until(lambda: not (setting.root / FOLDER / "left").exists(), log)
        assert setting.verify() == 0
        assert setting.file.exists()


def test_a_daemon_that_follows_no_cluster_keeps_no_secrets(setting: Setting) -> None:
    PullSecretFiles(str(setting.root)).write("left", b"{}")
    log = setting.root / "log"
    process = forked.Forked(["watch", "--root", str(setting.root), "--metrics", "off"], stderr=log)
    try:
        until(lambda: not (setting.root / FOLDER / "left").exists(), log)
    finally:
        process.kill()
        process.wait()


def test_the_nodes_own_file_counts_first(setting: Setting) -> None:
    setting.secret()
    node_file(setting, USER, NODE_PASSWORD)
    put(setting.server, "team", setting.documents("pull"))
    with following(setting) as log:
        becomes(setting, log, READY)
        assert setting.verify() == 0
    tried = [each.authorization for each in setting.gate.asked if each.authorization]
    assert tried[:2] == [f"Basic {pair(USER, NODE_PASSWORD)}", f"Basic {pair(USER, PASSWORD)}"]


def node_file(setting: Setting, user: str, password: str) -> None:
    """The node's own credentials for the registry."""
    path = setting.root / "etc/nodeseal/docker-config.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"auths": {setting.registry.host: {"username": user, "password": password}}}))
    path.chmod(0o600)


def test_a_secret_serves_the_images_of_the_document_that_names_it_alone(setting: Setting) -> None:
    setting.secret()
    put(setting.server, "other", tenant("other", "r.example/**"))
    documents = dict(setting.documents())
    put(setting.server, "team", documents)
    stranger = dict(setting.documents("pull"))
    section = json.loads(stranger["nodeseal.yaml"])
    section["nodeseal"]["rules"] = [rule("stranger", "r.example/stranger/**")]
    del section["nodeseal"]["default"]
    put(setting.server, "stranger", {**stranger, "nodeseal.yaml": json.dumps(section)})
    setting.server.delete(NAMESPACE, "other")
    with following(setting) as log:
        becomes(setting, log, READY)
        until(lambda: set(in_force_names(setting)) == {"team", "stranger"}, log)
        assert setting.verify() == 11
        assert not any(each.authorization for each in setting.gate.asked)


def test_no_planted_secret_is_in_anything_that_any_mode_writes(
    setting: Setting, capfd: pytest.CaptureFixture[str]
) -> None:
    """Pulls by all doors, commands, refusals, broken Secrets: then every file and every word is looked through."""
    setting.secret()
    put(setting.server, "team", setting.documents("pull"))
    said = ""
    with following(setting) as log:
        becomes(setting, log, READY)
        said += by_daemon(setting)
        forget(setting)
        said += by_child(setting)[1]
        said += command(setting, "verify", "--explain", setting.name)
        said += command(setting, "verify", "--format", "json", setting.name)
        said += command(setting, "cache", "prepare", setting.name)
        said += command(setting, "cache", "stats")
        said += command(setting, "status") + command(setting, "status", "--format", "json")
        setting.secret(password=PASSWORD + "-wrong")
        until(lambda: (PASSWORD + "-wrong").encode() in setting.file.read_bytes(), log)
        forget(setting)
        said += by_daemon(setting) + by_child(setting)[1] + command(setting, "verify", "--explain", setting.name)
        setting.server.put_secret("pull", PASSWORD.encode(), labels={LABEL: ACTIVE})
        becomes(setting, log, "no docker configuration")
        setting.secret(auth=pair(USER, PASSWORD)[:-3])
        becomes(setting, log, READY)
        forget(setting)
        said += by_daemon(setting) + by_child(setting)[1] + command(setting, "verify", "--explain", setting.name)
        node_file(setting, USER, NODE_PASSWORD)
        forget(setting)
        said += by_daemon(setting) + by_child(setting)[1]
        glass = ("--for", "1h", "--image", f"{setting.registry.host}/**", "--reason", "INC-1")
        said += command(setting, "break-glass", "on", *glass)
        said += by_daemon(setting)
        folder = setting.root.parent / "folder"
        folder.mkdir()
        for name, text in setting.documents("pull").items():
            (folder / name).write_text(text)
        said += command(setting, "config", "apply", str(folder))
        said += command(setting, "break-glass", "list") + command(setting, "break-glass", "off")
    said += "".join(capfd.readouterr())
    said += "".join(each.body.decode() for each in setting.server.seen)
    said += "".join(str(each.query) for each in setting.server.seen)
    assert setting.gate.asked
    assert revealed(said) == []
    kept = (setting.root / "run/nodeseal/secrets", setting.root / "etc/nodeseal/docker-config.json")
    looked_at = 0
    for path in setting.root.rglob("*"):
        if path.is_file() and not any(each == path or each in path.parents for each in kept):
            looked_at += 1
            assert revealed(path.read_bytes().decode("latin-1")) == [], path
    assert looked_at > 10
    assert list((setting.root / "run/nodeseal/secrets").rglob("*"))


def command(setting: Setting, *words: str) -> str:
    """Everything that a command says, with its exit code."""
    done = forked.run(*words, "--root", str(setting.root))
    assert done.code not in (1, 2, 70), done.err
    return f"{done.code} {done.out}{done.err}"


def revealed(text: str) -> list[str]:
    """The secrets that stand in a text, as they are, in base64 wherever it begins, or percent-encoded."""
    return [secret for secret in (*SECRETS, NODE_PASSWORD) if any(form in text for form in _forms(secret))]


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield "".join(f"%{byte:02X}" for byte in secret.encode())
    for padding in range(3):
        whole = base64.b64encode(b"x" * padding + secret.encode()).decode()
        yield whole[4 if padding else 0 : -4]


def test_how_secrets_are_looked_for() -> None:
    assert revealed("nothing") == []
    for shift in range(3):
        text = base64.b64encode(b"y" * shift + PASSWORD.encode() + b"zzz").decode()
        assert PASSWORD in revealed(text)
