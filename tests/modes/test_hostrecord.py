"""What the doctor says of a node whose host is not any more as it was recorded."""

import json
import pathlib
from typing import Any

import pytest

from agent import cli
from agent.adapters import containerd
from agent.adapters.hostfiles import HostFiles
from agent.modes import hostrecord, recording
from agent.modes.mending import Mended, Mender
from agent.wiring import findings, planning
from agent.wiring.facts import MAIN
from tests.modes.hosts import Host
from tests.modes.test_recording import BUNDLE, DOCUMENT, DROP_IN, SECRET, TIMEOUT, make_recorded


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    """A host with a CA bundle and a proxy."""
    return make_recorded(tmp_path)


def told(host: Host) -> list[tuple[str, str, str]]:
    """Id, severity and what was got, of each finding."""
    asked = containerd.Asked(str(host.root), MAIN)
    found = [*hostrecord.of_host(asked, str(host.root), host.world.facts())]
    assert SECRET not in str(found)
    return [(each.id, each.severity.value, each.got) for each in found]


def test_nothing_is_told_of_a_host_that_is_as_recorded_or_has_no_document(host: Host) -> None:
    assert told(host) == []
    host.install()
    assert told(host) == []


def test_another_proxy_is_told_by_its_variables(host: Host) -> None:
    host.install()
    host.write(DROP_IN, f"[Service]\nEnvironment=HTTP_PROXY=http://x:{SECRET}@y\n")
    ((name, severity, got),) = told(host)
    assert (name, severity) == ("host.proxy", "warning")
    assert got == "containerd has another value of HTTP_PROXY, HTTPS_PROXY, NO_PROXY than is recorded"
    document = json.loads(host.read(DOCUMENT)) | {"host": {"proxy": {}}}  # the owner wants another one
    host.write(DOCUMENT, json.dumps(document))
    assert told(host) == []


@pytest.mark.parametrize(
    ("path", "content", "severity", "got"),
    [
        (BUNDLE, "others", "warning", f"/{BUNDLE} has changed since it was copied"),
        (BUNDLE, None, "warning", f"no CA bundle at /{BUNDLE}"),
        (recording.BUNDLE, None, "error", "can't be read"),
        (recording.BUNDLE, "", "error", "can't be read"),
    ],
)
def test_ca_bundle_that_is_gone_or_another_is_told(
    host: Host,
    path: str,
    content: str | None,
    severity: str,
    got: str,
) -> None:
    host.install()
    (host.root / path.lstrip("/")).unlink()
    if content is not None:
        host.write(path, content)
    first = told(host)[0]
    assert first[:2] == ("host.ca-bundle", severity)
    assert got in first[2]


@pytest.mark.parametrize("found", [None, {"version": 2}])
def test_document_of_another_agent_is_told_and_installing_again_records(host: Host, found: Any) -> None:
    host.write(DOCUMENT, json.dumps({"apiVersion": "nodeseal.dev/v1alpha1"} | ({"found": found} if found else {})))
    assert [each[:2] for each in told(host)] == [("host.not-recorded", "info")]
    host.install()
    assert told(host) == []


def test_timeout_that_is_now_below_the_recorded_deadline_is_told(host: Host) -> None:
    host.write(MAIN, "version = 3\n" + TIMEOUT.format("5s"))
    node = planning.node(host.world.facts().facts)
    assert "verifier.timeout" in [each.id for each in findings.of(node)]
    assert "verifier.timeout" in [each.id for each in findings.of(node, 4.5)]
    assert "verifier.timeout" not in [each.id for each in findings.of(node, 4.0)]


def test_the_doctor_says_it_and_goes_by_the_recorded_deadline(
    host: Host,
    capsys: pytest.CaptureFixture[str],
) -> None:
    host.write(MAIN, "version = 3\n" + TIMEOUT.format("5s"))
    host.install(changes=planning.Changes.NONE)
    host.write(DROP_IN, "[Service]\n")

    def ids() -> list[str]:
        words = ["--root", str(host.root), "--host", str(host.root), "--containerd-config", MAIN, "--format", "json"]
        with pytest.raises(SystemExit):
            cli.main(["nodeseal", "doctor", *words])
        return [each["id"] for each in json.loads(capsys.readouterr().out)["findings"]]

    assert "host.proxy" in ids()
    assert "verifier.timeout" not in ids()
    host.write(MAIN, "version = 3\n" + TIMEOUT.format("4s"))
    assert "verifier.timeout" in ids()


def mend(host: Host) -> Mended:
    return Mender(HostFiles(str(host.root)), host.world, lambda line: None).run()


def test_mending_leaves_the_record_as_installing_would(host: Host) -> None:
    image = "registry.example.com/nodeseal@sha256:" + "a" * 64
    host.install(image=image, node_name="worker-1")
    assert not mend(host).steps
    host.write(DROP_IN, f"[Service]\nEnvironment=HTTP_PROXY=http://x:{SECRET}@y\n")
    host.write(BUNDLE, "others")
    done = mend(host)
    assert {f"write {recording.BOOTSTRAP}", f"write {recording.BUNDLE}"} <= set(done.steps)
    assert SECRET not in str(done)
    assert (told(host), done.restarted) == ([], False)
    mended = host.tree()
    host.install(image=image, node_name="worker-1")
    assert host.tree() == mended
    assert not mend(host).steps


def test_mending_leaves_a_document_of_somebody_elses_to_him_but_for_what_is_found(host: Host) -> None:
    host.install()
    document = json.loads(host.read(DOCUMENT)) | {"untilFirstSnapshot": "Enforce", "host": {"deadline": "3s"}}
    host.write(DOCUMENT, json.dumps(document))
    host.write(DROP_IN, f"[Service]\nEnvironment=HTTP_PROXY=http://x:{SECRET}@y\n")
    mend(host)
    after = json.loads(host.read(DOCUMENT))
    assert (told(host), after.pop("found") == document.pop("found")) == ([], False)
    assert after == document
