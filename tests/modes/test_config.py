"""`nodeseal config`: what a person sees, what programs get, what is put in force."""

import argparse
import copy
import datetime
import errno
import io
import json
import os
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jsonschema import Draft202012Validator

from agent.adapters import files
from agent.adapters.policy_worker import Trials
from agent.adapters.snapshots import SnapshotStore
from agent.config.dialectschema import API_VERSION
from agent.errors import ConfigurationError, Exit, HostError, UsageError
from agent.modes import config
from tests.config.support import GOOD, STATEMENT, put
from tests.frozen.test_policies import INSTALLED

KEY = ec.generate_private_key(ec.SECP256R1())
KEY_PEM = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _certificate() -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    return (
        x509.CertificateBuilder(subject, subject, KEY.public_key(), 7, start, start.replace(year=2036))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(KEY, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


CERTIFICATE = _certificate()

RESOURCES = """
apiVersion: config.ratify.deislabs.io/v1beta1
kind: Store
metadata:
  name: store-oras
  creationTimestamp:
spec: {name: oras}
---
apiVersion: config.ratify.deislabs.io/v1beta1
kind: Policy
metadata: {name: ratify-policy}
spec:
  type: rego-policy
  parameters:
    policy: |
      package ratify.policy
      default valid := false
      valid { count(input.verifierReports) > 0; not failed }
      failed { input.verifierReports[_].verifierReports[_].isSuccess == false }
---
apiVersion: config.ratify.deislabs.io/v1beta1
kind: Verifier
metadata: {name: verifier-notation}
spec:
  name: notation
  artifactTypes: application/vnd.cncf.notary.signature
  parameters:
    verificationCertStores: {certs: [company]}
    trustPolicyDoc:
      version: "1.0"
      trustPolicies:
      - name: default
        registryScopes: ["*"]
        signatureVerification: {level: strict}
        trustStores: ["ca:certs"]
        trustedIdentities: ["*"]
"""


class Result(NamedTuple):
    """How a command ended, and what it said."""

    exit: Exit
    out: str
    err: str


def _run(*words: str) -> Result:
    parser = argparse.ArgumentParser(prog="nodeseal")
    config.add_parser(parser.add_subparsers())
    options = parser.parse_args(["config", *words])
    out, err = io.StringIO(), io.StringIO()
    return Result(options.handler(options, {"HOME": "/nowhere"}, out, err), out.getvalue(), err.getvalue())


def _write(folder: Path, value: object, certificate: bytes = CERTIFICATE) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(value))
    (folder / "ca.crt").write_bytes(certificate)
    return str(folder)


@pytest.fixture
def good(tmp_path: Path) -> str:
    return _write(tmp_path / "good", GOOD)


def test_a_good_configuration_is_put_in_force(good: str, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    result = _run("apply", good, "--root", root)
    loaded = SnapshotStore(root).load()
    assert result.exit is Exit.ALLOW
    assert f"generation {loaded.generation}" in result.out
    assert f"{root}/var/lib/nodeseal" in result.out
    assert "next step: " in result.out
    assert result.err == ""
    assert len(loaded.certificates) == 1


def test_what_was_checked_is_what_is_put_in_force(good: str, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    checked = json.loads(_run("check", good, "--root", root, "--format", "json").out)
    exempt = checked.pop("exemptions")
    assert all(each["why"] for each in exempt)
    _run("apply", good, "--root", root)
    assert checked == {
        "schemaVersion": "1",
        "usable": True,
        "generation": SnapshotStore(root).load().generation,
        "problems": [],
    }


def _needy(root: Path, **node: object) -> None:
    """A node whose bootstrap document says something of it."""
    path = root / "etc/nodeseal/bootstrap.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"apiVersion": API_VERSION, "node": node}))
    path.chmod(0o600)


def _denying(good: str, **section: object) -> None:
    value: dict[str, object] = {"apiVersion": API_VERSION, "default": {"enforcement": "Audit", "failurePolicy": "Fail"}}
    value |= {"deny": ["quay.io/**"], **section}
    (Path(good) / "nodeseal.json").write_text(json.dumps({"nodeseal": value}))


def test_what_locks_the_node_out_is_refused_unless_it_insists(good: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    _needy(root, needs=["quay.io/cni/agent:1"])
    _denying(good)
    for command in ("check", "apply"):
        result = _run(command, good, "--root", str(root))
        assert result.exit is Exit.CONFIGURATION
        said = "error: nodeseal.json: nodeseal.deny: got quay.io/**, which refuses quay.io/cni/agent:1"
        assert said in result.out + result.err
    _denying(good, allowLockout=True)
    assert "because of allowLockout" in _run("check", good, "--root", str(root)).out
    assert _run("apply", good, "--root", str(root)).exit is Exit.ALLOW
    assert SnapshotStore(str(root)).load().ruleset.deny[0].match == "quay.io/**"


def test_the_sandbox_image_is_needed_where_the_bootstrap_document_says_nothing_of_it(good: str, tmp_path: Path) -> None:
    _denying(good, deny=["registry.k8s.io/**"])
    _needy(tmp_path / "node")
    assert _run("apply", good, "--root", str(tmp_path / "node")).exit is Exit.CONFIGURATION
    without_document = _run("check", good, "--root", str(tmp_path / "none"))
    assert without_document.exit is Exit.ALLOW
    assert "WARNING: nodeseal.json: nodeseal.deny: got registry.k8s.io/**" in without_document.out
    _needy(tmp_path / "nothing", needs=[])
    assert "registry.k8s.io/**, which" not in _run("check", good, "--root", str(tmp_path / "nothing")).out


def test_bootstrap_document_that_may_not_be_read_is_one_warning_in_words(
    good: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "bootstrap.json")

    monkeypatch.setattr(files, "read_own", refused)
    path = f"{tmp_path}/etc/nodeseal/bootstrap.json"
    assert (
        f"WARNING: {path}: got Permission denied; expected the node's bootstrap document, to compare with its floor\n"
        in _run("check", good, "--root", str(tmp_path)).out
    )


def test_next_step_is_for_the_same_root(good: str, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    assert _run("check", good).out.endswith(f"next step: put it in force: nodeseal config apply {good}\n")
    assert _run("check", good, "--root", root).out.endswith(f"nodeseal config apply {good} --root {root}\n")
    assert _run("apply", good, "--root", root).out.endswith(f"nodeseal verify --explain IMAGE --root {root}\n")


def test_a_bad_configuration_changes_nothing(good: str, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    _run("apply", good, "--root", root)
    before = SnapshotStore(root).load()
    bad = _write(tmp_path / "bad", put(f"{STATEMENT}.signatureVerification.level", "lax"))
    result = _run("apply", bad, "--root", root)
    assert result.exit is Exit.CONFIGURATION
    assert "1 error, 0 warnings" in result.err
    assert "next step: correct the errors" in result.err
    assert "the configuration in force stays" in result.err
    assert result.out == ""
    assert SnapshotStore(root).load() == before


def test_a_first_bad_configuration_leaves_no_trace(tmp_path: Path) -> None:
    _run("apply", _write(tmp_path / "bad", {}), "--root", str(tmp_path / "root"))
    assert not (tmp_path / "root").exists()


def test_problems_are_told_errors_first_and_in_order(tmp_path: Path) -> None:
    value = put("store.plugins[0].useHttp", True, put("nodeseal", {}, put("verifier.plugins[0].name", "a/b")))
    result = _run("check", _write(tmp_path / "bad", value))
    told = [line for line in result.out.splitlines() if ": config.json: " in line]
    assert result.exit is Exit.CONFIGURATION
    assert [line.split(": got")[0] for line in told] == [
        "error: config.json: nodeseal.apiVersion",
        "error: config.json: verifier.plugins[0].name",
        "error: config.json: verifier.plugins[0].name",
        "WARNING: config.json: store.plugins[0].useHttp",
    ]
    assert "3 errors, 1 warning:" in result.out


def test_programs_get_the_same_problems(tmp_path: Path) -> None:
    value = put("store.plugins[0].useHttp", True, put("nodeseal", {}))
    result = _run("check", _write(tmp_path / "bad", value), "--format", "json")
    report = json.loads(result.out)
    assert result.exit is Exit.CONFIGURATION
    assert (report["schemaVersion"], report["usable"], report["generation"]) == ("1", False, None)
    assert [(each["severity"], each["path"]) for each in report["problems"]] == [
        ("error", "config.json: nodeseal.apiVersion"),
        ("warning", "config.json: store.plugins[0].useHttp"),
    ]


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("store.plugins[0].useHttp", True, "plain HTTP"),
        (f"{STATEMENT}.signatureVerification", {"level": "audit"}, "every repository"),
        (f"{STATEMENT}.signatureVerification", {"level": "permissive"}, "every repository"),
    ],
)
def test_weak_settings_are_put_in_force_with_a_loud_warning(
    tmp_path: Path, path: str, value: object, told: str
) -> None:
    result = _run("apply", _write(tmp_path / "weak", put(path, value)), "--root", str(tmp_path / "root"))
    assert result.exit is Exit.ALLOW
    assert any(line.startswith("WARNING: ") and told in line for line in result.err.splitlines())


def test_a_private_key_beside_the_configuration_is_refused_and_not_shown(tmp_path: Path) -> None:
    result = _run("check", _write(tmp_path / "bad", GOOD, CERTIFICATE + KEY_PEM))
    assert result.exit is Exit.CONFIGURATION
    assert "private key" in result.out
    assert KEY_PEM.splitlines()[1].decode()[:16] not in result.out


def test_a_document_that_nobody_names_is_told(good: str) -> None:
    Path(good, "stray.txt").touch()
    result = _run("check", good)
    assert result.exit is Exit.ALLOW
    assert "WARNING: stray.txt: got a document that nothing refers to" in result.out


TERMS = {"enforcement": "Enforce", "failurePolicy": "Fail"}
REGO = "package ratify.policy\nvalid { input.verifierReports[_].verifierReports[_].isSuccess }\n"


@pytest.mark.parametrize(
    "plugin",
    [
        {"passthroughEnabled": True, "policyPath": "/root/.ratify/policy.rego"},
        {"policyPath": "policy.rego"},
        {"policy": REGO, "policyPath": "policy.rego"},
    ],
)
def test_policy_that_the_configuration_names_is_referred_to(good: str, plugin: dict[str, object]) -> None:
    Path(good, "policy.rego").write_text(REGO)
    Path(good, "config.json").write_text(json.dumps(put("policy.plugin", {"name": "regoPolicy"} | plugin)))
    result = _run("check", good)
    assert result.exit is Exit.ALLOW
    assert "nothing refers to" not in result.out


def test_policy_that_ratify_alone_follows_is_referred_to(good: str) -> None:
    Path(good, "policy.rego").write_text(REGO)
    rule = {"name": "r", "match": ["**"], "verifiers": ["notation"], "policy": {"any": ["notation"]}}
    value = put("policy.plugin", {"name": "regoPolicy", "policyPath": "policy.rego"})
    value["nodeseal"] = {"apiVersion": API_VERSION, "default": TERMS, "rules": [rule]}
    Path(good, "config.json").write_text(json.dumps(value))
    result = _run("check", good)
    assert result.exit is Exit.ALLOW
    assert "nothing refers to" not in result.out


def test_a_document_that_can_not_be_read_is_an_error(good: str) -> None:
    Path(good, "link.crt").symlink_to("/etc/hostname")
    result = _run("check", good)
    assert "error: link.crt" in result.out
    assert result.exit is Exit.CONFIGURATION


def test_control_characters_do_not_reach_the_terminal(good: str) -> None:
    Path(good, "\x1b[31m.txt").touch()
    out = _run("check", good).out
    assert "\x1b" not in out
    assert r"\x1b[31m.txt" in out


def test_one_file_may_name_the_hosts_certificates(tmp_path: Path) -> None:
    (tmp_path / "root.crt").write_bytes(CERTIFICATE)
    (tmp_path / "mine.json").write_text(json.dumps(put("verifier.plugins[0].verificationCerts", ["root.crt"])))
    assert _run("check", str(tmp_path / "mine.json")).exit is Exit.ALLOW


def test_a_configuration_is_loaded_for_a_person(good: str, tmp_path: Path) -> None:
    checked = config.read_for_person(good, "/")
    assert config.load_for_person(good, "/") == checked.config
    with pytest.raises(ConfigurationError) as caught:
        config.load_for_person(_write(tmp_path / "bad", put("nodeseal", {})), "/")
    assert [problem.path for problem in caught.value.problems] == ["config.json: nodeseal.apiVersion"]


def test_nothing_to_read_is_a_usage_error(tmp_path: Path) -> None:
    for command in ("check", "apply"):
        with pytest.raises(UsageError):
            _run(command, str(tmp_path / "nowhere"))


def test_a_root_that_can_not_be_written_is_an_error_of_the_host(good: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError):
        _run("apply", good, "--root", str(tmp_path / "file"))


def test_the_schema_is_printed_as_json() -> None:
    result = _run("schema")
    schema = json.loads(result.out)
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(copy.deepcopy(GOOD))
    assert result.exit is Exit.ALLOW


@pytest.mark.parametrize("words", [["--help"], ["check", "--help"], ["apply", "--help"], ["schema", "--help"]])
def test_every_command_has_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        _run(*words)
    assert caught.value.code == 0
    assert len(capsys.readouterr().out) > 200


def _resources(folder: Path, certificate: bytes = CERTIFICATE) -> list[str]:
    """Files with resources: YAML, and JSON as `kubectl` prints it."""
    provider = {
        "apiVersion": "config.ratify.deislabs.io/v1beta1",
        "kind": "KeyManagementProvider",
        "metadata": {"name": "company"},
        "spec": {"type": "inline", "parameters": {"contentType": "certificate", "value": certificate.decode()}},
    }
    (folder / "ratify.yaml").write_text(RESOURCES)
    (folder / "provider.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [provider]}))
    return [str(folder / "ratify.yaml"), str(folder / "provider.json")]


def test_imported_resources_are_a_configuration_that_can_be_put_in_force(tmp_path: Path) -> None:
    result = _run("import", *_resources(tmp_path))
    assert result.exit is Exit.ALLOW
    assert result.err.startswith("next step: save it as config.json")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.json").write_text(result.out)
    applied = _run("apply", str(tmp_path / "config"), "--root", str(tmp_path / "node"))
    assert (applied.exit, applied.err) == (Exit.ALLOW, "")
    config_in_force = SnapshotStore(str(tmp_path / "node")).load()
    assert [each.name for each in config_in_force.verifiers] == ["verifier-notation"]
    assert config_in_force.rules[0].policy.name == "regopolicy"


def test_resources_can_come_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yaml, other = _resources(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path(yaml).read_bytes())))
    assert _run("import", "-", other).out == _run("import", yaml, other).out


def test_what_the_check_would_refuse_is_told_with_the_import(tmp_path: Path) -> None:
    result = _run("import", *_resources(tmp_path, b"rubbish"))
    assert result.exit is Exit.ALLOW
    assert json.loads(result.out)["keyManagementProvider"]
    assert "error: config.json: verifier.plugins[0].verificationCertStores.certs" in result.err
    assert "next step: correct 2 errors in it" in result.err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"kind: Store\n", "error: FILE: got an object; expected a Kubernetes resource"),
        (b"a: yes\n", "error: FILE: got line 1: 'yes', which is read in different ways"),
        (b"\xff", "error: FILE: got bytes that are no UTF-8; expected YAML"),
        (b"", "error: these files: got no Store"),
    ],
)
def test_files_that_can_not_be_imported_write_nothing(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_bytes(content)
    result = _run("import", str(file))
    assert (result.exit, result.out) == (Exit.CONFIGURATION, "")
    assert told in result.err.replace(str(file), "FILE")


def test_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing there"):
        _run("import", str(tmp_path / "nowhere"))
    with pytest.raises(HostError, match="directory"):
        _run("import", str(tmp_path))


def test_proof_of_concepts_documents_are_taken_as_they_are(tmp_path: Path) -> None:
    """The keys of its ConfigMap; the paths in them are those of its nodes, and `executor` is empty."""
    value = put("policy.plugin", {"name": "regoPolicy", "policyPath": "/root/.ratify/policy.rego"})
    value = {"executor": {}} | put("verifier.plugins[0].verificationCerts", ["/root/.ratify/certs"], value)
    folder = _write(tmp_path / "config", value)
    (tmp_path / "config" / "ca.crt").rename(tmp_path / "config" / "notation-test.crt")
    (tmp_path / "config" / "policy.rego").write_text(INSTALLED)
    result = _run("check", folder)
    assert (result.exit, result.err) == (Exit.ALLOW, "")
    assert "0 errors, 0 warnings" in result.out


def test_policy_that_ratify_would_answer_otherwise_is_told(tmp_path: Path) -> None:
    value = put("policy.plugin", {"name": "regoPolicy", "policyPath": "policy.rego"})
    folder = _write(tmp_path / "config", value)
    (tmp_path / "config" / "policy.rego").write_text(INSTALLED.partition("failed_verify(reports) {\n")[0])
    told = _run("check", folder).out
    assert "WARNING: " in told
    assert "denied all the same, unlike in Ratify" in told


def test_schemas_are_looked_through_in_bounded_time(good: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = copy.deepcopy(GOOD)
    value["verifier"]["plugins"].append(  # type: ignore[index]
        {"name": "schemavalidator", "artifactTypes": "a/b", "schemas": {"c/d": "file:///review.json"}}
    )
    folder = _write(Path(good), value)
    (Path(folder) / "review.json").write_text('{"type": "nothing"}')
    checked = _run("check", folder, "--root", str(tmp_path / "root"))
    assert checked.exit is Exit.CONFIGURATION
    assert "got review.json: no JSON Schema (at type)" in checked.out
    monkeypatch.setattr(config, "Trials", lambda: Trials(0.0))
    hasty = _run("check", folder, "--root", str(tmp_path / "root"))
    assert hasty.exit is Exit.ALLOW
    assert (
        "review.json: got a schema that was not looked through: too little time, or memory, was left for it"
        in hasty.out
    )
