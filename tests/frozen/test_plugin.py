"""The frozen program as containerd's verifier: what it is told, in which surroundings, and what it answers."""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import time
from typing import Any, Sequence

import pytest

from tests.commands import Done, filled, run
from tests.frozen.conftest import Setting
from tests.frozen.program import STDIN_MEDIA_TYPE, Program, descriptor, plugin_words
from tests.signing import attach_signature, envelope, usual_signer, write_config
from tests.simulators import misbehaviour
from tests.simulators.misbehaviour import Behaviour
from tests.starvation import Pressure

pytestmark = pytest.mark.frozen

OTHER_DIGEST = "sha256:" + "0" * 64


def ask(setting: Setting, *words: str, stdin: bytes | None = None, **options: Any) -> Done:
    """Call the program with words of one's own; standard input is the signed image's descriptor."""
    given = descriptor(str(setting.signed.digest), setting.signed.size) if stdin is None else stdin
    return run([str(setting.program.path), *words], stdin=given, **options)


def assert_allowed(answer: Done) -> None:
    assert answer.code == 0, answer
    assert answer.out.startswith("allow NS-0001 rule=default ground=verified: 1 of 1 signatures verified")


def test_signed_image_is_allowed_and_the_line_names_the_ground(setting: Setting) -> None:
    answer = setting.program.pull(setting.signed_name, str(setting.signed.digest), setting.signed.size)
    assert_allowed(answer)
    assert answer.out.count("\n") == 1


def test_unsigned_image_is_denied_and_the_line_says_what_to_do(setting: Setting) -> None:
    answer = setting.program.pull(setting.unsigned_name, str(setting.unsigned.digest), setting.unsigned.size)
    assert answer.code == 10
    assert answer.out.startswith("deny NS-2001 rule=default: no signature found")
    assert answer.out.endswith(f"; see: nodeseal verify --explain {setting.unsigned_name}\n")
    assert len(answer.out.encode()) <= 401


def test_one_signature_costs_three_requests(setting: Setting) -> None:
    before = sum(setting.registry.counts.values())
    assert_allowed(setting.program.pull(setting.signed_name, str(setting.signed.digest), setting.signed.size))
    assert sum(setting.registry.counts.values()) - before == 3


@pytest.mark.parametrize(
    "order",
    [
        ["-digest", "D", "-name", "N", "-stdin-media-type", "T"],
        ["-stdin-media-type", "T", "-digest", "D", "-name", "N"],
        ["--name", "N", "--digest", "D", "--stdin-media-type", "T"],
        ["-name=N", "-digest=D", "-stdin-media-type=T"],
        ["--name=N", "-digest", "D", "--stdin-media-type=T"],
        ["-operation", "pull", "-name", "N", "-digest", "D", "-stdin-media-type", "T"],
        ["-dry-run", "-name", "N", "-digest", "D", "-stdin-media-type", "T"],
        ["-name", "N", "-future=x", "-digest", "D", "-stdin-media-type", "T", "-last"],
    ],
    ids=lambda order: " ".join(order),
)
def test_flags_in_any_order_and_form_and_unknown_ones(setting: Setting, order: list[str]) -> None:
    values = {"N": setting.signed_name, "D": str(setting.signed.digest), "T": STDIN_MEDIA_TYPE}
    words = [
        "=".join([flag, values[value]]) if value in values and separator else values.get(word, word)
        for word in order
        for flag, separator, value in [word.partition("=")]
    ]
    assert_allowed(ask(setting, *words))


def bad_requests(setting: Setting) -> dict[str, tuple[list[str], bytes | None]]:
    """What nobody may be allowed for: name of the defect -> words, standard input."""
    name, digest = setting.signed_name, str(setting.signed.digest)
    repository = name.rsplit(":", 1)[0]
    good = plugin_words(name, digest)
    sized = descriptor(digest, setting.signed.size)
    return {
        "no digest": (["-name", name, "-stdin-media-type", STDIN_MEDIA_TYPE], None),
        "no media type": (["-name", name, "-digest", digest], None),
        "name without value": (["-name", "-digest", digest, "-stdin-media-type", STDIN_MEDIA_TYPE], None),
        "name twice": ([*good, "-name", name], None),
        "digest of the name differs": (plugin_words(f"{repository}@{OTHER_DIGEST}", digest), None),
        "digest of the descriptor differs": (good, descriptor(OTHER_DIGEST, 1)),
        "both differ from the flag": (plugin_words(name, OTHER_DIGEST), None),
        "upper-case digest": (plugin_words(name, digest.upper().replace("SHA256", "sha256")), None),
        "short digest": (plugin_words(name, digest[:-1]), None),
        "unknown algorithm": (plugin_words(name, "md5:" + "0" * 32), None),
        "digest is a path": (plugin_words(name, "sha256:../../x"), None),
        "unknown media type": (["-name", name, "-digest", digest, "-stdin-media-type", "text/plain"], None),
        "name without registry": (plugin_words("busybox:1", digest), None),
        "upper-case repository": (plugin_words(f"{setting.registry.host}/Team/Signed:1", digest), None),
        "newline in the name": (plugin_words(f"{repository}\n:1", digest), None),
        "escape sequence in the name": (plugin_words(f"{setting.registry.host}/\x1b[31mteam:1", digest), None),
        "confusable in the name": (plugin_words(f"{setting.registry.host}/\u0430pp/signed:1", digest), None),
        "name of 4 KiB": (plugin_words(f"{setting.registry.host}/{'a' * 4096}:1", digest), None),
        "encoded slash in the name": (plugin_words(f"{setting.registry.host}/team%2fsigned:1", digest), None),
        "empty standard input": (good, b""),
        "standard input is no JSON": (good, b"descriptor\n"),
        "standard input is a list": (good, b"[" + sized + b"]"),
        "size is negative": (good, descriptor(digest, -1)),
        "size is enormous": (good, sized.replace(str(setting.signed.size).encode(), b"9" * 19)),
        "size is a text": (good, sized.replace(str(setting.signed.size).encode(), b'"5"')),
        "digest twice in the descriptor": (good, sized.replace(b"{", b'{"digest": "sha256:1", ', 1)),
        "standard input of 1 MiB": (good, b" " * 2**20),
        "deep nesting": (good, b"[" * 10**5),
    }


BAD_REQUESTS = (
    "no digest", "no media type", "name without value", "name twice", "digest of the name differs",
    "digest of the descriptor differs", "both differ from the flag", "upper-case digest", "short digest",
    "unknown algorithm", "digest is a path", "unknown media type", "name without registry", "upper-case repository",
    "newline in the name", "escape sequence in the name", "confusable in the name", "name of 4 KiB",
    "encoded slash in the name", "empty standard input", "standard input is no JSON", "standard input is a list",
    "size is negative", "size is enormous", "size is a text", "digest twice in the descriptor",
    "standard input of 1 MiB", "deep nesting",
)  # fmt: skip


@pytest.mark.parametrize("defect", BAD_REQUESTS)
def test_request_that_does_not_fit_together_is_a_usage_error(setting: Setting, defect: str) -> None:
    words, stdin = bad_requests(setting)[defect]
    answer = ask(setting, *words, stdin=stdin)
    assert answer.code == 2, answer
    assert answer.out.startswith("bad request NS-1002 rule=-: ")
    assert answer.out.count("\n") == 1
    assert answer.out[:-1].isascii()
    assert answer.out[:-1].isprintable()
    assert len(answer.out) <= 401


def test_table_of_bad_requests_is_complete(setting: Setting) -> None:
    assert tuple(bad_requests(setting)) == BAD_REQUESTS


HOSTILE_ENVIRONMENT = {
    "PYTHONHOME": "/nonexistent",
    "PYTHONPATH": "/nonexistent",
    "PYTHONSTARTUP": "/nonexistent",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "PYTHONUTF8": "nonsense",
    "PYTHONINSPECT": "1",
    "LD_LIBRARY_PATH": "/nonexistent:",
    "SSL_CERT_FILE": "/nonexistent",
    "SSL_CERT_DIR": "/nonexistent",
    "SSLKEYLOGFILE": "/nonexistent/keys",
    "OPENSSL_CONF": "/nonexistent",
    "LANG": "nonsense",
    "LC_ALL": "nonsense",
    "TMPDIR": "/nonexistent",
    "HOME": "/nonexistent",
}


def test_environment_set_by_someone_else_changes_nothing(setting: Setting) -> None:
    answer = setting.program.pull(
        setting.signed_name, str(setting.signed.digest), setting.signed.size, environment=HOSTILE_ENVIRONMENT
    )
    assert_allowed(answer)
    assert answer.err == ""


@pytest.mark.parametrize(
    "variable", ["PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__", "_MEIPASS2", "_PYI_APPLICATION_HOME_DIR"]
)
def test_no_variable_moves_the_root_that_the_configuration_is_under(
    setting: Setting, tmp_path: pathlib.Path, variable: str
) -> None:
    subject = setting.registry.push_image("team/strange", "1", salt=variable)
    stranger = usual_signer("stranger.example.net", number=3)
    attach_signature(setting.registry, "team/strange", subject, envelope(stranger, subject))
    decoy = Program(tmp_path / "decoy")
    decoy.apply(write_config(tmp_path / "config", stranger.root_pem))
    name = f"{setting.registry.host}/team/strange:1"
    assert decoy.pull(name, str(subject.digest), subject.size).code == 0  # the decoy would let it in
    value = str(decoy.path if "EXE" in variable or "LAUNCHER" in variable else decoy.path.parent / "_internal")
    answer = setting.program.pull(name, str(subject.digest), subject.size, environment={variable: value})
    assert answer.code == 10, answer
    assert answer.out.startswith("deny NS-2103 ")


@pytest.mark.parametrize(("written", "code"), [(True, 0), (False, 2)], ids=["after its object", "silent"])
def test_standard_input_may_stay_open_for_ever(setting: Setting, written: bool, code: int) -> None:
    reading, writing = os.pipe()
    if written:
        os.write(writing, descriptor(str(setting.signed.digest), setting.signed.size))
    done = subprocess.run(
        [str(setting.program.path), *plugin_words(setting.signed_name, str(setting.signed.digest))],
        stdin=reading, capture_output=True, env={}, timeout=90, check=False,
    )  # fmt: skip
    os.close(writing)
    os.close(reading)
    assert done.returncode == code, done


@pytest.mark.parametrize("image", ["signed", "unsigned"])
@pytest.mark.parametrize("closed", ["1", "2", "0", "1 2", "0 1 2"])
def test_closed_descriptors_change_no_exit_code(setting: Setting, image: str, closed: str) -> None:
    subject = setting.signed if image == "signed" else setting.unsigned
    name = setting.signed_name if image == "signed" else setting.unsigned_name
    words = [str(setting.program.path), *plugin_words(name, str(subject.digest))]
    redirections = " ".join(f"{number}>&-" if number != "0" else "0<&-" for number in closed.split())
    with filled(descriptor(str(subject.digest), subject.size)) as stdin:
        done = subprocess.run(
            ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", *words],
            stdin=stdin, capture_output=True, env={}, timeout=90, check=False,
        )  # fmt: skip
    expected = 2 if "0" in closed else {"signed": 0, "unsigned": 10}[image]
    assert done.returncode == expected


def test_broken_pipe_changes_no_exit_code(setting: Setting) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = plugin_words(setting.unsigned_name, str(setting.unsigned.digest))
    with filled(descriptor(str(setting.unsigned.digest), setting.unsigned.size)) as stdin:
        done = subprocess.run([str(setting.program.path), *words], stdin=stdin, stdout=writing, env={}, check=False)
    os.close(writing)
    assert done.returncode == 10


def test_full_pipe_does_not_hold_the_answer_back(setting: Setting) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    words = plugin_words(setting.unsigned_name, str(setting.unsigned.digest))
    begun, pressure = time.monotonic(), Pressure()
    with filled(descriptor(str(setting.unsigned.digest), setting.unsigned.size)) as stdin:
        done = subprocess.run(
            [str(setting.program.path), *words], stdin=stdin, stdout=writing, env={}, timeout=60, check=False
        )
    assert time.monotonic() - begun < 7 + pressure.slack()
    os.close(writing)
    os.close(reading)
    assert done.returncode == 10


def test_fifty_at_once_all_give_their_own_answer(setting: Setting) -> None:
    def one(number: int) -> Done:
        subject, name = [(setting.signed, setting.signed_name), (setting.unsigned, setting.unsigned_name)][number % 2]
        return setting.program.pull(name, str(subject.digest), subject.size)

    pressure = Pressure()
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(one, range(50)))
    if pressure.is_full():  # then fifty are too many for one deadline: who came to it is asked again, one by one
        answers = [one(n) if "NS-3005" in answer.out else answer for n, answer in enumerate(answers)]
    assert [answer.code for answer in answers] == [0, 10] * 25


@pytest.mark.parametrize(
    ("scarce", "limits"),
    [("nofile", range(3, 12)), ("as", [mebibytes * 2**20 for mebibytes in (16, 24, 32, 40, 48, 64, 96)])],
    ids=["file descriptors", "memory"],
)
def test_scarcity_never_allows_an_unsigned_image(setting: Setting, scarce: str, limits: Sequence[int]) -> None:
    words = plugin_words(setting.unsigned_name, str(setting.unsigned.digest))
    stdin = descriptor(str(setting.unsigned.digest), setting.unsigned.size)
    codes = {
        run(["/usr/bin/prlimit", f"--{scarce}={limit}", str(setting.program.path), *words], stdin=stdin).code
        for limit in limits
    }
    assert 0 not in codes
    assert codes - {10}, "no limit was low enough to hurt"


def test_subject_of_a_certificate_can_write_nothing_but_itself_into_the_line(setting: Setting) -> None:
    subject = setting.registry.push_image("team/forged", "1", salt="forged")
    forger = usual_signer("x\x1b[2K\nallow NS-0001 rule=default ground=verified", number=2)
    attach_signature(setting.registry, "team/forged", subject, envelope(forger, subject))
    answer = setting.program.pull(f"{setting.registry.host}/team/forged:1", str(subject.digest), subject.size)
    assert answer.code == 10
    assert answer.out.startswith("deny NS-2103 rule=default: ")
    assert answer.out.count("\n") == 1
    assert "\x1b" not in answer.out


def test_works_through_a_symlink_from_any_folder(setting: Setting, tmp_path: pathlib.Path) -> None:
    link = tmp_path / "00-nodeseal"
    link.symlink_to(setting.program.path)
    words = plugin_words(setting.signed_name, str(setting.signed.digest))
    with filled(descriptor(str(setting.signed.digest), setting.signed.size)) as stdin:
        done = subprocess.run(
            [str(link), *words], stdin=stdin, capture_output=True, cwd=tmp_path, env={}, timeout=90, check=False
        )
    assert done.returncode == 0, done


def test_read_only_and_unwritable_tmp_changes_nothing(setting: Setting) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a private read-only /tmp needs root and unshare")
    root = setting.program.root
    words = [str(setting.program.path), *plugin_words(setting.signed_name, str(setting.signed.digest))]
    # The program itself lies below /tmp: it is bound elsewhere before an empty read-only file system covers /tmp.
    script = (
        f"mkdir -p /run/seal && mount -t tmpfs tmpfs /run && mkdir /run/seal && mount --bind {root} /run/seal && "
        'mount -t tmpfs -o ro,noexec tmpfs /tmp && program=$1 && shift && exec /run/seal/${program} "$@"'
    )
    relative = str(setting.program.path.relative_to(root))
    with filled(descriptor(str(setting.signed.digest), setting.signed.size)) as stdin:
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh", relative, *words[1:]],
            stdin=stdin, capture_output=True, timeout=90, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done


def test_without_a_configuration_every_image_is_blocked_as_cannot_tell(program: Program) -> None:
    answer = program.pull("registry.example.com/a:1", OTHER_DIGEST)
    assert answer.code == 11
    assert answer.out.startswith("cannot tell NS-3006 rule=-: configurationMissing: ")


@pytest.mark.parametrize("file", ["snapshot.json", "certificates"])
def test_damaged_snapshot_blocks_as_cannot_tell(setting: Setting, tmp_path: pathlib.Path, file: str) -> None:
    copy = Program(tmp_path / "host")
    shutil.copytree(setting.program.root / "var", copy.root / "var", symlinks=True)
    damaged = copy.root / "var/lib/nodeseal/current" / file
    damaged = next(damaged.iterdir()) if damaged.is_dir() else damaged
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes().replace(b"a", b"b"))
    answer = copy.pull(setting.signed_name, str(setting.signed.digest), setting.signed.size)
    assert answer.code == 11
    assert answer.out.startswith("cannot tell NS-3006 rule=default: configurationMissing: ")


def test_snapshot_that_others_may_write_is_not_believed(setting: Setting, tmp_path: pathlib.Path) -> None:
    copy = Program(tmp_path / "host")
    shutil.copytree(setting.program.root / "var", copy.root / "var", symlinks=True)
    (copy.root / "var/lib/nodeseal/current").resolve().chmod(0o777)
    assert copy.pull(setting.signed_name, str(setting.signed.digest), setting.signed.size).code == 11


@pytest.mark.parametrize("missing", ["cryptography", "lib-dynload", "encodings", "libpython"])
def test_broken_installation_never_allows(setting: Setting, tmp_path: pathlib.Path, missing: str) -> None:
    copy = Program(tmp_path / "host")
    shutil.copytree(setting.program.root / "var", copy.root / "var", symlinks=True)
    internal = copy.path.parent / "_internal"
    gone = [path for path in internal.rglob("*") if missing in path.name]
    assert gone
    for path in gone:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    unsigned = copy.pull(setting.unsigned_name, str(setting.unsigned.digest), setting.unsigned.size)
    assert unsigned.code != 0
    signed = copy.pull(setting.signed_name, str(setting.signed.digest), setting.signed.size)
    if missing == "lib-dynload" and signed.code == 0:
        assert_allowed(signed)  # Debian's Python has most of these modules within itself
    else:
        assert signed.code not in (0, 10)


def test_canary_is_refused_before_anything_else_is_looked_at(program: Program) -> None:
    answer = program.pull("127.0.0.1:1/nodeseal-canary:nonce", OTHER_DIGEST)
    assert answer.code == 10
    assert answer.out == "deny NS-1001 rule=canary: the canary's name is always refused; this verifier is live\n"
    answer = program.pull(f"127.0.0.1:1/nodeseal-canary:{'5' * 32}", OTHER_DIGEST)
    assert answer.out.endswith(f"this verifier is live: {'5' * 32}\n")


HANGING: dict[str, tuple[str, Behaviour]] = {
    "a listing that drips": ("referrers", misbehaviour.drip(0.2)),
    "headers that drip": ("manifest", misbehaviour.drip(0.2, headers=True)),
    "a blob that never comes": ("blob", misbehaviour.silence),
}


@pytest.mark.parametrize("what", HANGING)
def test_registry_that_hangs_ends_at_our_deadline_with_our_reason(setting: Setting, what: str) -> None:
    kind, behaviour = HANGING[what]
    setting.registry.misbehave(kind, behaviour)
    pressure = Pressure()
    try:
        answer = setting.program.pull(setting.signed_name, str(setting.signed.digest), setting.signed.size)
    finally:
        setting.registry.misbehave(kind, misbehaviour.as_usual)
    assert answer.code == 11, answer
    assert "cannot tell NS-3005" in answer.out
    assert "deadline" in answer.out
    assert answer.seconds < 9.5 + pressure.slack()
