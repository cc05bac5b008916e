"""Configurations that are not what their author meant: items 32 to 36 of the list of hostile inputs."""

import concurrent.futures
import json
import pathlib
from typing import Any, Callable, NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.model.answer import printable
from tests.hostile.measure import MEMORY, Measured, note, run
from tests.hostile.stage import PROMPT, Stage
from tests.signing import key, trust_policy, usual_signer, write_config

pytestmark = pytest.mark.frozen

ROOT = usual_signer().root_pem
SECRET = "-----BEGIN PRIVATE KEY-----"


class Case(NamedTuple):
    """A good configuration, changed; the exit code of `config check`, and what it must say."""

    name: str
    change: Callable[[pathlib.Path], None]
    exit: int
    words: tuple[str, ...]


def statements(*found: dict[str, Any], **others: Any) -> Callable[[pathlib.Path], None]:
    """The trust policy has these statements, each a good one with changes."""
    policies = [trust_policy(**{"name": f"p{i}", **each})["trustPolicies"][0] for i, each in enumerate(found)]
    return document({"version": "1.0", "trustPolicies": policies} | others)


def document(policy: Any) -> Callable[[pathlib.Path], None]:
    """The trust policy is this."""

    def change(folder: pathlib.Path) -> None:
        path = folder / "config.json"
        value = json.loads(path.read_text())
        value["verifier"]["plugins"][0]["trustPolicyDoc"] = policy
        path.write_text(json.dumps(value))

    return change


def certificate(content: bytes) -> Callable[[pathlib.Path], None]:
    """The one certificate is this."""
    return lambda folder: None if (folder / "trusted.crt").write_bytes(content) else None


def whole(content: bytes) -> Callable[[pathlib.Path], None]:
    """`config.json` is this."""
    return lambda folder: None if (folder / "config.json").write_bytes(content) else None


def private_key() -> bytes:
    """A private key as PEM."""
    return key("P-256", 99).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


ONE, TWO = {"registryScopes": ["example.com/a"]}, {"registryScopes": ["example.com/ab"]}
CATASTROPHE = "x509.subject: CN=" + "(a+)+" * 2000 + "$"
BOMB = b"a: &a [x, x]\nb: &b [*a, *a]\n" + b"".join(b"c%d: &c%d [*b, *b]\n" % (n, n) for n in range(1000))
LEVEL = "signatureVerification"
CASES = (
    Case("32 everything and one repository", statements({}, ONE), 0, ("generation ",)),
    Case("32 a repository whose name begins like another's", statements(ONE, TWO), 0, ("generation ",)),
    Case("32 a wildcard beside a repository", statements({"registryScopes": ["*", "example.com/a"]}), 3, ("'*'",)),
    Case("32 a wildcard in a repository", statements({"registryScopes": ["example.com/*"]}), 3, ("wildcard",)),
    Case("32 a scope with a tag", statements({"registryScopes": ["example.com/a:1"]}), 3, ("without scheme, tag",)),
    Case("32 a scope in upper case", statements({"registryScopes": ["Example.com/A"]}), 3, ("registryScopes[0]",)),
    Case("32 a scope with a slash at its end", statements({"registryScopes": ["example.com/a/"]}), 3, ("Scopes[0]",)),
    Case("32 the same scope twice", statements(ONE, ONE), 3, ("example.com/a",)),
    Case("32 two wildcards", statements({}, {}), 3, ("registryScopes",)),
    Case("32 the same name twice", statements({"name": "x"}, {"name": "x", **ONE}), 3, ("name",)),
    Case("32 no statement", document({"version": "1.0", "trustPolicies": []}), 3, ("trustPolicies",)),
    Case("32 no scope", statements({"registryScopes": []}), 3, ("registryScopes",)),
    Case("32 no trust store", statements({"trustStores": []}), 3, ("trustStores",)),
    Case("32 a trust store of no kind", statements({"trustStores": ["certs"]}), 3, ("trustStores",)),
    Case("32 no certificate at all", lambda folder: (folder / "trusted.crt").unlink(), 3, ("verificationCerts",)),
    Case("32 an empty certificate", certificate(b"\n"), 3, ("trusted.crt",)),
    Case("32 half a certificate", certificate(ROOT[: len(ROOT) // 2]), 3, ("trusted.crt",)),
    Case("32 a private key for a certificate", certificate(private_key()), 3, ("private key",)),
    Case("32 a private key behind the certificate", certificate(ROOT + private_key()), 3, ("private key",)),
    Case("32 a certificate of 2 MiB", certificate(ROOT + b"\n" * (2 << 20)), 3, ("trusted.crt",)),
    Case("32 2000 certificates", certificate(ROOT * 1300), 3, ("trusted.crt",)),
    Case("33 an unanchored pattern", statements({"trustedIdentities": ["x509.subject: CN=.*"]}), 3, ("Identities",)),
    Case("33 an empty identity", statements({"trustedIdentities": [""]}), 3, ("trustedIdentities",)),
    Case("33 no identity", statements({"trustedIdentities": []}), 3, ("trustedIdentities",)),
    Case("33 a catastrophic pattern", statements({"trustedIdentities": [CATASTROPHE]}), 3, ("trustedIdentities",)),
    Case("33 an identity with =#", statements({"trustedIdentities": ["x509.subject: C=US, ST=WA, O=#04"]}), 3,
         ("trustedIdentities",)),
    Case("34 skip for everything",
         document({"version": "1.0", "trustPolicies": [
             {"name": "x", "registryScopes": ["*"], LEVEL: {"level": "skip"}}]}), 0, ("WARNING", "skip")),
    Case("34 audit for everything", statements({LEVEL: {"level": "audit"}}), 0, ("WARNING", "audit")),
    Case("34 permissive for everything", statements({LEVEL: {"level": "permissive"}}), 0, ("WARNING", "permissive")),
    Case("35 a misspelt level", statements({LEVEL: {"level": "strickt"}}), 3, ("strickt",)),
    Case("35 a level in upper case", statements({LEVEL: {"level": "Strict"}}), 3, ("Strict",)),
    Case("35 no level", statements({LEVEL: {}}), 3, ("level",)),
    Case("35 a misspelt key", statements({"trustedIdentity": ["*"]}), 3, ("trustedIdentity",)),
    Case("35 an identity as a regular expression", statements({"subjectRegExp": ".*"}), 3, ("subjectRegExp",)),
    Case("35 a misspelt override", statements({LEVEL: {"level": "strict", "override": {"expirey": "log"}}}), 3,
         ("expirey",)),
    Case("35 an override to nothing", statements({LEVEL: {"level": "strict", "override": {"integrity": "log"}}}), 3,
         ("integrity",)),
    Case("35 another version", statements({}, version="2.0"), 3, ("version",)),
    Case("35 a key twice", whole(b'{"store": {}, "store": {}}'), 3, ("stands twice",)),
    Case("36 YAML with aliases", whole(BOMB), 3, ("config.json",)),
    Case("36 nested 100000 deep", whole(b"[" * 100_000), 3, ("config.json",)),
    Case("36 a million values", whole(b"[" + b"0," * 500_000 + b"0]"), 3, ("config.json",)),
    Case("36 a string with escapes for a megabyte", whole(b'{"a": "' + b"\\u0001" * 150_000 + b'"}'), 3,
         ("config.json",)),
)  # fmt: skip


class Found(NamedTuple):
    """Base and cases."""

    base: Measured
    runs: dict[str, Measured]


@pytest.fixture(scope="module")
def found(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """`config check` of each, and of a good one."""
    home = tmp_path_factory.mktemp("configurations")

    def one(folder: pathlib.Path) -> Measured:
        return run([str(stage.program.path), "config", "check", str(folder)])

    base = one(write_config(home / "good", ROOT))
    folders = [write_config(home / str(number), ROOT) for number in range(len(CASES))]
    for case, folder in zip(CASES, folders, strict=True):
        case.change(folder)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        runs = dict(zip([case.name for case in CASES], pool.map(one, folders), strict=True))
    note("configuration", base, runs)
    return Found(base, runs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_configuration(case: Case, found: Found) -> None:
    done = found.runs[case.name]
    text = (done.stdout + done.stderr).decode("ascii")
    assert done.code == case.exit, text
    for word in case.words:
        assert word in text, text
    assert all(line == printable(line) for line in text.splitlines())
    assert SECRET not in text
    assert done.took < PROMPT + done.slack
    assert done.peak_kib - found.base.peak_kib < MEMORY


@pytest.mark.parametrize("case", [case for case in CASES if case.exit][::9], ids=lambda case: case.name)
def test_configuration_that_cannot_be_used_changes_nothing(case: Case, stage: Stage, tmp_path: pathlib.Path) -> None:
    folder = write_config(tmp_path / "config", ROOT)
    case.change(folder)
    current = stage.program.root / "var/lib/nodeseal/current"
    before = current.readlink()
    assert stage.program.person("config", "apply", str(folder), "--root", str(stage.program.root)).code == case.exit
    assert current.readlink() == before
