"""The house rules that a machine can check and import-linter can't."""

import ast
import pathlib
from typing import Iterator

import pytest

pytestmark = pytest.mark.unmeasured  # the program's text is read, and none of it runs

AGENT = pathlib.Path(__file__).resolve().parents[1] / "agent"
MODULES = sorted(AGENT.rglob("*.py"))
MAX_LINES = 500

# Who may do what nobody else may; a name that no longer exists fails the test, so that the list stays true.
MAY_EXIT = {"cli.py", "fastpath.py", "modes/watchdog.py", "adapters/policy_worker.py", "adapters/forkserver.py"}
MAY_FORK = {"adapters/policy_worker.py", "adapters/forkserver.py"}
MAY_IMPORT_SUBPROCESS = {"adapters/host.py"}
MAY_START_IN_A_LOOP = {"adapters/child.py", "adapters/kube_access.py"}
MAY_READ_THE_ENVIRONMENT = {"cli.py", "fastpath.py"}
MAY_IMPORT_CRYPTOGRAPHY = {"trust", "formats", "codec/pem.py", "adapters/witness.py"}


def name_of(module: pathlib.Path) -> str:
    return str(module.relative_to(AGENT))


def dotted_names(tree: ast.AST) -> Iterator[str]:
    """Every dotted name that is used, as text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node)


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_module_has_one_job_and_says_which(module: pathlib.Path) -> None:
    text = module.read_text()
    assert text.count("\n") <= MAX_LINES
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_only_one_place_exits_and_reads_the_environment(module: pathlib.Path) -> None:
    used = set(dotted_names(ast.parse(module.read_text())))
    exits = used & {"sys.exit", "os._exit", "posix._exit", "os.abort", "os.kill"}
    assert not exits or name_of(module) in MAY_EXIT
    environment = used & {"os.environ", "os.getenv", "posix.environ", "os.environb"}
    assert not environment or name_of(module) in MAY_READ_THE_ENVIRONMENT


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_no_process_is_started_and_no_code_is_made_from_data(module: pathlib.Path) -> None:
    tree = ast.parse(module.read_text())
    imported = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "subprocess" not in imported or name_of(module) in MAY_IMPORT_SUBPROCESS
    assert not imported & {"multiprocessing", "pickle", "marshal", "shelve", "ctypes", "pty"}
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"eval", "exec", "compile", "__import__"}
    assert not set(dotted_names(tree)) & {"os.system", "os.popen", "os.execv", "os.spawnv"}
    starts = {"anyio.open_process", "anyio.run_process", "os.posix_spawn", "os.spawnv"}
    assert not set(dotted_names(tree)) & starts or name_of(module) in MAY_START_IN_A_LOOP
    assert "os.fork" not in set(dotted_names(tree)) or name_of(module) in MAY_FORK


def test_the_exceptions_to_the_rules_still_exist() -> None:
    starting = MAY_FORK | MAY_IMPORT_SUBPROCESS | MAY_START_IN_A_LOOP
    for name in MAY_EXIT | starting | MAY_READ_THE_ENVIRONMENT | MAY_IMPORT_CRYPTOGRAPHY:
        assert (AGENT / name).exists(), name


@pytest.mark.parametrize(
    "layer",
    ["model", "codec", "trust", "formats", "policies", "rules", "registry", "cluster", "wiring", "rego", "config"],
)
def test_core_opens_nothing_and_reads_no_clock(layer: str) -> None:
    for module in (AGENT / layer).rglob("*.py"):
        tree = ast.parse(module.read_text())
        used = set(dotted_names(tree))
        forbidden = {"datetime.now", "time.time", "time.monotonic", "os.open", "socket.socket", "pathlib.Path"}
        assert not used & forbidden, module
        called = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "open" not in called, module
