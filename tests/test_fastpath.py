"""The first thing that runs in containerd's child."""

import ast
import pathlib
import subprocess
import sys

import pytest

from agent import __version__, fastpath
from agent.adapters import ipc
from agent.model.reference import Reference
from agent.rules import precedence

SOURCE = pathlib.Path(fastpath.__file__)


NONCE = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("tag", "is_nonce"),
    [
        (f":{NONCE}", True),
        (f":{NONCE}@sha256:{'0' * 64}", True),
        (":n", False),
        ("", False),
        (f"@sha256:{'0' * 64}", False),
    ]
    + [(f":{NONCE}0", False), (f":{NONCE[1:]}", False), (f":{NONCE.upper()}", False), (f":{NONCE[1:]}-", False)],
)
def test_line_of_the_canary_is_the_one_that_the_cold_path_gives(tag: str, is_nonce: bool) -> None:
    name = f"127.0.0.1:5000/nodeseal-canary{tag}"
    line = fastpath.canary_line(name).decode()
    if tag:
        assert line == precedence.canary_answer(Reference.parse(name).tag or "").line() + "\n"
    assert line.endswith(f"this verifier is live{f': {NONCE}' if is_nonce else ''}\n")


@pytest.mark.parametrize(
    ("name", "canary"),
    [
        ("127.0.0.1/nodeseal-canary:n", True),
        ("127.0.0.1:5000/nodeseal-canary:n", True),
        ("127.0.0.1:5000/nodeseal-canary@sha256:" + "0" * 64, True),
        ("127.0.0.1:5000/nodeseal-canary:n@sha256:" + "0" * 64, True),
        ("127.0.0.1:5000/nodeseal-canary-2:n", False),
        ("127.0.0.1:5000/x/nodeseal-canary:n", False),
        ("127.0.0.1:5000/nodeseal-canary/x:n", False),
        ("127.0.0.2:5000/nodeseal-canary:n", False),
        ("127.0.0.1.example.com/nodeseal-canary:n", False),
        ("localhost:5000/nodeseal-canary:n", False),
    ],
)
def test_canary_is_the_same_to_the_fast_and_the_cold_path(name: str, canary: bool) -> None:
    assert fastpath.is_canary(name) is canary
    repository = Reference.parse(name).repository
    cold = repository.host.split(":")[0] == "127.0.0.1" and repository.path == "nodeseal-canary"
    assert cold is canary


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["-name", "a"], "a"),
        (["--name", "a"], "a"),
        (["-name=a"], "a"),
        (["-digest", "d", "--name=a"], "a"),
        (["-name"], ""),
        (["-name", "a", "-name", "b"], ""),
        (["-names", "a"], ""),
        ([], ""),
    ],
)
def test_only_a_name_said_exactly_once_is_decided_here(words: list[str], name: str) -> None:
    assert fastpath._name(words) == name


def test_imports_c_modules_alone() -> None:
    tree = ast.parse(SOURCE.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"posix", "sys", "time", "_socket", "gc"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    at_once = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert at_once == {"posix", "sys", "time"}
    assert at_once <= set(sys.builtin_module_names)


def test_believes_only_a_daemon_of_its_own_version() -> None:
    assert (__version__, ipc.VERSION) == (fastpath.PROGRAM, fastpath.PROTOCOL)
    assert f"{fastpath.SOCKETS}/{fastpath.SOCKET}" == f"/{ipc.FOLDER}/{ipc.NAME}"


def run(script: str, redirections: str = "") -> subprocess.CompletedProcess[str]:
    """Run a script in which the fast path is imported but has not run, under a shell's redirections."""
    environment = {"SSL_CERT_FILE": "/x", "OPENSSL_CONF": "/x", "LD_PRELOAD_X": "1", "HTTPS_PROXY": "kept"}
    command = f'{sys.executable} -I -S -c "$1" {redirections}'
    path = f"import sys; sys.path.insert(0, {str(SOURCE.parent.parent)!r}); from agent import fastpath\n"
    return subprocess.run(
        ["/bin/sh", "-c", command, "sh", path + script], capture_output=True, text=True, env=environment, check=False
    )


def test_closed_standard_descriptors_are_opened() -> None:
    script = "import os\nfastpath.run(['x'])\n[os.fstat(n) for n in (0, 1, 2)]\nos._exit(7)\n"
    assert run(script, "0<&- >&- 2>&-").returncode == 7


def test_environment_of_someone_else_is_removed_for_python_and_for_c() -> None:
    script = "fastpath.run(['x'])\nimport os, ctypes\nget = ctypes.CDLL(None).getenv; get.restype = ctypes.c_char_p\n"
    script += "print(sorted(os.environ), get(b'SSL_CERT_FILE'), get(b'HTTPS_PROXY'))\n"
    done = run(script)
    assert done.stdout.startswith("['HTTPS_PROXY'")
    assert "SSL_CERT_FILE" not in done.stdout
    assert done.stdout.endswith("None b'kept'\n")


@pytest.mark.parametrize(("words", "rarely"), [(["-name", "a"], True), (["verify", "a"], False)])
def test_program_behind_imports_without_looking_for_garbage_only_for_one_pull(words: list[str], rarely: bool) -> None:
    script = f"fastpath.run(['x', *{words}])\nimport gc\nprint(gc.isenabled(), gc.get_threshold()[0] >= 100_000)\n"
    assert run(script, "< /dev/null").stdout == f"True {rarely}\n"


def test_asking_a_daemon_loads_sockets_and_nothing_else(tmp_path: pathlib.Path) -> None:
    listener = ipc.listening(str(tmp_path))
    script = f"""
before = set(sys.modules)
try:
    fastpath.ask({str(tmp_path / "nowhere")!r}, b"", b"words")
except OSError:
    print(sorted(set(sys.modules) - before))
fastpath._SILENCE = 0.1
try:
    fastpath.ask({str(tmp_path)!r}, b"", b"words")
except OSError:
    print(sorted(set(sys.modules) - before))
"""
    done = run(script)
    listener.close()
    assert done.stdout == "[]\n['_socket']\n", done


def test_output_that_nobody_reads_keeps_no_answer_from_ending_the_process() -> None:
    script = "import os\nos.set_blocking(1, False)\n"
    script += "for size in (4096, 1):\n    try:\n        while True: os.write(1, b'x' * size)\n"
    script += "    except BlockingIOError: pass\nos.set_blocking(1, True)\n"
    script += "fastpath.run(['x', '-name', '127.0.0.1/nodeseal-canary:n'])\n"
    path = f"import sys; sys.path.insert(0, {str(SOURCE.parent.parent)!r}); from agent import fastpath\n"
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", path + script], stdout=subprocess.PIPE) as process:
        assert process.wait(60) == 10


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full", "broken"])
def test_output_that_cannot_be_written_changes_no_exit_code(redirection: str) -> None:
    script = "fastpath.run(['x', '-name', '127.0.0.1/nodeseal-canary:n'])\n"
    if redirection == "broken":
        script = "import os\nends = os.pipe()\nos.dup2(ends[1], 1)\n[os.close(end) for end in ends]\n" + script
    assert run(script, redirection.replace("broken", "")).returncode == 10


def test_whatever_goes_wrong_here_falls_through() -> None:
    assert run("fastpath._name = None\nfastpath.run(['x'])\nprint('went on')\n").stdout == "went on\n"
