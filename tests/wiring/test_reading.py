"""What is read from files, names and command lines: hostile ones too."""

from collections.abc import Sequence

import pytest

from agent.errors import ConfigurationError, LimitExceeded, Malformed
from agent.wiring import edits, tables
from agent.wiring.bindir import Entry, Folder, Kind, Role, judge, ours
from agent.wiring.effective import LISTED_CONFIG_PATH, differences, effective, seconds
from agent.wiring.facts import Process, main_of_unit, os_release, unit_of
from agent.wiring.loading import MAX_FILES, MAX_IMPORTS, Files, load, matches
from agent.wiring.merging import from_dump, merge
from agent.wiring.version import parse
from tests.wiring.nodes import version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("containerd github.com/containerd/containerd/v2 2.1.9+unknown ", (2, 1, 9)),
        ("containerd github.com/containerd/containerd v1.7.24 abc", (1, 7, 24)),
        ("containerd github.com/k3s-io/containerd v2.3.4-k3s1.36 0123", (2, 3, 4)),
        ("v2.2", (2, 2, 0)),
        ("containerd", None),
        ("", None),
        ("9" * 5000, None),
    ],
)
def test_version_is_found_in_what_containerd_prints(text: str, expected: tuple[int, int, int] | None) -> None:
    found = parse(text)
    assert (found[:3] if found else None) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10s", 10), ("1m30s", 90), ("500ms", 0.5), ("1h", 3600), ("1.5s", 1.5), ("0", 0), ("-1s", -1),
        ("", None), ("10", None), ("s", None), ("10s!", None), ("1s 1s", None), (10, None), (True, None),
    ],
)  # fmt: skip
def test_durations_are_go_s(text: object, expected: float | None) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/a/*.toml", "/a/b.toml", True),
        ("/a/*.toml", "/a/.b.toml", True),
        ("/a/*.toml", "/a/b/c.toml", False),
        ("/a/?.toml", "/a/b.toml", True),
        ("/a/[bc].toml", "/a/c.toml", True),
        ("/a/[^bc].toml", "/a/c.toml", False),
        ("/a/[b-d].toml", "/a/c.toml", True),
        ("/a/\\*.toml", "/a/b.toml", False),
        ("/a/[", "/a/[", False),
        ("/a/\\", "/a/\\", False),
        ("/a/b.toml*", "/a/b.toml\n", True),
        ("/a/*b*c*.toml", "/a/bbxcc.toml", True),
        ("/a/*b*c*.toml", "/a/ccxbb.toml", False),
        ("/a/*b/c*", "/a/bb/cd", True),
        ("/a/*b/c*", "/a/bx/b/cd", False),
        ("/a/**", "/a/", True),
        ("/a/*.t*.toml", "/a/x.t.toml.toml", True),
        ("/" + "*a" * 40 + "*b", "/" + "a" * 200, False),  # each star tried with all others takes for ever
        ("/" + "*a" * 40 + "*", "/" + "a" * 200, True),
        ("*" * 5000, "a", False),
    ],
)
def test_patterns_are_go_s(pattern: str, path: str, expected: bool) -> None:
    assert matches(pattern, path) is expected


def test_bounds_of_configurations() -> None:
    with pytest.raises(Malformed, match="more than 1048576 bytes"):
        tables.decode(b"#" * (tables.MAX_SIZE + 1), "x")
    for text in (b"a = " + b"[" * 100_000, b"[" + b".".join([b"a"] * 5000) + b"]", b"\xff", b"a = \x00"):
        with pytest.raises(Malformed, match=r"x: got "):
            tables.decode(text, "x")
    with pytest.raises(Malformed, match="got TOML of 30001 values; expected at most 30000"):
        tables.decode(b"[" * (tables.MAX_VALUES + 1), "x")
    many = {f"/{i}.toml": f"imports = ['/{i + 1}.toml']".encode() for i in range(MAX_FILES + 5)}
    loaded = load("/0.toml", Files(many))
    assert len(loaded.files) == MAX_FILES
    assert "more than 256 files" in loaded.problems[0]
    for content in (b"#" * (tables.MAX_SIZE - 100), b"#" + b"=" * (tables.MAX_VALUES // 2 - 100)):
        many = {f"/{i}.toml": content for i in range(5)} | {"/m": b"imports = ['/*.toml']"}
        loaded = load("/m", Files(many))
        assert len(loaded.files) == 3
        assert "with its imports" in loaded.problems[0]


def test_imports_have_a_bound_whatever_they_match() -> None:
    listed: list[str] = []

    class Counted(Files):
        def glob(self, pattern: str) -> Sequence[str]:
            listed.append(pattern)
            return [f"/{i}.toml" for i in range(200)] * 5

    patterns = ", ".join(f"'/{i}/*'" for i in range(MAX_IMPORTS))
    files = {"/m": f"imports = [{patterns}]".encode(), **{f"/{i}.toml": b"" for i in range(200)}}
    loaded = load("/m", Counted(files))
    assert (len(listed), len(loaded.files), loaded.problems) == (MAX_IMPORTS, 201, ())
    files["/m"] = f"imports = [{patterns}, '/x']".encode()
    loaded = load("/m", Counted(files))
    assert loaded.problems == (f"/m: got more than {MAX_IMPORTS} imports; expected fewer",)
    assert len(listed) == MAX_IMPORTS


DEEP = ".".join(["a"] * 40)


@pytest.mark.parametrize(
    "text",
    [
        f"{DEEP} = 1",
        f"[{DEEP}]",
        f"x = {{ {DEEP} = 1 }}",
        f"x = [1.5, {{ b = 1, {DEEP} = 1 }}]",
        # a string that ends hides nothing behind it
        f"x = {{ b = '#\"', {DEEP} = 1 }}",
        f'x = {{ b = "\\"#", {DEEP} = 1 }}',
        f'x = {{ b = """\n"a" \\""" " #""", {DEEP} = 1 }}',
        f'x = {{ b = """a""""", {DEEP} = 1 }}',
        f"x = {{ b = '''\n'a' #''', {DEEP} = 1 }}",
        '"=".' * 40 + "a.a = 1",
    ],
)
def test_keys_have_a_bound_before_they_are_read(text: str) -> None:
    with pytest.raises(LimitExceeded, match="x: got a key of more than 32 parts"):
        tables.decode(text.encode(), "x")
    assert tables.decode(text.replace(DEEP, "a.a").replace('"=".' * 40, "").encode(), "x")


@pytest.mark.parametrize(
    "text",
    [
        f"x = '{DEEP}'",
        f'x = "{DEEP}"',
        f'x = """\n{DEEP}\n"""',
        f"x = 1 # {DEEP}",
        f"# {'.' * 80}\nx = 1",
        f"x = [{'1.5, ' * 50}]",
        "x = ['" + ".toml', '".join("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz") + "']",
    ],
)
def test_dots_that_are_in_no_key_are_any_number(text: str) -> None:
    assert tables.decode(text.encode(), "x").keys() == {"x"}


@pytest.mark.parametrize("text", [f"x = 0x{'f' * 6000}", "x = [{ a = 9223372036854775808 }]", f"x = -{2**63 + 1}"])
def test_numbers_of_more_than_64_bits_are_no_toml(text: str) -> None:
    with pytest.raises(Malformed, match="x: got a number of more than 64 bits; expected TOML"):
        tables.decode(text.encode(), "x")
    assert tables.decode(b"x = 0x7fffffffffffffff\ny = -9223372036854775808", "x")["x"] == 2**63 - 1


def test_values_of_unexpected_types_are_no_crash() -> None:
    text = (
        b"version = 'x'\nimports = 7\ndisabled_plugins = 'x'\nplugins = 7\n",
        b"version = true\nimports = [1, '/x']\n[plugins]\n'io.containerd.grpc.v1.cri' = 3\n"
        b"'io.containerd.cri.v1.images' = 3\n'io.containerd.image-verifier.v1.bindir' = []\n",
        b"version = 2\n[plugins.'io.containerd.grpc.v1.cri']\ncontainerd = 3\ncni = 4\nregistry = 5\n"
        b"[plugins.'io.containerd.cri.v1.runtime']\ncni = 1\ncontainerd = 2\n",
        b"[[plugins]]\n",
    )
    for content in text:
        for of in ("2.1.9", "2.3.4"):
            merged = merge(load("/c", Files({"/c": content, "/x": b""})), version(of))
            found = effective(version(of), merged)
            assert found.max_verifiers.value == 10
            assert not found.verifier_disabled


def test_config_path_is_a_list_by_default_from_2_2_on() -> None:
    empty = load("/c", Files({}))
    values = [effective(version(of), merge(empty, version(of))).config_path.value for of in ("2.1.9", "2.2.0")]
    assert values == ["", LISTED_CONFIG_PATH]


def test_dump_without_the_image_plugin_is_no_dump() -> None:
    for content in (b"", b"version = 3\n[plugins]\n", b"nonsense"):
        with pytest.raises(Malformed):
            from_dump(content, version("2.1.9"))


def test_what_the_dump_says_counts_and_files_say_where() -> None:
    files = b"version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = '/a'\nmax_verifiers = 4\n"
    dump = (
        b"version = 3\n[plugins.'io.containerd.cri.v1.images']\n[plugins.'io.containerd.image-verifier.v1.bindir']\n"
        b"bin_dir = '/a'\nmax_verifiers = 5\n"
    )
    written = merge(load("/c", Files({"/c": files})), version("2.1.9"))
    found = effective(version("2.1.9"), written, from_dump(dump, version("2.1.9")))
    assert found.bin_dir.where == "/c: plugins.'io.containerd.image-verifier.v1.bindir'.bin_dir"
    assert (found.max_verifiers.value, found.max_verifiers.file) == (5, "")


def test_entries_are_judged_in_containerd_s_order() -> None:
    ours_ = Entry("00-nodeseal", Kind.FILE, "/opt/nodeseal/1.0/nodeseal", link=True)
    entries = (
        Entry("zz", Kind.FILE, "/b/zz"),
        Entry("10-other", Kind.FILE, "/b/10-other"),
        Entry("dir", Kind.FOLDER, "/b/dir"),
        Entry("note", Kind.FILE, "/b/note", executable=False),
        Entry(".00-nodeseal.swp", Kind.FILE, "/b/x"),
        Entry("gone", Kind.NOTHING, "/nowhere", link=True),
        Entry("pipe", Kind.OTHER, "/b/pipe"),
        Entry("a~", Kind.FILE, "/b/a~"),
        ours_,
    )
    judged = judge(Folder("/b", Kind.FOLDER, entries), 3)
    assert [(each.entry.name, each.role) for each in judged] == [
        (".00-nodeseal.swp", Role.STRAY),
        ("00-nodeseal", Role.OURS),
        ("10-other", Role.FOREIGN),
        ("a~", Role.STRAY),
        ("dir", Role.STRAY),
        ("gone", Role.STRAY),
        ("note", Role.STRAY),
        ("pipe", Role.STRAY),
        ("zz", Role.FOREIGN),
    ]
    assert [each.skipped for each in judged] == [False] * 3 + [True] * 6
    own = ours(judged)
    assert own is not None
    assert own.position == 2
    assert not any(each.skipped for each in judge(Folder("/b", Kind.FOLDER, entries), -1))


def test_command_line_of_containerd() -> None:
    for words in (("-c", "/x"), ("--config", "/x"), ("--config=/x",), ("-c=/x",)):
        assert Process(1, "/usr/bin/containerd", ("containerd", *words)).option("-c", "--config") == "/x"
    assert Process(1, "", ("containerd", "-c")).option("-c", "--config") == ""
    assert Process(1, "", ()).option("-c") == ""


def test_unit_is_the_service_of_the_control_group() -> None:
    assert unit_of(b"0::/system.slice/containerd.service\n") == "containerd.service"
    assert unit_of(b"4:cpu:/\n1:name=systemd:/system.slice/k3s-agent.service/x\n") == "k3s-agent.service"
    assert unit_of(b"0::/user.slice\n") == unit_of(b"") == unit_of(b"\xff") == ""


def test_values_that_are_credentials_are_not_shown() -> None:
    for name in ("registry.configs.'r'.auth", "registry.auths.'r'"):
        written = [
            merge(load("/c", Files({"/c": f"[plugins.x.{name}]\npassword = '{each}'\n".encode()})), version("2.1.9"))
            for each in ("one-secret", "other-secret")
        ]
        (difference,) = differences(*written)
        assert "secret" not in str(difference)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((), ""),
        (("ExecStart=/usr/bin/containerd\n",), ""),
        (("ExecStart=/usr/bin/containerd -c /a.toml --log-level info\n",), "/a.toml"),
        (("[Service]\nEnvironment=A=1 C=/a.toml\nExecStart=/usr/bin/containerd --config ${NONE}${C}\n",), "/a.toml"),
        (("Environment=C=/a.toml\nExecStart=/x --config=${C}\n", 'Environment="C=/b.toml"\n'), "/b.toml"),
        (("Environment=C=/a.toml\nExecStart=/x --config ${C}\n", "ExecStart=\nExecStart=/usr/bin/containerd\n"), ""),
        (("ExecStart=/x --config relative.toml\n",), ""),
        (("ExecStart=/x --config\n", "\xff\0=\n=\n"), ""),
    ],
)
def test_unit_says_which_configuration_its_command_reads(texts: tuple[str, ...], expected: str) -> None:
    assert main_of_unit(text.encode("latin-1") for text in texts) == expected


def test_os_release_is_words() -> None:
    assert os_release(b'ID=debian\n# x=y\nNAME="A B"\nnonsense\n=\n\xff=1\n')["NAME"] == "A B"
    assert os_release(b"\x00" * 100_000) == {}


PATTERN = "/etc/containerd/conf.d/zzz-nodeseal*.toml"


@pytest.mark.parametrize(
    "text",
    [
        "version = 2\n",
        "version = 2",
        "",
        "# comment\n\nversion = 2 # because\n[a]\nb = 1\n",
        "[a]\nb = 1 # kept\n",
        "imports = []\nversion = 2\n",
        "imports = [\n  '/a', # first\n  \"/b\"\n]\n[a]\n",
        "version = 2\nimports = ['/a']\n",
        "root = \"x\"\n\n\n  version   =   3\n[plugins]\n  [plugins.'a.b']\n    c = '''\nimports = [1]\n'''\n",
    ],
)
def test_import_is_added_and_taken_back(text: str) -> None:
    edited = edits.with_import(text.encode(), PATTERN, "/c")
    before, after = tables.decode(text.encode(), "/c"), tables.decode(edited, "/c")
    had = before.get("imports", [])
    assert isinstance(had, list)
    assert after == {**before, "imports": [*had, PATTERN]}
    assert edits.with_import(edited, PATTERN, "/c") == edited
    back = tables.decode(edits.without_import(edited, PATTERN, "/c"), "/c")
    assert back == {key: value for key, value in before.items() if key != "imports" or value}
    for line in text.splitlines():
        if "#" in line:
            assert line.partition("#")[2] in edited.decode()


def test_file_that_cannot_be_edited_is_refused() -> None:
    for text in (b"nonsense", b"imports = 'a'\n", b"\xff"):
        with pytest.raises(ConfigurationError, match="/c: got "):
            edits.with_import(text, PATTERN, "/c")
    assert edits.without_import(b"version = 2\n", PATTERN, "/c") == b"version = 2\n"


def test_own_file_says_whose_it_is_and_quotes_what_must_be() -> None:
    content = edits.own_file(
        3,
        {
            ("plugins", "io.containerd.cri.v1.images", "discard_unpacked_layers"): False,
            ("plugins", "io.containerd.image-verifier.v1.bindir", "bin_dir"): '/it\'s \\ "here"\n',
            ("plugins", "io.containerd.image-verifier.v1.bindir", "max_verifiers"): 10,
        },
    )
    assert content.startswith(b"# Written by nodeseal install")
    assert tables.decode(content, "x") == {
        "version": 3,
        "plugins": {
            "io.containerd.cri.v1.images": {"discard_unpacked_layers": False},
            "io.containerd.image-verifier.v1.bindir": {"bin_dir": '/it\'s \\ "here"\n', "max_verifiers": 10},
        },
    }
