"""What a daemon in a process of its own shows over HTTP: metrics, whether it lives, whether it is ready."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509

from agent import __version__, cli
from agent.adapters import ipc
from agent.adapters.nodestate import NodeState, moment
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.spool import Spool
from agent.errors import Code, Exit
from agent.model.answer import Answer, Ground
from agent.model.record import Record
from agent.modes.config import load_for_person
from agent.modes.watch import METRICS
from agent.rules.breakglass import BreakGlass
from tests.modes.glass import Node
from tests.modes.test_daemon import Running
from tests.observed import families, page, until, value
from tests.signing import usual_signer, write_config

ANY = ("--metrics", "127.0.0.1:0")


def address(running: Running) -> str:
    """Where it serves, once it does."""

    def said() -> dict[str, str]:
        status = running.status()
        assert status is not None
        found = status["metrics"]
        assert isinstance(found, dict)
        return found

    until(lambda: said()["address"] is not None)
    return said()["address"]


def scraped(running: Running) -> str:
    """Its metrics."""
    found = page(address(running), "/metrics")
    assert found.status == 200
    return found.text


@contextlib.contextmanager
def observed(root: pathlib.Path, *words: str) -> Iterator[Running]:
    """A daemon that has metrics and no bugs."""
    with Running(root, *(ANY if "--metrics" not in words else ()), *words) as running:
        yield running
        assert not [event for event in running.stopped() if event["event"] == "bug"]


def pull(node: Node, name: str) -> str:
    """Ask the daemon about an image, as containerd's child does; what it said."""
    image = node.images[name]
    script = f"""
from agent import fastpath
from agent.adapters import answers
from tests.frozen.program import descriptor, plugin_words
fastpath._SILENCE = fastpath._PATIENCE = fastpath._END = 60.0  # a busy machine's daemon takes its time
words = ["x", *plugin_words({f"{node.registry.host}/{name}:secret-tag"!r}, {str(image.digest)!r})]
found = fastpath.ask({str(node.root)!r}, b"", answers._words(words, descriptor({str(image.digest)!r}, {image.size})))
print(found)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout


def test_pages_and_nothing_else(node: Node) -> None:
    with observed(node.root) as running:
        at = address(running)
        assert page(at, "/healthz")[::2] == (200, "ok\n")
        assert page(at, "/readyz")[::2] == (200, "ready\n")
        metrics = page(at, "/metrics")
        assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert metrics.headers["connection"] == "close"
        head = page(at, "/metrics", method="HEAD")
        assert (head.status, head.text) == (200, "")
        assert int(head.headers["content-length"]) > 1000
        for path in ("/", "/metrics/", "/metrics2", "/healthz/x", "//metrics", "/%6detrics/..", "/favicon.ico"):
            assert page(at, path).status == 404, path
        assert page(at, "/metrics?name[]=up").status == 200
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            refused = page(at, "/metrics", method=method, body=b"x" * 100_000 if method == "PUT" else None)
            assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


def test_ready_only_once_a_configuration_is_loaded(tmp_path: pathlib.Path) -> None:
    host, folder = tmp_path / "host", write_config(tmp_path / "config", usual_signer().root_pem)
    with observed(host) as running:
        at = address(running)
        before = page(at, "/readyz")
        assert before.status == 503
        assert re.fullmatch(r"[^\n]*got no configuration; expected a published one\n", before.text)
        assert page(at, "/healthz").status == 200
        text = page(at, "/metrics").text
        assert value(text, "nodeseal_ready") == 0
        assert value(text, "nodeseal_configuration_trouble", cause="configurationMissing") == 1
        SnapshotStore(str(host)).publish(load_for_person(str(folder), "/"))
        until(lambda: page(at, "/readyz").status == 200)
        until(lambda: value(page(at, "/metrics").text, "nodeseal_ready") == 1)
        assert value(page(at, "/metrics").text, "nodeseal_configuration_trouble") == 0


def test_not_ready_while_its_own_socket_is_gone(node: Node) -> None:
    with observed(node.root) as running:
        at, path = address(running), node.root / ipc.FOLDER / ipc.NAME
        assert page(at, "/readyz").status == 200
        path.rename(path.with_name("elsewhere"))
        until(lambda: page(at, "/readyz").status == 503)
        assert page(at, "/readyz").text == "nobody listens at the daemon's socket\n"
        assert page(at, "/healthz").status == 200
        path.with_name("elsewhere").rename(path)
        until(lambda: page(at, "/readyz").status == 200)


def test_what_the_daemon_does_is_counted(node: Node) -> None:
    with observed(node.root) as running:
        assert "b'allow NS-0001 " in pull(node, "team/signed")
        assert "b'allow NS-0001 " in pull(node, "team/signed")
        assert "b'deny NS-2009 " in pull(node, "team/denied")
        time.sleep(1.1)  # what was scraped a moment ago counts for a second
        text = scraped(running)
    assert value(text, "nodeseal_build_info", version=__version__) == 1
    pulls = {how: value(text, "nodeseal_daemon_pulls_total", how=how) for how in ("decided", "remembered", "verified")}
    assert pulls == {"decided": 1, "remembered": 1, "verified": 1}
    assert value(text, "nodeseal_pull_duration_seconds_count", door="daemon") == 3
    assert 0 < value(text, "nodeseal_pull_duration_seconds_sum", door="daemon") < 20
    assert value(text, "nodeseal_pull_duration_seconds_bucket", door="daemon", le="+Inf") == 3
    assert value(text, "process_resident_memory_bytes") > 1_000_000


def test_what_the_spool_says_is_counted(node: Node) -> None:
    def tell(answer: Answer) -> None:
        image = "r.example/hidden@sha256:" + "5" * 64
        record = Record.of(
            answer, now=datetime.now(timezone.utc), door="plugin", image=image, name="r.example/hidden:1"
        )
        Spool(str(node.root)).append(record)

    name = 'quoted "rule"\nof \\ two\tlines } 1\n# TYPE x counter'
    with observed(node.root) as running:
        tell(Answer(Exit.DENY, Code.NO_EVIDENCE, name, "x", 7))
        tell(Answer(Exit.CANNOT_TELL, Code.REGISTRY_UNAVAILABLE, "shop", "x", 8))
        tell(Answer(Exit.ALLOW, Code.REGISTRY_UNAVAILABLE, "shop", "x", 8, Ground.STALE))
        tell(Answer(Exit.ALLOW, Code.NO_EVIDENCE, "shop", "x", 7, Ground.AUDIT, would=Exit.DENY))
        until(lambda: sum(value(scraped(running), "nodeseal_decisions_total", decision=d) for d in _SAID) == 4)
        text = scraped(running)
    assert value(text, "nodeseal_decisions_total", decision="deny") == 1
    assert value(text, "nodeseal_decisions_total", decision="cannot_tell") == 1
    assert value(text, "nodeseal_cannot_tell_answers_total", cause="registryUnavailable") == 2
    assert value(text, "nodeseal_cannot_tell_answers_total", cause="throttled") == 0
    assert value(text, "nodeseal_stale_answers_total") == 1
    assert value(text, "nodeseal_would_deny_answers_total") == 1
    labels = {"door": "plugin", "decision": "cannot_tell", "ground": "", "cause": "registryUnavailable"}
    assert value(text, "nodeseal_answers_total", code="NS-3001", rule="shop", **labels) == 1
    (rule,) = {
        each.labels["rule"] for each in families(text)["nodeseal_answers_total"].samples if "quoted" in str(each.labels)
    }
    assert rule.startswith('quoted "rule"')
    assert "x" not in families(text)


_SAID = ("allow", "deny", "cannot_tell")


def test_no_image_and_no_secret_is_shown(node: Node) -> None:
    (node.root / "etc/nodeseal").mkdir(parents=True, exist_ok=True)
    secret = node.root / "etc/nodeseal/docker-config.json"
    auth = {"auth": "dXNlcjpob3JzZS1iYXR0ZXJ5"}
    secret.write_text(json.dumps({"auths": {node.registry.host: auth}}))
    secret.chmod(0o600)
    with observed(node.root) as running:
        for name in node.images:
            pull(node, name)
            node.pull(name)
            assert node.registry.host not in scraped(running)
        until(lambda: value(scraped(running), "nodeseal_decisions_total", decision="deny") >= 1)
        text = scraped(running)
    words = [node.registry.host, "team/", "unsigned", "elsewhere", "secret-tag", "horse-battery", auth["auth"]]
    words += [str(image.digest).partition(":")[2][:12] for image in node.images.values()]
    words += ["BEGIN CERTIFICATE", str(node.root)]
    assert [word for word in words if word in text] == []


def test_configuration_in_force_is_shown(node: Node) -> None:
    config = SnapshotStore(str(node.root)).load()
    with observed(node.root) as running:
        until(lambda: value(scraped(running), "nodeseal_trusted_certificates") == len(config.certificates))
        until(lambda: bool(families(scraped(running))["nodeseal_cache_files"].samples))
        text = scraped(running)
    assert value(text, "nodeseal_configuration_info", generation=config.generation[:12]) == 1
    assert value(text, "nodeseal_configuration_max_age_seconds") == config.ruleset.greatest_age
    assert value(text, "nodeseal_configuration_rules") == len(config.rules)
    assert abs(value(text, "nodeseal_configuration_in_force_timestamp_seconds") - time.time()) < 300
    assert 0 <= value(text, "nodeseal_configuration_age_seconds") < 300
    (end,) = families(text)["nodeseal_trusted_certificate_end_timestamp_seconds"].samples
    read = map(x509.load_der_x509_certificate, config.certificates.values())
    assert end.value == min(each.not_valid_after_utc.timestamp() for each in read)
    assert (end.labels["used_by"], end.labels["store"]) == ("verifier", "ca:certs")
    assert value(text, "nodeseal_cache_files", store="verdicts") == 0
    assert families(text)["nodeseal_configuration_refused"].samples == []


def test_break_glass_is_shown_for_as_long_as_it_lives(node: Node) -> None:
    now = moment()
    one = BreakGlass("a1", "r.example/**", "INC-1", now, now.wall + timedelta(hours=2))
    with observed(node.root) as running:
        assert value(scraped(running), "nodeseal_break_glass_live") == 0
        two = one._replace(id="a2", until=now.wall + timedelta(hours=1))
        NodeState(str(node.root)).write_break_glass([one, two, one._replace(id="a3", match="**")])
        until(lambda: value(scraped(running), "nodeseal_break_glass_live") == 2)
        text = scraped(running)
        assert abs(value(text, "nodeseal_break_glass_end_timestamp_seconds") - one.until.timestamp()) < 1
        assert abs(value(text, "nodeseal_break_glass_begin_timestamp_seconds") - now.wall.timestamp()) < 1
        NodeState(str(node.root)).write_break_glass([])
        until(lambda: value(scraped(running), "nodeseal_break_glass_live") == 0)
        assert families(scraped(running))["nodeseal_break_glass_end_timestamp_seconds"].samples == []


def test_configuration_of_a_folder_that_can_not_be_used_is_shown(tmp_path: pathlib.Path) -> None:
    folder = write_config(tmp_path / "config", usual_signer().root_pem)
    with observed(tmp_path / "host", "--config", str(folder)) as running:
        assert value(scraped(running), "nodeseal_configuration_refused") == 0
        good = (folder / "config.json").read_text()
        (folder / "config.json").write_text("{")
        until(lambda: value(scraped(running), "nodeseal_configuration_refused") == 1)
        assert value(scraped(running), "nodeseal_ready") == 1
        (folder / "config.json").write_text(good)
        until(lambda: value(scraped(running), "nodeseal_configuration_refused") == 0)


def shown(root: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `nodeseal status` says."""
    with pytest.raises(SystemExit):
        cli.main(["nodeseal", "status", "--root", str(root)])
    return capsys.readouterr().out


def test_port_that_is_taken_stops_nothing_and_is_served_once_it_is_free(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        running = Running(node.root, "--metrics", at)
        with running:
            until(lambda: "Address already in use" in str((running.status() or {})["metrics"]))
            assert f"  metrics are not served: {at}: Address already in use\n" in shown(node.root, capsys)
            assert "b'allow NS-0001 " in pull(node, "team/signed")
            taken.close()
            assert address(running) == at
            assert page(at, "/healthz").status == 200
            assert f"  metrics on http://{at}/metrics\n" in shown(node.root, capsys)
            events = [event["event"] for event in running.stopped()]
    assert events.count("metrics not served") == 1
    assert events.index("metrics not served") < events.index("metrics served")


@pytest.mark.parametrize("nowhere", ["192.0.2.1:9000", "no-such-host.invalid:9000", "[2001:db8::1]:9000"])
def test_address_that_is_nobodys_stops_nothing(node: Node, nowhere: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Running(node.root, "--metrics", nowhere) as running:
        until(lambda: "not begun" not in str((running.status() or {})["metrics"]))
        assert f"  metrics are not served: {nowhere}: " in shown(node.root, capsys)
        assert "b'deny NS-2009 " in pull(node, "team/denied")
        assert "bug" not in [event["event"] for event in running.stopped()]


def test_ipv6_address_in_brackets(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    with observed(node.root, "--metrics", "[::1]:0") as running:
        at = address(running)
        assert at.startswith("[::1]:")
        assert page(at, "/readyz").status == 200
        assert f"  metrics on http://{at}/metrics\n" in shown(node.root, capsys)


def test_off_is_off(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    with Running(node.root, "--metrics", "off") as running:
        status = running.status()
        assert status is not None
        assert status["metrics"] is None
        assert "  metrics are off\n" in shown(node.root, capsys)
        inodes = set(re.findall(r"socket:\[(\d+)\]", " ".join(_descriptors(running.process.pid))))
        tcp = pathlib.Path("/proc/net/tcp").read_text() + pathlib.Path("/proc/net/tcp6").read_text()
        assert not [line for line in tcp.splitlines() if set(line.split()) & inodes]


def _descriptors(pid: int) -> list[str]:
    """What a process has open; what it closes meanwhile is left out."""
    folder, found = f"/proc/{pid}/fd", list[str]()
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"{folder}/{name}"))
    return found


@pytest.mark.parametrize("wrong", ["", ":", "9000", ":9000", "x:", "x:70000", "::1:9000", "[::1]", "x:-1", "a b:1"])
def test_what_is_no_address_is_refused(wrong: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "watch", "--root", str(tmp_path), f"--metrics={wrong}"])
    assert ended.value.code == 2
    assert "expected HOST:PORT" in capsys.readouterr().err


def test_default_is_loopback() -> None:
    assert METRICS.startswith("127.0.0.1:")


def test_slow_clients_starve_neither_pulls_nor_scrapes_nor_descriptors(node: Node) -> None:
    with observed(node.root) as running, contextlib.ExitStack() as clients:
        at = address(running)
        host, _, port = at.rpartition(":")
        before = len(_descriptors(running.process.pid))

        def connect(said: bytes) -> None:
            client = clients.enter_context(socket.create_connection((host, int(port)), timeout=60))
            with contextlib.suppress(OSError):
                client.sendall(said)

        for number in range(300):
            connect((b"", b"GET /metrics HTT", b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 100)[number % 3])
        until(lambda: len(_descriptors(running.process.pid)) < before + 40)  # it takes several before it cuts any off
        assert page(at, "/readyz").status == 200
        assert "b'allow NS-0001 " in pull(node, "team/signed")
        until(lambda: value(page(at, "/metrics").text, "nodeseal_metrics_connections_cut_off_total") > 200)
        assert value(page(at, "/metrics").text, "process_open_fds") < before + 40


def test_clients_that_send_too_much_are_sent_away(node: Node) -> None:
    with observed(node.root) as running:
        at = address(running)
        host, _, port = at.rpartition(":")
        for sent in (
            b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
        ):
            with socket.create_connection((host, int(port)), timeout=60) as client:
                with contextlib.suppress(OSError):
                    client.sendall(sent)
                said = b""
                with contextlib.suppress(ConnectionResetError):
                    while chunk := client.recv(65536):
                        said += chunk
            assert not said or said.startswith(b"HTTP/1.") and b" 400 " in said.splitlines()[0] or b" 431 " in said
        assert page(at, "/healthz").status == 200


def test_whoever_reads_nothing_is_cut_off_after_a_while(node: Node) -> None:
    with observed(node.root) as running:
        host, _, port = address(running).rpartition(":")
        with socket.create_connection((host, int(port)), timeout=90) as client:
            begun = time.monotonic()
            client.sendall(b"GET /metrics HTTP/1.1\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""
            assert 8 < time.monotonic() - begun < 60


def test_daemon_without_metrics_imports_nothing_for_them() -> None:
    script = "import sys\nfrom agent.modes import daemon, watch\n"
    script += (
        "print([name for name in ('prometheus_client', 'aiohttp.web', 'agent.modes.observing') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
