"""What an installation records of its host: found, kept where a person wrote it, taken back, and never told."""

import json
import os
import pathlib
import stat
from typing import Any

import pytest

from agent.adapters import hostfacts
from agent.adapters.hostroot import HostRoot
from agent.adapters.nodestate import NodeState
from agent.modes import recording
from agent.modes.installing import RolledBack
from agent.rules.floor import HostFacts
from agent.wiring.facts import MAIN
from tests.modes.hosts import Host, make_host
from tests.modes.test_install_command import Run, run  # noqa: F401 - a fixture

UNIT = "etc/systemd/system/containerd.service"
DROP_IN = f"{UNIT}.d/http-proxy.conf"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
SECRET = "hunter2-s3cret"
PROXY = f"http://me:{SECRET}@proxy.example:3128"
DOCUMENT = "etc/nodeseal/bootstrap.json"
TIMEOUT = "[plugins.'io.containerd.image-verifier.v1.bindir']\nper_verifier_timeout = '{}'\n"


def make_recorded(folder: pathlib.Path) -> Host:
    """A host with Debian's package, a CA bundle and a proxy."""
    made = make_host(folder)
    made.write(BUNDLE, "the host's CAs")
    made.write("usr/lib/systemd/system/containerd.service", "[Service]\nExecStart=/usr/bin/containerd\n")
    made.write(DROP_IN, f'[Service]\nEnvironment="HTTPS_PROXY={PROXY}" no_proxy=10.0.0.0/8\n')
    return made


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    """The same, new."""
    return make_recorded(tmp_path)


def document(host: Host) -> dict[str, Any]:
    """The bootstrap document."""
    value: dict[str, Any] = json.loads(host.read(DOCUMENT))
    return value


def facts(host: Host) -> HostFacts:
    """What the doors make of it."""
    return NodeState(str(host.root)).read_bootstrap().host


def test_what_containerd_uses_is_recorded(host: Host) -> None:
    host.install()
    assert document(host)["found"] == {
        "version": 1,
        "caBundle": "/etc/nodeseal/ca-bundle.pem",
        "caBundleFrom": f"/{BUNDLE}",
        "proxy": {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"},
        "deadline": "8s",
        "verifierTimeout": "10s",
        "certsFolders": [],
    }
    assert "host" not in document(host)
    assert host.read(recording.BUNDLE) == "the host's CAs"
    assert facts(host).deadline == 8.0
    assert facts(host).bundle(str(host.root)) == f"{host.root}{recording.BUNDLE}"
    once = host.tree()
    host.install()
    assert host.tree() == once


@pytest.mark.parametrize(
    ("timeout", "deadline"), [("5s", "4s"), ("9s", "7s"), ("2500ms", "2s"), ("1m", "25s"), ("20s", "16s"), ("0s", "8s")]
)
def test_deadline_is_always_shorter_than_containerds(host: Host, timeout: str, deadline: str) -> None:
    from agent.wiring.planning import Changes

    host.write(MAIN, "version = 3\n" + TIMEOUT.format(timeout))
    host.install(changes=Changes.NONE)
    assert document(host)["found"]["deadline"] == deadline


def test_timeout_that_the_installation_sets_is_the_one_that_counts(host: Host) -> None:
    host.write(MAIN, "version = 3\n" + TIMEOUT.format("3s"))
    host.install()
    assert document(host)["found"]["verifierTimeout"] == "10s"
    assert facts(host).deadline == 8.0


def test_installing_again_records_what_has_changed_and_nothing_is_restarted(host: Host) -> None:
    host.install()
    host.write(DROP_IN, "[Service]\nEnvironment=HTTP_PROXY=http://other.example:1\n")
    host.write(BUNDLE, "other CAs")
    host.install()
    assert facts(host).proxy == {"HTTP_PROXY": "http://other.example:1"}
    assert host.read(recording.BUNDLE) == "other CAs"
    os.unlink(host.root / DROP_IN)
    os.unlink(host.root / BUNDLE)
    host.install()
    assert facts(host) == HostFacts(None, {}, 8.0)
    assert host.world.restarts == []


def test_what_a_person_wrote_stays_and_the_rest_is_recorded_anew(host: Host) -> None:
    host.install()
    edited = document(host) | {"untilFirstSnapshot": "Enforce", "host": {"proxy": {"HTTP_PROXY": "http://mine:1"}}}
    host.write(DOCUMENT, json.dumps(edited))
    (host.root / DOCUMENT).chmod(0o644)
    host.write(DROP_IN, "[Service]\nEnvironment=HTTPS_PROXY=http://new.example:1\n")
    host.install(node_name="another")
    now = document(host)
    assert now["found"]["proxy"] == {"HTTPS_PROXY": "http://new.example:1"}
    assert {key: now[key] for key in now if key != "found"} == {key: edited[key] for key in edited if key != "found"}
    assert stat.S_IMODE((host.root / DOCUMENT).stat().st_mode) == 0o600
    assert facts(host).proxy == {"HTTP_PROXY": "http://mine:1"}
    once = host.tree()
    host.install()
    assert host.tree() == once
    assert "was edited since, and stays" in host.uninstall().left[0]
    assert document(host) == {key: now[key] for key in now if key != "found"}  # a password among it


def test_document_of_a_person_from_before_gets_what_is_found_and_is_still_theirs(host: Host) -> None:
    own = {"apiVersion": "nodeseal.dev/v1alpha1", "floor": {"enforcement": "Audit"}}
    text = json.dumps(own, indent=1)
    host.write(DOCUMENT, text)
    host.install()
    assert document(host) == own | {"found": document(host)["found"]}
    assert stat.S_IMODE((host.root / DOCUMENT).stat().st_mode) == 0o600
    assert NodeState(str(host.root)).read_bootstrap().floor.enforcement.value == "Audit"
    host.write(DROP_IN, "[Service]\n")
    host.install(node_name="another")
    assert document(host) == own | {"found": document(host)["found"]}
    assert document(host)["found"]["proxy"] == {}
    host.uninstall()
    assert host.read(DOCUMENT) == text


def test_persons_own_proxy_is_in_no_second_file(host: Host) -> None:
    own = {"apiVersion": "nodeseal.dev/v1alpha1", "host": {"proxy": {"HTTP_PROXY": f"http://x:{SECRET}@y"}}}
    host.write(DOCUMENT, json.dumps(own))
    host.write(DROP_IN, "[Service]\n")
    host.install()
    host.install()
    assert document(host) == own | {"found": document(host)["found"]}
    holding = [path for path in host.root.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert holding == [host.root / DOCUMENT]
    host.uninstall()
    assert document(host) == own


def test_what_is_taken_back_is_the_document_as_it_was(host: Host) -> None:
    own = '{"apiVersion": "nodeseal.dev/v1alpha1", "floor": {"enforcement": "Audit"}}'
    host.write(DOCUMENT, own)
    before = host.tree()
    host.world.never_asks = True
    with pytest.raises(RolledBack):
        host.install()
    assert host.read(DOCUMENT) == own
    assert host.tree() == before


def test_uninstalling_leaves_nothing_of_what_was_found(host: Host) -> None:
    before = host.tree()
    host.install()
    host.uninstall()
    assert host.tree() == before


CORPORATE = "-----BEGIN CERTIFICATE-----\nthe company's CAs\n"


def test_options_stay_for_later_installations(host: Host, run: Run, tmp_path: pathlib.Path) -> None:  # noqa: F811
    host.write("etc/corp.pem", CORPORATE)
    variables = tmp_path / "proxy.env"
    variables.write_text(f"HTTPS_PROXY={PROXY}\nPATH=/bin\n")
    words = ("--ca-bundle", "/etc/corp.pem", "--proxy-file", str(variables), "--deadline", "5")
    code, out, err = run("install", *words)
    assert (code, err) == (0, "")
    run("install")
    wanted = {"caBundleFrom": "/etc/corp.pem", "deadline": "5s", "proxy": {"HTTPS_PROXY": PROXY}}
    assert document(host)["host"] == wanted
    assert host.read(recording.BUNDLE) == CORPORATE
    assert facts(host).deadline == 5.0
    run("install", "--proxy-file", "/dev/null")
    assert facts(host).proxy == {}
    assert document(host)["host"]["deadline"] == "5s"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--deadline", "0"), "expected 1 to 25 seconds"),
        (("--deadline", "26"), "expected 1 to 25 seconds"),
        (("--ca-bundle", "corp.pem"), "expected one of the host's"),
    ],
)
def test_options_that_can_not_be_recorded_are_refused(host: Host, run: Run, words: tuple[str, ...], said: str) -> None:  # noqa: F811
    code, _, err = run("install", *words)
    assert code == 2
    assert said in err


@pytest.mark.parametrize("text", [None, "", "a key, perhaps", CORPORATE + "x" * hostfacts.MAX_BUNDLE])
def test_bundle_that_no_registry_could_be_told_by_is_refused(host: Host, run: Run, text: str | None) -> None:  # noqa: F811
    if text is not None:
        host.write("etc/corp.pem", text)
    before = host.tree()
    code, _, err = run("install", "--ca-bundle", "/etc/corp.pem")
    assert (code, host.tree()) == (5, before)
    assert "--ca-bundle: got /etc/corp.pem, which can't be read or has no certificate as PEM" in err


@pytest.mark.parametrize("edited", [False, True])
def test_no_output_and_no_other_file_has_the_proxys_password(host: Host, run: Run, edited: bool) -> None:  # noqa: F811
    if edited:
        host.write(DOCUMENT, '{"apiVersion": "nodeseal.dev/v1alpha1"}')
    said = "".join(run("install", *words)[1] for words in (["--dry-run"], ["--dry-run", "--format", "json"], [], []))
    host.write(DROP_IN, f"[Service]\nEnvironment=HTTP_PROXY=http://you:{SECRET}@other.example\n")
    said += "".join(run("install", *words)[1] for words in (["--dry-run"], ["--format", "json"]))
    assert "proxy.example:3128" in said  # the change is shown
    assert SECRET not in said
    holding = [path for path in host.root.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert {str(path.relative_to(host.root)) for path in holding} == {DROP_IN, DOCUMENT}
    assert stat.S_IMODE((host.root / DOCUMENT).stat().st_mode) == 0o600


@pytest.mark.parametrize("spoilt", [False, True])
def test_no_output_has_a_clients_key_or_a_header_of_certs_d(host: Host, run: Run, spoilt: bool) -> None:  # noqa: F811
    certs = "etc/containerd/certs.d"
    host.write(MAIN, f"version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/{certs}'\n")
    host.write(f"{certs}/r.example/hosts.toml", f"client = 'c.pem'\n[header]\nX-Tenant = '{SECRET}'\n")
    secret = "".join(("MHcCAQEE", "IKeyOfTheClient"))  # as a line of a key is
    host.write(f"{certs}/r.example/c.pem", f"-----BEGIN EC PRIVATE KEY-----\n{secret}\n-----END EC PRIVATE KEY-----\n")
    if spoilt:
        host.write(DOCUMENT, f'{{"host": "{SECRET}"')
    said = "".join(run("install", *words)[1] for words in (["--dry-run"], ["--dry-run", "--format", "json"]))
    assert not run("install")[0]
    host.write(f"{certs}/r.example/hosts.toml", f"[header]\nX-Tenant = 'other-{SECRET}'\nX-New = '1'\n")
    said += "".join(run("install", *words)[1] for words in (["--dry-run"], ["--format", "json"]))
    assert "bootstrap.json" in said or spoilt
    assert SECRET not in said
    assert secret not in said


def test_the_process_that_runs_goes_before_its_files(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.wiring.facts import Facts, Process

    root = HostRoot(str(host.root))
    running = Facts(None, MAIN, {}, process=Process(os.getpid(), "", (), "containerd.service"))
    assert hostfacts.proxy(root, running).get("HTTPS_PROXY") != PROXY  # as pytest was started
    gone = running._replace(process=Process(2**22 + 1, "", (), "containerd.service"))
    assert hostfacts.proxy(root, gone) == {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}
    assert hostfacts.proxy(root, Facts(None, MAIN, {})) == {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}


def test_k3s_has_words_for_its_containerd_alone(host: Host) -> None:
    from agent.adapters import hostfacts
    from agent.wiring.facts import Facts

    host.write("etc/systemd/system/k3s.service", "[Service]\nEnvironmentFile=-/etc/systemd/system/k3s.service.env\n")
    host.write("etc/systemd/system/k3s.service.env", "HTTPS_PROXY=http://all:1\nCONTAINERD_HTTPS_PROXY=http://its:1\n")
    found = hostfacts.proxy(HostRoot(str(host.root)), Facts(None, MAIN, {}), "k3s.service")
    assert found == {"HTTPS_PROXY": "http://its:1"}


def test_folders_of_a_config_path_are_few_and_each_once() -> None:
    assert hostfacts.folders("/a:/b:/a:c") == ("/a", "/b")
    assert hostfacts.folders(":".join(f"/{i}" for i in range(10_000))) == tuple(f"/{i}" for i in range(16))
