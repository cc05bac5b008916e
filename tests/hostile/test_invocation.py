"""A hostile caller and a hostile node: items 1 to 6 of the list of hostile inputs.

A clock that is years off stands here as certificates from other years: no test may move the node's clock.
"""

import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess
import time
from datetime import timedelta
from typing import Callable, Sequence

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from agent.model.descriptor import Descriptor
from tests.commands import filled, processes_naming
from tests.frozen.program import STDIN_MEDIA_TYPE, Program, descriptor, plugin_words
from tests.hostile.measure import Measured, note, run
from tests.hostile.stage import DEADLINE, OUT_OF_TIME, PROMPT, Asked, Case, Stage, check, run_all
from tests.signing import attach_signature, envelope, usual_signer
from tests.signing import name as subject_name
from tests.simulators import misbehaviour as does
from tests.starvation import Pressure

pytestmark = pytest.mark.frozen

OTHER = "sha256:" + "0" * 64


def named(text: str) -> Callable[[Stage], Asked]:
    """The signed image under a name: HOST, PORT and HEX are the registry's and the digest's."""

    def ask(stage: Stage) -> Asked:
        digest = str(stage.signed.digest)
        host, _, port = stage.registry.host.partition(":")
        name = text.replace("HOST", host).replace("PORT", port).replace("HEX", digest)
        return Asked(plugin_words(name, digest), descriptor(digest, stage.signed.size))

    return ask


def with_digest(change: Callable[[str], str]) -> Callable[[Stage], Asked]:
    """`-digest` is changed, and the descriptor with it."""

    def ask(stage: Stage) -> Asked:
        digest = change(str(stage.signed.digest))
        name = f"{stage.registry.host}/plain/signed:1"
        return Asked(plugin_words(name, digest), descriptor(digest, stage.signed.size))

    return ask


def sha512(stage: Stage) -> Asked:
    """An image that goes by its SHA-512."""
    image = stage.registry.push_image("case/sha512", "1", salt="sha512", algorithm="sha512")
    attach_signature(stage.registry, "case/sha512", image, envelope(stage.trusted, image))
    return stage.pull("case/sha512", image)


def without(flag: str) -> Callable[[Stage], Asked]:
    """A flag is not there."""

    def ask(stage: Stage) -> Asked:
        asked = stage.pull("plain/signed", stage.signed)
        at = asked.words.index(flag)
        return asked._replace(words=[*asked.words[:at], *asked.words[at + 2 :]])

    return ask


def with_words(*words: str) -> Callable[[Stage], Asked]:
    """More words in front."""

    def ask(stage: Stage) -> Asked:
        asked = stage.pull("plain/signed", stage.signed)
        return asked._replace(words=[*words, *asked.words])

    return ask


def with_stdin(change: Callable[[bytes, Descriptor], bytes]) -> Callable[[Stage], Asked]:
    """Standard input is something else."""

    def ask(stage: Stage) -> Asked:
        asked = stage.pull("plain/signed", stage.signed)
        return asked._replace(stdin=change(asked.stdin, stage.signed))

    return ask


def limited(*limits: str) -> Callable[[Stage], Asked]:
    """The unsigned image under limits of the kernel's."""

    def ask(stage: Stage) -> Asked:
        return stage.pull("plain/unsigned", stage.unsigned)._replace(runner=["/usr/bin/prlimit", *limits])

    return ask


def signed_in_other_years(days: int) -> Callable[[Stage], Asked]:
    """The signing certificate is valid on one day, so many days from now."""

    def ask(stage: Stage) -> Asked:
        other_years = stage.issued(starts=timedelta(days=days), ends=timedelta(days=days + 1))
        repository = f"case/years{days}".replace("-", "before")
        image = stage.registry.push_image(repository, "1", salt=repository)
        attach_signature(stage.registry, repository, image, envelope(other_years, image))
        return stage.pull(repository, image)

    return ask


def long_subject(stage: Stage) -> Asked:
    """The refusal names a signer with a subject of 8 KiB."""
    units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"{number:064}") for number in range(125)]
    stranger = usual_signer("long.example.net", number=7, subject=x509.Name([*subject_name("long"), *units]))
    image = stage.registry.push_image("case/long", "1", salt="long")
    attach_signature(stage.registry, "case/long", image, envelope(stranger, image))
    return stage.pull("case/long", image)


def through_proxy(value: str) -> Callable[[Stage], Asked]:
    """The node's proxy has a password, and is of no use."""

    def ask(stage: Stage) -> Asked:
        image = Asked(plugin_words("registry.invalid/a:1", OTHER), descriptor(OTHER, 500))
        return image._replace(environment={"HTTP_PROXY": value, "HTTPS_PROXY": value})

    return ask


BAD, ALLOWED = "NS-1002", "NS-0001"
CASES = (
    Case("01 a tag", named("HOST:PORT/plain/signed:1"), 0, ALLOWED),
    Case("01 a digest", named("HOST:PORT/plain/signed@HEX"), 0, ALLOWED),
    Case("01 a tag and a digest", named("HOST:PORT/plain/signed:1@HEX"), 0, ALLOWED),
    Case("01 a tag that is not there", named("HOST:PORT/plain/signed:gone"), 0, ALLOWED),
    Case("01 localhost", named("localhost:PORT/plain/signed:1"), 0, ALLOWED),
    Case("01 an IPv6 host where nobody listens", named("[::1]:PORT/plain/signed:1"), 11, "NS-3001"),
    Case("01 an IPv6 host with a zone", named("[fe80::1%eth0]:PORT/plain/signed:1"), 2, BAD),
    Case("01 a port that is none", named("HOST:99999/plain/signed:1"), 2, BAD),
    Case("01 upper case", named("HOST:PORT/Plain/Signed:1"), 2, BAD),
    Case("01 a short form of docker.io", named("busybox"), 2, BAD),
    Case("01 a short form with a folder", named("library/busybox:1"), 2, BAD),
    Case("01 4 KiB", named("HOST:PORT/" + "a" * 4096 + ":1"), 2, BAD),
    Case("01 100 KiB", named("HOST:PORT/" + "a/" * 50_000 + "a:1"), 2, BAD),
    Case("01 an escaped NUL", named("HOST:PORT/plain/signed%00:1"), 2, BAD),
    Case("01 a newline", named("HOST:PORT/plain/signed\nallow NS-0001:1"), 2, BAD),
    Case("01 an escape sequence", named("HOST:PORT/\x1b[2Jplain/signed:1"), 2, BAD),
    Case("01 a confusable", named("HOST:PORT/pl\u0430in/signed:1"), 2, BAD),
    Case("01 text that goes backwards", named("HOST:PORT/plain/\u202esigned:1"), 2, BAD),
    Case("01 bytes that are no text", named("HOST:PORT/plain/\udcff:1"), 2, BAD),
    Case("01 a user and a password", named("user:secret@HOST:PORT/plain/signed:1"), 2, BAD),
    Case("01 dots", named("HOST:PORT/plain/../signed:1"), 2, BAD),
    Case("02 another digest than the name's", named(f"HOST:PORT/plain/signed@{OTHER}"), 2, BAD),
    Case("02 no digest", without("-digest"), 2, BAD),
    Case("02 SHA-512", sha512, 0, ALLOWED),
    Case("02 an unknown algorithm", with_digest(lambda _: "md5:" + "0" * 32), 2, BAD),
    Case("02 upper-case hexadecimal", with_digest(lambda given: given.upper().replace("SHA", "sha")), 2, BAD),
    Case("02 a short digest", with_digest(lambda given: given[:-1]), 2, BAD),
    Case("02 a path", with_digest(lambda _: "sha256:../../x"), 2, BAD),
    Case("02 a digest and a newline", with_digest(lambda given: given + "\n"), 2, BAD),
    Case("03 nothing on standard input", with_stdin(lambda *_: b""), 2, BAD),
    Case("03 no JSON", with_stdin(lambda *_: b"descriptor"), 2, BAD),
    Case("03 100 MiB", with_stdin(lambda *_: b" " * (100 << 20)), 2, BAD),
    Case("03 nested 30000 deep", with_stdin(lambda *_: b"[" * 30_000), 2, BAD),
    Case("03 another digest", with_stdin(lambda *_: descriptor(OTHER, 500)), 2, BAD),
    Case("03 a negative size", with_stdin(lambda _, image: descriptor(str(image.digest), -1)), 2, BAD),
    Case("03 an enormous size", with_stdin(lambda _, image: descriptor(str(image.digest), 10**18 * 9 * 10)), 2, BAD),
    Case("03 another size", with_stdin(lambda _, image: descriptor(str(image.digest), image.size + 1)), 10, "NS-2102"),
    Case("03 an unknown media type", with_words("-stdin-media-type=text/plain"), 2, BAD),
    Case("03 flags to come", with_words("-operation", "pull", "-future=1"), 0, ALLOWED),
    Case("04 a reason of 32 KiB", long_subject, 10, "NS-2103"),
    Case("04 a proxy with a password", through_proxy("http://user:hunter2@127.0.0.1:1"), 11, "NS-3001"),
    Case("04 a proxy with a password that is no URL", through_proxy("http://user:hunter2@[::1"), 11, "NS-3001"),
    Case("05 certificates of ten years ago", signed_in_other_years(-3650), 10, "NS-2110"),
    Case("05 certificates of ten years hence", signed_in_other_years(3650), 10, "NS-2106"),
)


@pytest.fixture(scope="module")
def found(stage: Stage) -> dict[str, Measured]:
    """What came of every case."""
    return run_all(stage, "invocation", CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_invocation(case: Case, found: dict[str, Measured], stage: Stage) -> None:
    check(case, found[case.name], stage.base)
    assert b"hunter2" not in found[case.name].stdout
    assert b"secret" not in found[case.name].stdout.split(b"; see: ")[0]


def test_01_no_argument_can_hold_a_nul(stage: Stage) -> None:
    with pytest.raises(ValueError, match="null byte"):
        stage.run(Asked(plugin_words("a\0b", OTHER)))


@pytest.mark.parametrize(("written", "code"), [(True, 0), (False, 2)], ids=["after its object", "silent"])
def test_03_standard_input_is_never_closed(stage: Stage, written: bool, code: int) -> None:
    asked = stage.pull("plain/signed", stage.signed)
    reading, writing = os.pipe()
    if written:
        os.write(writing, asked.stdin)
    found = run([str(stage.program.path), *asked.words], reading)
    os.close(writing)
    os.close(reading)
    assert found.code == code
    assert found.took < PROMPT + found.slack


def test_04_standard_output_is_closed(stage: Stage) -> None:
    asked = stage.pull("plain/unsigned", stage.unsigned)
    script = 'exec "$0" "$@" >&-'
    found = run(["/bin/sh", "-c", script, str(stage.program.path), *asked.words], asked.stdin)
    assert (found.code, found.stdout) == (10, b"")


def is_gone(stage: Stage) -> bool:
    """Whether no process of the program's is left; one that was killed may need a processor to end."""
    end = time.monotonic() + 5
    while processes_naming(str(stage.program.path)) and time.monotonic() < end:
        time.sleep(0.05)
    return not processes_naming(str(stage.program.path))


def test_05_the_deadline_leaves_no_process_and_no_file(stage: Stage, tmp_path: pathlib.Path) -> None:
    stage.misbehave("case/hangs", "*", does.silence)
    image = stage.registry.push_image("case/hangs", "1", salt="hangs")
    before = set(pathlib.Path("/tmp").iterdir())
    found = stage.run(stage.pull("case/hangs", image, {"TMPDIR": str(tmp_path), "HOME": str(tmp_path)}))
    assert (found.code, " NS-3005 " in found.out) == (11, True)
    assert found.took < DEADLINE + found.slack
    note("invocation, hanging", stage.base, {"05 a registry that hangs": found})
    assert is_gone(stage)
    assert not list(tmp_path.iterdir())
    assert not [path for path in set(pathlib.Path("/tmp").iterdir()) - before if path.name.startswith("_MEI")]


def test_05_killed_in_the_middle_leaves_no_process_and_no_file(stage: Stage, tmp_path: pathlib.Path) -> None:
    stage.misbehave("case/killed", "*", does.silence)
    image = stage.registry.push_image("case/killed", "1", salt="killed")
    asked = stage.pull("case/killed", image)
    process = subprocess.Popen(
        [str(stage.program.path), *asked.words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={"TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(asked.stdin)
    process.stdin.close()
    seen = time.monotonic() + 30
    while not any("case/killed" in each.target for each in stage.registry.seen) and time.monotonic() < seen:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert process.stdout is not None
    assert process.stdout.read() == b""
    process.stdout.close()
    assert is_gone(stage)
    assert not list(tmp_path.iterdir())


def test_05_fifty_at_once(stage: Stage) -> None:
    asked = [stage.pull("plain/signed", stage.signed), stage.pull("plain/unsigned", stage.unsigned)] * 25
    pressure = Pressure()
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        found = list(pool.map(stage.run, asked))
    assert max(each.took - each.slack for each in found) < DEADLINE
    if pressure.is_full():  # then fifty are too many for one deadline: who came to it is asked again, one by one
        found = [
            stage.run(again) if OUT_OF_TIME in each.out else each for again, each in zip(asked, found, strict=True)
        ]
    assert [each.code for each in found] == [0, 10] * 25


@pytest.mark.parametrize(
    "limits",
    [[f"--nofile={number}"] for number in (3, 5, 7, 9)]
    + [[f"--as={mebibytes << 20}"] for mebibytes in (24, 40, 64, 96)]
    + [["--cpu=0"], ["--stack=16384"], ["--fsize=0"]],
    ids=lambda limits: " ".join(limits).lstrip("-"),
)
def test_05_scarcity_allows_nothing(stage: Stage, limits: Sequence[str]) -> None:
    found = stage.run(limited(*limits)(stage))
    assert found.code != 0
    assert found.took < DEADLINE + found.slack
    assert not found.stdout.startswith(b"allow")


PRIVATE = (
    'mount -t tmpfs tmpfs /run && mkdir /run/seal && mount --bind "$1" /run/seal && {} && program=$2 && shift 2 && '
    'exec /run/seal/$program "$@"'
)


@pytest.mark.parametrize(
    "surroundings",
    [
        "mount -t tmpfs -o ro,noexec tmpfs /tmp",
        "mount -t tmpfs -o size=4k tmpfs /tmp && { cat /dev/zero >/tmp/full 2>/dev/null || true; }",
        "mount -o remount,bind,ro /run/seal",
    ],
    ids=["read-only and noexec tmp", "full tmp", "read-only disk"],
)
@pytest.mark.parametrize(("image", "code"), [("signed", 0), ("unsigned", 10)])
def test_05_disks_that_take_nothing(stage: Stage, surroundings: str, image: str, code: int) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("private mounts need root and unshare")
    asked = stage.pull(f"plain/{image}", stage.signed if image == "signed" else stage.unsigned)
    program = str(stage.program.path.relative_to(stage.program.root))
    unshared = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", PRIVATE.format(surroundings), "sh"]
    with filled(asked.stdin) as stdin:
        done = subprocess.run(
            [*unshared, str(stage.program.root), program, *asked.words],
            stdin=stdin, capture_output=True, timeout=90, check=False,
        )  # fmt: skip
    assert done.returncode == code, done


def test_06_broken_pipe(stage: Stage) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    asked = stage.pull("plain/unsigned", stage.unsigned)
    found = run([str(stage.program.path), *asked.words], asked.stdin, stdout=writing)
    os.close(writing)
    assert found.code == 10


@pytest.mark.parametrize("missing", ["cryptography", "encodings", "libpython"])
def test_06_missing_module(stage: Stage, tmp_path: pathlib.Path, missing: str) -> None:
    copy = Program(tmp_path / "host")
    shutil.copytree(stage.program.root / "var", copy.root / "var", symlinks=True)
    for path in list((copy.path.parent / "_internal").rglob("*")):
        if missing in path.name:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    asked = stage.pull("plain/signed", stage.signed)
    found = run([str(copy.path), *asked.words], asked.stdin)
    assert found.code not in (0, 10)
    assert not found.stdout.startswith(b"allow")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSEGV, signal.SIGABRT])
def test_06_ended_by_a_signal(stage: Stage, number: signal.Signals) -> None:
    """Whether the program is killed by it or ends by itself, it does not allow."""
    reading, writing = os.pipe()
    asked = stage.pull("plain/unsigned", stage.unsigned)
    process = subprocess.Popen(
        [str(stage.program.path), *asked.words], stdin=reading, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}
    )
    time.sleep(0.3)  # it waits for its standard input
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    os.close(writing)
    os.close(reading)
    assert process.returncode != 0
    assert not out.startswith(b"allow")


def test_06_words_that_are_no_request_at_all(stage: Stage) -> None:
    for words in (["-stdin-media-type", STDIN_MEDIA_TYPE], ["--nam", "x"], [], ["-digest", OTHER]):
        assert run([str(stage.program.path), *words], b"{}").code != 0
