"""`paths.json`: the root that it says is the same to the fast and to the cold path, and none but root's own counts."""

import json
import os
import pathlib

import pytest

from agent import cli, fastpath
from agent.errors import HostError
from agent.modes import place
from agent.wiring import paths
from tests.modes.hosts import VERIFIERS, make_host

FILE = "paths.json"


@pytest.fixture
def program(tmp_path: pathlib.Path) -> pathlib.Path:
    """A program under a root of its own, and another root beside it."""
    folder = tmp_path / "var/opt/nodeseal/1.0"
    (folder / "_internal").mkdir(parents=True)
    (folder / "nodeseal").write_bytes(b"\x7fELF")
    (tmp_path / "other").mkdir()
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)
    return folder / "nodeseal"


def say(program: pathlib.Path, content: bytes) -> pathlib.Path:
    """Write the file beside a program."""
    path = program.parent / FILE
    path.write_bytes(content)
    path.chmod(0o644)
    return path


def test_root_that_it_says_is_taken_by_both(program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert (place.root_of(str(program)), fastpath._root(str(program))) == (f"{tmp_path}/var",) * 2
    say(program, paths.encode(f"{tmp_path}/other"))
    assert (place.root_of(str(program)), fastpath._root(str(program))) == (f"{tmp_path}/other",) * 2
    say(program, paths.encode("/"))
    assert (place.root_of(str(program)), fastpath._root(str(program))) == ("/", "")


FORMS = [
    '{{"root":"{0}", "schemaVersion": "1"}}',
    '{{"schemaVersion":"1","root":"{0}"}}\n',
    ' {{"schemaVersion": "1", "root": "{0}"}}',
]


@pytest.mark.parametrize("form", FORMS)
def test_form_that_no_installation_writes_is_left_to_the_program(
    program: pathlib.Path, tmp_path: pathlib.Path, form: str
) -> None:
    say(program, form.format(f"{tmp_path}/other").encode())
    assert place.root_of(str(program)) == f"{tmp_path}/other"
    with pytest.raises(ValueError, match="schemaVersion"):
        fastpath._root(str(program))


HOSTILE = {
    "empty": b"",
    "no JSON": b"/other\n",
    "a list": b'["/"]',
    "another version": b'{"schemaVersion": "2", "root": "/"}\n',
    "no version": b'{"root": "/"}\n',
    "another key": b'{"schemaVersion": "1", "root": "/", "state": "/x"}\n',
    "twice": b'{"schemaVersion": "1", "root": "/", "root": "/"}\n',
    "a number": b'{"schemaVersion": "1", "root": 1}\n',
    "relative": b'{"schemaVersion": "1", "root": "other"}\n',
    "no path": b'{"schemaVersion": "1", "root": ""}\n',
    "two slashes": b'{"schemaVersion": "1", "root": "//"}\n',
    "two slashes within": b'{"schemaVersion": "1", "root": "/usr//lib"}\n',
    "a slash at the end": b'{"schemaVersion": "1", "root": "/usr/"}\n',
    "a step back": b'{"schemaVersion": "1", "root": "/usr/.."}\n',
    "a dot": b'{"schemaVersion": "1", "root": "/./usr"}\n',
    "a zero": b'{"schemaVersion": "1", "root": "/usr\\u0000"}\n',
    "a newline": b'{"schemaVersion": "1", "root": "/usr\\n"}\n',
    "something behind": b'{"schemaVersion": "1", "root": "/"}\n{}',
    "another encoding": '{"schemaVersion": "1", "root": "/"}\n'.encode("utf-16"),
    "not there": b'{"schemaVersion": "1", "root": "/not/there"}\n',
    "a file": b'{"schemaVersion": "1", "root": "/etc/passwd"}\n',
    "others' folder": b'{"schemaVersion": "1", "root": "/tmp"}\n',
    "too much": b'{"schemaVersion": "1", "root": "/' + b"a" * 5000 + b'"}\n',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_content_that_is_otherwise_is_refused_and_no_other_root_is_taken(program: pathlib.Path, name: str) -> None:
    path = say(program, HOSTILE[name])
    with pytest.raises(HostError) as raised:
        place.root_of(str(program))
    assert str(path) in raised.value.message
    assert raised.value.hint
    assert raised.value.message.isprintable()
    with pytest.raises((OSError, ValueError)):
        fastpath._root(str(program))


@pytest.mark.parametrize("what", ["group", "others", "link", "folder", "pipe", "owner", "unreadable root"])
def test_file_that_others_could_have_written_is_refused(
    program: pathlib.Path, tmp_path: pathlib.Path, what: str
) -> None:
    path = say(program, paths.encode(f"{tmp_path}/other"))
    if what == "owner":
        if os.geteuid() != 0:
            pytest.skip("not root: a file can't be given away")
        os.chown(path, 12345, 0)
    elif what in ("group", "others"):
        path.chmod(0o664 if what == "group" else 0o646)
    elif what == "unreadable root":
        (tmp_path / "other").chmod(0o777)
    else:
        path.unlink()
        if what == "link":
            (tmp_path / "real.json").write_bytes(paths.encode("/"))
            path.symlink_to(tmp_path / "real.json")
        elif what == "folder":
            path.mkdir()
        else:
            os.mkfifo(path)
    with pytest.raises(HostError):
        place.root_of(str(program))
    with pytest.raises((OSError, ValueError)):
        fastpath._root(str(program))


def test_root_behind_a_link_is_refused(program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "link").symlink_to("other")
    say(program, paths.encode(f"{tmp_path}/link"))
    with pytest.raises(HostError, match="is no folder, or a link"):
        place.root_of(str(program))
    with pytest.raises(PermissionError):
        fastpath._root(str(program))


def test_form_of_the_fast_path_is_what_an_installation_writes() -> None:
    head, tail = fastpath.PATHS_FORM
    assert paths.encode("/srv/x") == head + b"/srv/x" + tail
    assert f"/{paths.NAME}" == fastpath.PATHS
    assert paths.MAX_SIZE == fastpath._PATHS_SIZE
    assert paths.NAME == place.PATHS


def test_people_who_name_no_root_mean_that_one(
    program: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.frozen", True, raising=False)
    monkeypatch.setattr(place, "running_program", lambda: str(program))
    (tmp_path / "other/etc/nodeseal").mkdir(parents=True, mode=0o700)
    document = {"apiVersion": "nodeseal.dev/v1alpha1", "node": {"name": "of-the-other-root"}}
    (tmp_path / "other/etc/nodeseal/bootstrap.json").write_text(json.dumps(document))
    say(program, paths.encode(f"{tmp_path}/other"))

    def status(*words: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", "status", *words])
        return (ended.value.code, *capsys.readouterr())

    assert "node           of-the-other-root\n" in status()[1]
    assert "of-the-other-root" not in status("--root", f"{tmp_path}/var")[1]
    say(program, b"{}")
    code, out, err = status()
    assert (code, out) == (5, "")
    assert "paths.json: got something else" in err
    assert "of-the-other-root" in status("--root", f"{tmp_path}/other")[1]


def test_program_that_its_place_would_mislead_gets_one_and_loses_it_again(tmp_path: pathlib.Path) -> None:
    host = make_host(tmp_path)
    (host.root / "var/opt").mkdir()
    (host.root / "opt").rmdir() if (host.root / "opt").exists() else None
    (host.root / "opt").symlink_to("var/opt")  # as hosts of ostree have it
    before = host.tree()
    assert host.install().installed
    placed = host.root / "var/opt/nodeseal/0.1.0"
    assert (placed / FILE).read_bytes() == paths.encode("/")
    assert (placed / FILE).stat().st_mode & 0o777 == 0o644
    assert place.root_of(str(placed / "nodeseal")) == "/"
    assert len(host.install().steps) == 1, "it is placed already"
    assert host.uninstall().left == ()
    assert host.tree() == before


def test_programs_are_placed_where_they_may_run(tmp_path: pathlib.Path) -> None:
    host, folder = make_host(tmp_path), "/srv/programs/nodeseal"
    before = host.tree()
    assert host.install(programs=folder).installed
    entry = host.root / VERIFIERS / "00-nodeseal"
    assert str(entry.readlink()) == f"{folder}/current/nodeseal"
    assert not (host.root / "opt/nodeseal").exists()
    assert not (host.root / folder[1:] / "0.1.0" / FILE).exists(), "elsewhere the root is / without"
    assert len(host.install(programs=folder).steps) == 1
    assert host.uninstall().left == ()
    assert host.tree() == before
