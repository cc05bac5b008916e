"""Signed configurations through the command line: what is put in force, and what is refused and changes nothing."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.nodestate import BOOTSTRAP
from agent.adapters.serials import Serials
from agent.config import statement
from agent.config.serialform import Applied
from agent.errors import Exit
from agent.modes.config import load_for_person
from agent.trust.signedconfiguration import MAX_KEYS, signing_key
from tests.config.support import put
from tests.modes.signed import (
    OLD_KEY,
    OURS,
    STRANGER,
    apply,
    ask,
    check,
    folder,
    root,
    run,
    serial_in_force,
    sign,
    told,
    write,
)
from tests.signing import key, usual_signer
from tests.trust.test_signedconfiguration import private_pem, public, signed

__all__ = ["folder", "root"]

ROOT = Path(__file__).resolve().parents[2]


# What is put in force


def test_a_signed_configuration_is_put_in_force(folder: Path, root: Path) -> None:
    expected = f"signed by {signing_key(public(OURS)).fingerprint}, serial 7"
    checked, applied = check(folder, root), apply(folder, root)
    assert (checked.code, applied.code) == (0, 0)
    assert expected in checked.out and expected in applied.out
    assert told(checked.out) == told(applied.err) == []
    assert serial_in_force(root) == 7
    content = run("config", "statement", str(folder)).out.encode()
    last = Serials(str(root)).last()
    assert last == Applied(7, f"sha256:{sha256(content).hexdigest()}")


def test_the_statement_is_printed_alone_and_without_the_signatures(folder: Path) -> None:
    before = run("config", "statement", str(folder))
    (folder / "nodeseal.sig").unlink()
    assert run("config", "statement", str(folder)) == before
    assert before.out.encode() == statement.of({path.name: path.read_bytes() for path in folder.iterdir()})
    assert (before.code, before.err) == (0, "")


def test_a_mounted_configmap_is_signed_like_the_folder_that_it_was_made_of(folder: Path, root: Path) -> None:
    mount = folder.parent / "mount"
    version = mount / "..2026_11_25"
    shutil.copytree(folder, version)
    (mount / "..data").symlink_to(version.name)
    for name in os.listdir(version):
        (mount / name).symlink_to(f"..data/{name}")
    assert apply(mount, root).code == 0


@pytest.mark.parametrize("signers", [[OURS], [OLD_KEY], [STRANGER, OURS], [OLD_KEY, OURS]])
def test_any_one_of_the_nodes_keys_is_enough(folder: Path, root: Path, signers: list[Any]) -> None:
    ask(root, public(OURS), public(OLD_KEY))
    assert apply(sign(folder, *signers), root).code == 0


def test_a_key_that_was_taken_away_counts_no_longer(folder: Path, root: Path) -> None:
    ask(root, public(OLD_KEY), public(OURS))
    assert apply(sign(folder, OLD_KEY), root).code == 0
    ask(root, public(OURS))
    assert apply(folder, root).code == Exit.CONFIGURATION
    assert apply(sign(folder, OURS), root).code == 0


# What is refused: by `check` and `apply` alike


def _append(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text((folder / name).read_text() + text)


def _put(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def _unterminated(folder: Path) -> None:
    sign(folder, OURS, content=run("config", "statement", str(folder)).out.encode().rstrip())


def _link_out(folder: Path) -> None:
    (folder / "nodeseal.sig").rename(folder.parent / "x.sig")
    (folder / "nodeseal.sig").symlink_to("../x.sig")


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "not signed": (lambda f: (f / "nodeseal.sig").unlink(), "nodeseal.sig: got nothing of this name"),
    "signed by a stranger": (lambda f: sign(f, STRANGER), "nodeseal.sig: got a signature that does not hold"),
    "signed by strangers": (lambda f: sign(f, STRANGER, OLD_KEY), "nodeseal.sig: got 2 signatures, none holds"),
    "a document altered": (_append("config.json", "\n"), "nodeseal.sig: got a signature that does not hold"),
    "the own section altered": (_append("nodeseal.json", "\n"), "nodeseal.sig: got a signature that does not hold"),
    "a certificate altered": (_append("ca.crt", "\n"), "nodeseal.sig: got a signature that does not hold"),
    "a document added": (_put("more.txt", b""), "nodeseal.sig: got a signature that does not hold"),
    "a certificate added": (_put("x.crt", usual_signer().root_pem), "nodeseal.sig: got a signature that does not hold"),
    "a document removed": (lambda f: (f / "nodeseal.json").unlink(), "nodeseal.sig: got a signature that does"),
    "a document renamed": (lambda f: (f / "ca.crt").rename(f / "b.crt"), "nodeseal.sig: got a signature that does"),
    "another statement's line end": (_unterminated, "nodeseal.sig: got a signature that does not hold"),
    "no serial": (lambda f: sign(write(f, None), OURS), "nodeseal.json: nodeseal.serial: got nothing"),
    "an empty signature file": (_put("nodeseal.sig", b"\n"), "nodeseal.sig: got an empty document"),
    "no base64": (_put("nodeseal.sig", b"\x1b[31m\xff\n"), "nodeseal.sig: got something else than base64 (line 1)"),
    "the raw signature": (_put("nodeseal.sig", signed(OURS)), "nodeseal.sig: got something else than base64"),
    "the private key": (_put("nodeseal.sig", private_pem(OURS).encode()), "nodeseal.sig: got a private key"),
    "thousands of signatures": (_put("nodeseal.sig", b"QUJD\n" * 6_000), "nodeseal.sig: got more than 8 signatures"),
    "10^4 lines": (_put("nodeseal.sig", b"QUJDREVG\n" * 10_000), "nodeseal.sig: got 90000 bytes"),
    "a megabyte": (_put("nodeseal.sig", b"A" * 2**20), "nodeseal.sig: got 1048576 bytes; expected at most 32768"),
    "two megabytes": (_put("nodeseal.sig", b"A" * 2**21), "nodeseal.sig: got a file of more than 1048576 bytes"),
    "a link out of the folder": (_link_out, "nodeseal.sig: got a symbolic link that leads out of the folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_signed_as_it_stands_is_refused_and_changes_nothing(folder: Path, root: Path, case: str) -> None:
    change, message = REFUSED[case]
    change(folder)
    start = time.process_time()
    checked, applied = check(folder, root), apply(folder, root)
    assert time.process_time() - start < 5
    assert (checked.code, applied.code) == (Exit.CONFIGURATION, Exit.CONFIGURATION)
    assert told(checked.out) == told(applied.err)
    assert f"error: {message}" in checked.out
    assert private_pem(OURS).splitlines()[1][:12] not in checked.out + applied.err
    assert not (root / "var").exists()


def test_errors_and_the_missing_signature_are_told_together(folder: Path, root: Path) -> None:
    (folder / "config.json").write_text(json.dumps(put("verifier.plugins[0].name", "a/b")))
    (folder / "nodeseal.sig").unlink()
    lines = told(check(folder, root).out)
    assert any("verifier.plugins[0].name" in line for line in lines)
    assert any("error: nodeseal.sig" in line for line in lines)


# What lies on the host is not signed


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("verifier.plugins[0].verificationCerts", ["HOST/root.crt"]),
        ("verifier.plugins[0].verificationCerts", ["../host/root.crt"]),
        ("store.plugins[0].caCertificates", ["HOST/root.crt"]),
        ("policy.plugin", {"name": "regoPolicy", "policyPath": "HOST/policy.rego"}),
        ("verifier.plugins[0]", {"name": "notation", "artifactTypes": "*", "notationDirectory": "HOST/notation"}),
    ],
)
def test_paths_of_the_host_do_not_count(folder: Path, root: Path, where: str, value: Any) -> None:
    host = folder.parent / "host"
    (host / "notation").mkdir(parents=True)
    (host / "root.crt").write_bytes(usual_signer().root_pem)
    (host / "policy.rego").write_text("package ratify.policy\ndefault valid := false\n")
    value = json.loads(json.dumps(value).replace("HOST", str(host)))
    (folder / "config.json").write_text(json.dumps(put(where, value)))
    sign(folder, OURS)
    checked = check(folder, root)
    assert checked.code == apply(folder, root).code == Exit.CONFIGURATION
    assert "got a path that no document of the folder has" in checked.out
    assert "what lies elsewhere is not signed" in checked.out


def test_one_file_alone_can_not_be_signed(folder: Path, root: Path) -> None:
    (folder / "ca.crt").unlink()
    assert "error: nodeseal.sig: got nothing" in apply(folder / "config.json", root).err
    done = run("config", "statement", str(folder / "config.json"))
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert "expected a folder" in done.err


def test_the_document_with_the_signatures_can_not_be_a_policy(folder: Path, root: Path) -> None:
    """Nobody signs it: a configuration that refers to it would mean what whoever wrote it last wants."""
    value = put("policy.plugin", {"name": "regoPolicy", "policyPath": "nodeseal.sig"})
    (folder / "config.json").write_text(json.dumps(value))
    assert "nodeseal.sig: got a path that no document of the folder has" in check(sign(folder, OURS), root).out


def test_what_can_not_be_read_can_not_be_signed(folder: Path) -> None:
    (folder / "link.crt").symlink_to("/etc/hostname")
    done = run("config", "statement", str(folder))
    assert (done.code, done.out) == (Exit.CONFIGURATION, "")
    assert "link.crt: got a symbolic link that leads out of the folder" in done.err
    assert run("config", "statement", str(folder / "nowhere")).code == Exit.USAGE


# Who has no keys needs neither


def test_without_keys_signatures_and_serials_are_told_to_have_no_effect(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "other"
    (root / "var/lib/nodeseal").mkdir(parents=True, mode=0o700)
    Path(Serials(str(root)).path).write_text("not read, not written")
    (folder / "nodeseal.sig").write_text("not even base64")
    checked, applied = check(folder, root), apply(folder, root)
    assert (checked.code, applied.code) == (0, 0)
    assert told(checked.out) == told(applied.err)
    assert [line.split("; ")[0] for line in told(checked.out)] == [
        "WARNING: nodeseal.json: nodeseal.serial: got 7",
        "WARNING: nodeseal.sig: got signatures that nobody asks for",
    ]
    assert "signed by" not in checked.out + applied.out
    assert apply(write(folder, 6), root).code == 0
    assert Path(Serials(str(root)).path).read_text() == "not read, not written"


def test_without_keys_and_without_serial_nothing_is_told(tmp_path: Path) -> None:
    assert told(apply(write(tmp_path / "set", None), tmp_path / "other").err) == []
    assert not Path(Serials(str(tmp_path / "other")).path).exists()


def test_an_empty_list_of_keys_is_none(tmp_path: Path) -> None:
    ask(tmp_path / "other")
    assert apply(write(tmp_path / "set", None), tmp_path / "other").code == 0


def test_verify_never_asks_for_a_signature(folder: Path, root: Path) -> None:
    (folder / "nodeseal.sig").unlink()
    assert load_for_person(str(folder), "/").ruleset.serial == 7
    image = "127.0.0.1:1/app@sha256:" + "0" * 64
    done = run("verify", image, "--config", str(folder), "--root", str(root), "--timeout", "60")
    assert done.code == Exit.CANNOT_TELL
    assert "sign" not in done.err


# Keys that can't be used


@pytest.mark.parametrize(
    ("keys", "where", "message"),
    [
        ([private_pem(OURS)], "[0]", "got a private key, which belongs in no configuration"),
        ([public(OURS), private_pem(OLD_KEY)], "[1]", "got a private key, which belongs in no configuration"),
        ([public(OURS), "rubbish"], "[1]", "got no PEM; expected one public key"),
        ([public(key("RSA-1024", 1))], "[0]", "got RSA of 1024 bits; expected RSA of 2048 to 8192 bits"),
        ([public(OURS)] * (MAX_KEYS + 1), "", f"got {MAX_KEYS + 1} keys; expected at most {MAX_KEYS}"),
    ],
)
def test_with_a_key_that_can_not_be_used_nothing_is_put_in_force(
    folder: Path, root: Path, keys: list[str], where: str, message: str
) -> None:
    ask(root, *keys)
    checked, applied = check(folder, root), apply(folder, root)
    assert (checked.code, applied.code) == (Exit.CONFIGURATION, Exit.CONFIGURATION)
    for text in (checked.out, applied.err):
        assert f"{root / BOOTSTRAP}: floor.signedBy{where}: {message}" in text
        assert all(line[:16] not in text for each in keys for line in each.splitlines()[1:-1])
    assert not (root / "var").exists()


# Real signatures


OPENSSL = shutil.which("openssl")
REAL: dict[str, tuple[str, str]] = {
    "P-256": ("openssl ecparam -name prime256v1 -genkey -noout", "openssl dgst -sha256 -sign KEY | base64"),
    "P-384": ("openssl ecparam -name secp384r1 -genkey -noout", "openssl dgst -sha384 -sign KEY | base64"),
    "P-521": ("openssl ecparam -name secp521r1 -genkey -noout", "openssl dgst -sha512 -sign KEY | openssl base64"),
    "RSA": ("openssl genrsa 2048", "openssl dgst -sha256 -sign KEY | base64"),
    "RSA 3072, wrapped at 64": ("openssl genrsa 3072", "openssl dgst -sha256 -sign KEY | openssl base64"),
    "RSA, PSS": (
        "openssl genpkey -algorithm RSA",
        "openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sign KEY | base64 -w0",
    ),
    "Ed25519": (
        "openssl genpkey -algorithm ed25519",
        "cat > FILE && openssl pkeyutl -sign -rawin -inkey KEY -in FILE | base64",
    ),
}


@pytest.mark.skipif(OPENSSL is None, reason="no openssl on this machine")
@pytest.mark.parametrize("kind", REAL)
def test_what_openssl_signs_is_put_in_force(tmp_path: Path, kind: str) -> None:
    folder, root = write(tmp_path / "set", 7), tmp_path / "node"
    generate, command = REAL[kind]
    program = f"{sys.executable} -m agent config statement {folder}"
    command = command.replace("KEY", str(tmp_path / "key.pem")).replace("FILE", str(tmp_path / "statement.json"))
    _shell(f"{generate} > {tmp_path}/key.pem")
    _shell(f"{program} | ( {command} ) > {folder}/nodeseal.sig")
    ask(root, _shell(f"openssl pkey -in {tmp_path}/key.pem -pubout"))
    fingerprint = _shell(f"openssl pkey -in {tmp_path}/key.pem -pubout -outform DER | sha256sum")[:64]
    done = apply(folder, root)
    assert done.code == 0, done.err
    assert f"signed by sha256:{fingerprint}, serial 7" in done.out
    _append("ca.crt", "\n")(folder)
    assert apply(folder, root).code == Exit.CONFIGURATION


def _shell(command: str) -> str:
    done = subprocess.run(["sh", "-ec", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
