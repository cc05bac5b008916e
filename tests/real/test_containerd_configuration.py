"""Our merge of containerd's configuration files, against what the real containerd says of the same files."""

import pathlib
import random
import shutil

import pytest

from agent.wiring import tables, triggers
from agent.wiring.effective import differences
from agent.wiring.facts import MAIN, Facts
from agent.wiring.loading import Files, load
from agent.wiring.merging import Merged, from_dump, merge
from agent.wiring.planning import Changes, Options, node, plan, resulting, unexpected
from agent.wiring.version import Version, parse
from tests.commands import Done, run
from tests.testbed.tools import Tools
from tests.wiring.nodes import SAMPLES, Sample, facts, files_of, simple
from tests.wiring.test_declared import APPLIED, applied
from tests.wiring.test_planning import IN_V2, IN_V3

pytestmark = pytest.mark.real


class Asked:
    """The real containerd, asked about configurations in a folder."""

    def __init__(self, tools: Tools, folder: pathlib.Path) -> None:
        """Learn its version and its defaults."""
        self.program, self.folder = tools.program("containerd"), folder
        version = parse(run([self.program, "--version"]).out)
        assert version is not None
        self.version: Version = version
        self.defaults = self.dump("empty.toml", {"/empty.toml": b""})

    def raw(self, main: str, files: dict[str, bytes]) -> Done:
        """What `config dump` says of files with absolute paths; they are put below the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for path, content in self.moved(files).items():
            pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
            pathlib.Path(path).write_bytes(content)
        return run([self.program, "--config", f"{self.folder}/{main.lstrip('/')}", "config", "dump"])

    def dump(self, main: str, files: dict[str, bytes]) -> Merged:
        """The same, understood."""
        done = self.raw(main, files)
        assert done.code == 0, done.err[-400:]
        return from_dump(done.stdout, self.version)

    def moved(self, files: dict[str, bytes]) -> dict[str, bytes]:
        """The files as they lie below the folder, their imports too."""
        moved = {}
        for path, content in files.items():
            for quote in (b'"', b"'"):
                for part in (b"etc", b"run", b"usr", b"var"):
                    content = content.replace(quote + b"/" + part, quote + f"{self.folder}/".encode() + part)
            moved[f"{self.folder}{path}"] = content
        return moved

    def ours(self, main: str, files: dict[str, bytes]) -> Merged:
        """What we make of them."""
        return merge(load(f"{self.folder}{main}", Files(self.moved(files))), self.version)


@pytest.fixture(scope="module")
def asked(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """One for all; its folder is emptied for each question."""
    return Asked(tools, tmp_path_factory.mktemp("asked") / "root")


def unlike(asked: Asked, main: str, files: dict[str, bytes]) -> list[str]:
    """Where we and the real one differ: in what we know of, and in what differs from its defaults and we don't know."""
    real, ours = asked.dump(main, files), asked.ours(main, files)
    assert ours.problems == ()
    known = Merged(asked.version.newest_configuration, copy(asked.defaults.top), copy(asked.defaults.plugins))
    tables.overlay(known.plugins, ours.plugins)
    for name, each in ours.top.items():
        if isinstance(each, dict):
            tables.overlay(known.top, {name: each})
        else:
            known.top[name] = each
    found = [each for each in differences(known, real) if not ignored(real, each.key)]
    filled_in = [each for each in found if each.before is None and each.after in ("", 0, False, [], "podsandbox")]
    return [str(each) for each in found if each not in filled_in]


def ignored(real: Merged, key: tables.Path) -> bool:
    """What the real one doesn't know, and drops; and what is none of a configuration's settings."""
    plugin_known = key[0] == "plugins" and key[1] in real.plugins
    unknown = key[0] == "plugins" and (not plugin_known or tables.find(real.plugins, *key[1:]) is None)
    return unknown or key[0] == "imports"


def copy(tree: tables.Tree) -> tables.Tree:
    made = tables.copied(tree)
    assert isinstance(made, dict)
    return made


@pytest.mark.parametrize("sample", [each for each in SAMPLES if files_of(each.folder)], ids=str)
def test_each_distributions_configuration_is_merged_as_containerd_does(asked: Asked, sample: Sample) -> None:
    files = files_of(sample.folder)
    if b"version = 4" in files[sample.main]:
        files = {path: content.replace(b"version = 4", b"version = 3") for path, content in files.items()}
    files = {path: content for path, content in files.items() if "template" not in path}
    assert unlike(asked, sample.main, files) == []


VERIFIER = "[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = '/q'\n"
V2 = '[plugins."io.containerd.grpc.v1.cri"'
V3 = '[plugins."io.containerd.cri.v1.images"'
RUNTIME = f"{V2}.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\n"
OLD = f"{V2}]\nmax_concurrent_downloads = 7\nsandbox_image = 'q'\n{V2}.containerd]\nsnapshotter = 'native'\n"


@pytest.mark.parametrize(
    "texts",
    [
        (f"version = 2\n{OLD}{RUNTIME}", f"version = 3\n{VERIFIER}"),
        (f"version = 2\n{OLD}{RUNTIME}", f"version = 2\n{VERIFIER}"),
        (f"version = 2\n{OLD}{RUNTIME}", VERIFIER),
        (f"version = 2\n{OLD}{RUNTIME}", f"version = 3\n{VERIFIER}", "version = 2\n"),
        (f"{OLD}{RUNTIME}", f"version = 2\n{VERIFIER}"),
        (f"{OLD}{RUNTIME}", VERIFIER),
        (f"version = 2\n{OLD}", ""),
        (f"version = 2\n{V2}]\nmax_concurrent_downloads = 7\n{V2}.registry]\nconfig_path = '/z'\n", ""),
        ("version = 3\n", f"version = 2\n{OLD}{RUNTIME}"),
        (f"version = 2\n{OLD}{RUNTIME}", f"version = 2\n{V3}]\nmax_concurrent_downloads = 9\nsnapshotter = 'zfs'\n"),
        (
            f"version = 2\n{V2}.registry]\nconfig_path = '/z'\n{RUNTIME}",
            f"version = 2\n{V3}.registry.mirrors.x]\nendpoint = ['q']\n",
        ),
        (
            f"version = 3\nroot = '/r'\noom_score = 5\ndisabled_plugins = ['a.b']\n{V3}]\nsnapshotter = 'native'\n"
            f"max_concurrent_downloads = 7\n{V3}.registry]\nconfig_path = '/x'\n",
            f"version = 3\nroot = ''\noom_score = 0\ndisabled_plugins = ['c.d']\n{V3}]\nsnapshotter = ''\n"
            f"max_concurrent_downloads = 0\n{V3}.registry]\nconfig_path = ''\n",
        ),
        (
            f"version = 3\n{V3}.registry.mirrors.'docker.io']\nendpoint = ['a', 'b']\n",
            f"version = 3\n{V3}.registry.mirrors.'docker.io']\nendpoint = ['c']\n{V3}.registry.mirrors.x]\n"
            "endpoint = []\n",
        ),
        (f"version = 3\n{V3}.registry.mirrors.x]\nendpoint = ['a']\n", f"{V3}.registry]\nmirrors = {{}}\n"),
        ("[timeouts]\nx = '1s'\n[debug]\nlevel = 'debug'\n", "[timeouts]\ny = '2s'\n[debug]\nlevel = ''\n"),
        (f"version = 2\n{V2}.cni]\nbin_dir = '/b'\nconf_dir = '/c'\n{RUNTIME}sandbox_mode = 'shim'\n", ""),
        (
            f"version = 2\n{V2}]\nsandbox_image = 'q'\nuse_local_image_pull = true\n",
            f"{V3}.pinned_images]\nother = 'z'\nsandbox = 'y'\n",
        ),
        ("version = 1\n[plugins.cri]\nmax_concurrent_downloads = 7\n", VERIFIER),
        (f"version = 2\n{V2}.containerd.runtimes.k]\nruntime_type = 'x'\nsnapshotter = 'native'\n", ""),
    ],
)  # fmt: skip
def test_files_of_several_versions_are_merged_as_containerd_does(asked: Asked, texts: tuple[str, ...]) -> None:
    files = {f"/etc/d/{i}.toml": text.encode() for i, text in enumerate(texts[1:])}
    files["/etc/c.toml"] = b"imports = ['/etc/d/*.toml']\n" + texts[0].encode()
    assert unlike(asked, "/etc/c.toml", files) == []


def test_imports_of_imports_come_in_containerds_order(asked: Asked) -> None:
    def drop_in(name: str, imports: str = "") -> bytes:
        return (
            f"{imports}version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = '{name}'\n".encode()
        )

    files = {
        "/etc/c.toml": drop_in("main", "imports = ['sub/b.toml', '/etc/sub/[ac]*.toml', 'nothing/*.toml']\n"),
        "/etc/sub/a.toml": drop_in("a", "imports = ['deep.toml', '../c.toml']\n"),
        "/etc/sub/b.toml": drop_in("b", "imports = ['z?.toml*']\n"),
        "/etc/sub/c.toml": drop_in("c"),
        "/etc/sub/deep.toml": drop_in("deep"),
        "/etc/sub/zz.toml": drop_in("zz"),
    }
    for _ in range(2):
        assert unlike(asked, "/etc/c.toml", files) == []
        files["/etc/sub/b.toml"] = drop_in("b")


@pytest.mark.parametrize(
    "text",
    ["version = 4\n", "version = 3\nnonsense\n", "imports = ['/etc/missing.toml']\nversion = 3\n[a]\n[a]\n"],
)
def test_what_keeps_containerd_from_starting_is_a_problem(asked: Asked, text: str) -> None:
    files = {"/etc/c.toml": text.encode()}
    assert asked.raw("/etc/c.toml", files).code != 0
    assert asked.ours("/etc/c.toml", files).problems


def test_import_that_is_missing_is_a_problem_though_the_dump_hides_it(asked: Asked) -> None:
    files = {"/etc/c.toml": b"imports = ['/etc/missing.toml']\nversion = 3\n"}
    assert asked.raw("/etc/c.toml", files).code == 0
    assert asked.ours("/etc/c.toml", files).problems


def _random_file(chance: random.Random) -> str:
    version = chance.choice(("", "version = 2\n", "version = 2\n", "version = 3\n"))
    text = version
    if chance.random() < 0.6:
        text += f"{V2}]\nmax_concurrent_downloads = {chance.randint(1, 5)}\n"
        if chance.random() < 0.5:
            text += f"{V2}.containerd]\ndiscard_unpacked_layers = {chance.choice(('true', 'false'))}\n"
        if chance.random() < 0.5:
            text += RUNTIME
        if chance.random() < 0.3:
            text += f"{V2}.registry.mirrors.m{chance.randint(1, 2)}]\nendpoint = ['e{chance.randint(1, 3)}']\n"
    if chance.random() < 0.6:
        text += f"{V3}]\nmax_concurrent_downloads = {chance.randint(1, 5)}\n"
        text += f"image_pull_with_sync_fs = {chance.choice(('true', 'false'))}\n"
        if chance.random() < 0.4:
            text += f"{V3}.registry.configs.c{chance.randint(1, 2)}.tls]\ninsecure_skip_verify = true\n"
    if chance.random() < 0.3:
        text += f"[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = {chance.randint(-1, 3)}\n"
    return text


@pytest.mark.parametrize("seed", range(30))
def test_random_files_are_merged_as_containerd_does(asked: Asked, seed: int) -> None:
    chance = random.Random(seed)
    files = {f"/etc/d/{i}.toml": _random_file(chance).encode() for i in range(chance.randint(0, 3))}
    files["/etc/c.toml"] = b"imports = ['/etc/d/*.toml']\n" + _random_file(chance).encode()
    assert unlike(asked, "/etc/c.toml", files) == []


def asked_about(asked: Asked, main: str, files: dict[str, bytes], given: Facts) -> Facts:
    """The same node with its files below the folder, and with what the real containerd says of them."""
    dump = asked.raw(main, files)
    assert dump.code == 0, dump.err[-400:]
    return given._replace(
        version=asked.version, main=f"{asked.folder}{main}", files=asked.moved(files), dump=dump.stdout
    )


def plan_holds(asked: Asked, given: Facts, options: Options) -> None:
    """What the real containerd makes of a plan's files is what the plan says, and nothing else."""
    made = plan(given, options)
    for path, content in resulting(given, made).items():
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(path).write_bytes(content)
    done = run([asked.program, "--config", given.main, "config", "dump"])
    assert done.code == 0, done.err[-400:]
    assert unexpected(given, made, from_dump(done.stdout, asked.version)) == ()


@pytest.mark.parametrize("changed", [Options(Changes.PULL_PATH), Options(Changes.PULL_PATH, bin_dir="/srv/v")], ids=str)
@pytest.mark.parametrize("sample", [each for each in SAMPLES if files_of(each.folder)], ids=str)
def test_plan_for_each_distribution_holds_on_the_real_one(asked: Asked, sample: Sample, changed: Options) -> None:
    files = {path: content for path, content in files_of(sample.folder).items() if "template" not in path}
    files = {path: content.replace(b"version = 4", b"version = 3") for path, content in files.items()}
    plan_holds(asked, asked_about(asked, sample.main, files, facts(sample)), changed)


@pytest.mark.parametrize("name", APPLIED)
def test_form_of_each_distribution_is_in_force_on_the_real_one(asked: Asked, name: str) -> None:
    given = applied(name)
    files = {path: content.replace(b"version = 4", b"version = 3") for path, content in given.files.items()}
    assert unlike(asked, given.main, files) == []
    found = node(asked_about(asked, given.main, files, given)).effective
    assert found.dumped
    assert triggers.find(found) == ()


@pytest.mark.parametrize("trigger", IN_V3)
def test_plan_for_each_trigger_holds_on_the_real_one(asked: Asked, trigger: str) -> None:
    texts = [f"version = 3\n{IN_V3[trigger]}", f"version = 2\n{IN_V3[trigger]}"]
    texts += [f"version = 2\n{IN_V2[trigger]}{RUNTIME}"] if trigger in IN_V2 else []
    for text in texts:
        given = asked_about(asked, MAIN, {MAIN: text.encode()}, simple(text))
        (found,) = triggers.find(node(given).effective)
        assert found.trigger.name == trigger
        assert found.where[0].file == f"{asked.folder}{MAIN}"
        plan_holds(asked, given, Options(Changes.PULL_PATH))
