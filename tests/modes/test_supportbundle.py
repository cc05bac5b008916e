"""`nodeseal support-bundle`: what is in it, what never is, and what happens when a part fails."""

import io
import json
import os
import stat
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from agent import cli
from agent.adapters import nodefiles
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.spool import FOLDER, Spool
from agent.config.bootstrap import FOUND_VERSION
from agent.errors import Malformed
from agent.model.record import Record
from agent.modes import supportbundle
from agent.modes.supportparts import PARTS, RECORDS, Asked, Part
from tests.modes.test_doctor import write_program
from tests.modes.test_node import CONFIG, RULES, write_bootstrap
from tests.modes.test_status import DENIED, NOW, tell
from tests.wiring.test_planning import V3

SECRETS = {
    "docker": "plantedDockerWord",
    "token": "plantedRegistryToken",
    "environment": "plantedEnvironmentWord",
    "name": "plantedNameWord",
    "kubeconfig": "plantedKubeconfigWord",
    "bootstrap": "plantedBootstrapWord",
    "log": "plantedLogWord",
    "containerd": "plantedContainerdWord",
    "proxy": "plantedProxyWord",
    "header": "plantedHeaderWord",
    "runc": "plantedHandlerWord",
}


@pytest.fixture
def bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command under an empty root; returns what it printed, and the files in what it wrote."""

    def run(*words: str) -> tuple[str, dict[str, str]]:
        output = tmp_path / "bundle.tar.gz"
        output.unlink(missing_ok=True)
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", "support-bundle", "--root", str(tmp_path / "root"), "--output", str(output), *words])
        assert ended.value.code == 0
        return capsys.readouterr().out, unpacked(output.read_bytes())

    (tmp_path / "root").mkdir()
    return run


def unpacked(content: bytes) -> dict[str, str]:
    """The files of an archive, by name without folder."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {
            each.name.split("/", 1)[1]: archive.extractfile(each).read().decode("ascii")  # type: ignore[union-attr]
            for each in archive
        }


def plant(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a secret wherever there may be one."""
    (root / "etc/nodeseal").mkdir(parents=True)
    docker = {"auths": {"r.example": {"username": "u", "password": SECRETS["docker"]}}}
    (root / "etc/nodeseal/docker-config.json").write_text(json.dumps(docker))
    (root / "etc/nodeseal/kubeconfig").write_text(f"users: [{{user: {{token: {SECRETS['kubeconfig']}}}}}]")
    tokens = root / "run/nodeseal/secrets/tokens"
    tokens.mkdir(parents=True)
    (tokens / "abc").write_text(SECRETS["token"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS["environment"])
    monkeypatch.setenv("HTTPS_PROXY", f"http://u:{SECRETS['environment']}@proxy.example:3128")
    name = f"https://u:{SECRETS['name']}@r.example/x:1\x1b[2J"
    Spool(str(root)).append(
        Record.of(DENIED, now=NOW, door="plugin", image=f"u:{SECRETS['name']}@r.example/x", name=name)
    )
    (root / FOLDER / "daemon.log").write_text(f"\x1b]0;x\x07 Authorization: Bearer {SECRETS['log']}\nusual line\n")
    SnapshotStore(str(root)).publish(CONFIG._replace(ruleset=RULES))
    write_program(root, "v2.1.9")
    auth = f"{V3}.registry.configs.'r.example.com'.auth]\nusername = 'u'\npassword = '{SECRETS['containerd']}'\n"
    (root / "etc/containerd").mkdir(parents=True)
    (root / "etc/containerd/config.toml").write_text(f"version = 3\n{auth}")
    proxy = f"http://u:{SECRETS['proxy']}@proxy.example:3128"
    hosts = root / "etc/containerd/certs.d/r.example.com"
    hosts.mkdir(parents=True)
    header = f"server = 'https://r.example.com'\n[header]\nX-Registry = 'Basic {SECRETS['header']}'\n"
    (hosts / "hosts.toml").write_text(header)
    unit = root / "etc/systemd/system/containerd.service.d/proxy.conf"
    unit.parent.mkdir(parents=True)
    unit.write_text(f"[Service]\nEnvironment=HTTPS_PROXY={proxy}\n")
    write_bootstrap(root, later={"password": SECRETS["bootstrap"]})


VALID = f"version = 3\n{V3}.registry]\nconfig_path = '/etc/containerd/certs.d'\n"
BROKEN = f"version = 3\npassword = '{SECRETS['containerd']}' '{SECRETS['runc']}'\n"
"""A configuration that nothing reads; whoever says why must not say what stands there."""


def test_no_planted_secret_and_no_control_character_gets_out(
    tmp_path: Path, bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path / "root", monkeypatch)
    printed, found = bundle()
    for content in (printed, *found.values()):
        assert [which for which, secret in SECRETS.items() if secret in content] == []
        assert all(" " <= character <= "~" or character == "\n" for character in content)
    assert "docker-config.json" in found["files.txt"]
    assert "usual line" in found["log.txt"]
    assert json.loads(found["configuration.json"])["ruleset"]["rules"][0]["name"] == RULES.rules[0].name
    assert "left out" in json.loads(found["bootstrap.json"])["later"]
    ids = [each["id"] for each in json.loads(found["doctor.json"])["findings"]]
    assert "pull-path.registry.configs" in ids

    recorded = {"HTTPS_PROXY": f"http://u:{SECRETS['proxy']}@old.example:3128"}
    write_bootstrap(tmp_path / "root", found={"version": FOUND_VERSION, "proxy": recorded})
    for configuration, expected in ((VALID, {"host.proxy", "host.registries"}), (BROKEN, {"configuration.broken"})):
        (tmp_path / "root/etc/containerd/config.toml").write_text(configuration)
        _, found = bundle()
        assert expected <= {each["id"] for each in json.loads(found["doctor.json"])["findings"]}
        assert [which for which, secret in SECRETS.items() if secret in "".join(found.values())] == []


def test_every_part_of_the_table_is_in_it_and_told(bundle: Any) -> None:
    printed, found = bundle()
    assert set(found) == {"CONTENTS.txt", *(part.name for part in PARTS)}
    for part in PARTS:
        assert f"  {part.name}" in printed
        assert part.holds in printed
        assert part.name in found["CONTENTS.txt"]
        if part.name.endswith(".json"):
            json.loads(found[part.name])


def test_names_of_parts_are_names_of_files() -> None:
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)
    assert all(name.rpartition(".")[2] in ("json", "jsonl", "txt") and "/" not in name for name in names)


def test_it_is_the_owners_alone(tmp_path: Path, bundle: Any) -> None:
    bundle()
    assert stat.S_IMODE((tmp_path / "bundle.tar.gz").stat().st_mode) == 0o600


@pytest.mark.unmeasured
def test_the_last_answers_are_in_it_oldest_first(tmp_path: Path, bundle: Any) -> None:
    for number in range(RECORDS + 5):
        tell(tmp_path / "root", DENIED, image=f"r.example/x{number}@sha256:" + "5" * 64)
    lines = bundle()[1]["answers.jsonl"].splitlines()
    assert len(lines) == RECORDS
    assert json.loads(lines[0])["image"].startswith("r.example/x5@")
    assert json.loads(lines[-1])["image"].startswith(f"r.example/x{RECORDS + 4}@")


def test_status_and_caches_are_what_the_commands_say(bundle: Any) -> None:
    found = bundle()[1]
    assert json.loads(found["status.json"])["trouble"]["cause"] == "configurationMissing"
    assert "sizes" in json.loads(found["caches.json"])
    assert json.loads(found["version.json"])["components"]


def test_files_are_listed_with_mode_owner_size_and_target(tmp_path: Path, bundle: Any) -> None:
    (tmp_path / "root/etc/nodeseal").mkdir(parents=True)
    (tmp_path / "root/etc/nodeseal/bootstrap.json").write_bytes(b"12345")
    (tmp_path / "root/etc/nodeseal/bootstrap.json").chmod(0o640)
    (tmp_path / "root/etc/nodeseal/link").symlink_to("/elsewhere")
    lines = bundle()[1]["files.txt"].splitlines()
    (line,) = [line for line in lines if line.endswith("etc/nodeseal/bootstrap.json")]
    assert line.split()[:3] == ["-rw-r-----", f"{os.geteuid()}:{os.getegid()}", "5"]
    assert any(line.endswith("etc/nodeseal/link -> /elsewhere") for line in lines)


def test_a_folder_with_many_files_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "var/cache/nodeseal/answers"
    folder.mkdir(parents=True)
    for number in range(12):
        (folder / str(number)).touch()
    monkeypatch.setattr(nodefiles, "_MOST_OF_A_FOLDER", 10)
    lines = nodefiles.listing(str(tmp_path))
    assert sum("answers/" in line for line in lines) == 11
    assert any("more than 10 entries" in line for line in lines)
    monkeypatch.setattr(nodefiles, "_MOST", 5)
    assert len(nodefiles.listing(str(tmp_path))) == 6
    monkeypatch.setattr(nodefiles, "_DEEPEST", 0)
    assert any("what is below is left out" in line for line in nodefiles.listing(str(tmp_path)))


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / nodefiles.LOGS
    folder.mkdir(parents=True)
    (folder / "x.log").write_text("".join(f"line {number}\n" for number in range(1000)))
    (folder / "link.log").symlink_to("/etc/hostname")
    monkeypatch.setattr(nodefiles, "_TAIL", 100)
    lines = nodefiles.log_tails(str(tmp_path))
    assert lines[0] == "== link.log"
    assert lines[-1] == "line 999"
    assert lines[3].startswith("line 9")
    assert len(lines) < 15


def test_a_log_folder_of_somebody_elses_is_not_read(tmp_path: Path, bundle: Any) -> None:
    folder = tmp_path / "root" / nodefiles.LOGS
    folder.mkdir(parents=True)
    (folder / "x.log").write_text("line\n")
    folder.chmod(0o777)
    printed, found = bundle()
    assert found["log.txt"].startswith("error: ")
    assert "others may write" in printed


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (Malformed("got x; expected y"), "got x; expected y"),
        (RuntimeError("plantedText"), "unexpected RuntimeError"),
        (SystemExit(3), "unexpected SystemExit"),
    ],
)
def test_a_part_that_fails_has_its_error_in_its_place(
    bundle: Any, monkeypatch: pytest.MonkeyPatch, raised: BaseException, said: str
) -> None:
    def fails(_: Asked) -> object:
        raise raised

    parts = (Part("bad.json", "what fails", fails), Part("bad.txt", "what fails, too", fails), PARTS[0])
    monkeypatch.setattr(supportbundle, "PARTS", parts)
    printed, found = bundle()
    assert json.loads(found["bad.json"]) == {"error": said}
    assert found["bad.txt"] == f"error: {said}\n"
    assert f"what fails: error: {said}" in printed
    assert json.loads(found["version.json"])["version"]
    assert "plantedText" not in printed + "".join(found.values())


def test_a_part_that_hangs_is_not_waited_for(bundle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hangs(_: Asked) -> object:
        over.wait(60)
        return {}

    monkeypatch.setattr(supportbundle, "PARTS", (Part("slow.json", "what hangs", hangs),))
    monkeypatch.setattr(supportbundle, "SECONDS", 0.1)
    begun = time.monotonic()
    assert "not done after" in bundle()[1]["slow.json"]
    assert time.monotonic() - begun < 30
    over.set()


def test_a_part_that_is_too_long_is_cut_or_left_out(bundle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = (
        Part("long.json", "too long", lambda _: ["x" * 1000] * 10),
        Part("long.txt", "too long", lambda _: [f"line {number}" for number in range(1000)]),
    )
    monkeypatch.setattr(supportbundle, "PARTS", parts)
    monkeypatch.setattr(supportbundle, "MOST_BYTES", 5000)
    found = bundle()[1]
    assert "expected at most 5000" in found["long.json"]
    assert found["long.txt"].endswith("line 999\n")
    assert found["long.txt"].startswith("(")
    assert len(found["long.txt"]) < 5100


def test_what_is_there_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there").write_text("precious")
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "support-bundle", "--root", str(tmp_path), "--output", str(tmp_path / "there")])
    assert ended.value.code == 5
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "there").read_text() == "precious"


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "support-bundle", "--root", str(tmp_path), "--output", str(tmp_path / "no/such/file")])
    assert ended.value.code == 5
    assert "No such file" in capsys.readouterr().err


def test_without_a_name_it_is_written_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "support-bundle", "--root", str(tmp_path / "root")])
    assert ended.value.code == 0
    (written,) = tmp_path.glob("nodeseal-support-*.tar.gz")
    assert str(written) in capsys.readouterr().out


def test_it_can_be_written_to_standard_output(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "support-bundle", "--root", str(tmp_path), "--output", "-"])
    assert ended.value.code == 0
    written = capfdbinary.readouterr()
    assert "version.json" in unpacked(written.out)
    assert b"wrote standard output" in written.err


def test_it_is_not_written_to_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "support-bundle", "--root", str(tmp_path), "--output", "-"])
    assert ended.value.code == 5
