"""What a configuration says of why a canary proved what it did, and which files a change of it would show in."""

from agent.wiring import findings, planning
from agent.wiring.bindir import Entry, Folder, Kind
from agent.wiring.facts import MAIN, Facts
from agent.wiring.known import MOST_WATCHED, known, watched
from agent.wiring.planning import Node
from agent.wiring.proof import NOTHING_KNOWN, Known, Proof, Reason, State
from agent.wiring.version import parse
from tests.wiring.test_planning import IN_V3

BIN_DIR = "/opt/containerd/image-verifier/bin"
OURS = Entry("00-nodeseal", Kind.FILE, "/opt/nodeseal/current/nodeseal", link=True)


def node(files: dict[str, str], folder: Folder | None = None) -> Node:
    contents = {path: text.encode() for path, text in files.items()}
    return planning.node(Facts(parse("2.1.9"), MAIN, contents, folder=folder))


def test_triggers_are_named_and_our_entry_is_found() -> None:
    text = f"version = 3\n{IN_V3['discard_unpacked_layers']}"
    found = node({MAIN: text}, Folder(BIN_DIR, Kind.FOLDER, (OURS,)))
    assert known(found) == Known(("discard_unpacked_layers",), installed=True)
    assert known(node({MAIN: "version = 3\n"}, Folder(BIN_DIR, Kind.FOLDER))) == Known((), installed=False)


def test_what_is_not_seen_is_not_there_only_where_all_is_seen() -> None:
    gone = Folder(BIN_DIR, Kind.NOTHING)
    assert known(node({}, gone)) == Known((), installed=False)
    assert known(node({}, gone), whole=False) == NOTHING_KNOWN
    assert known(node({MAIN: "version = 3\n"}, gone), whole=False) == Known((), installed=None)


def test_files_folders_of_imports_and_the_folder_of_verifiers_are_watched() -> None:
    files = {MAIN: "imports = ['conf.d/*.toml', '/etc/one.toml']\n", "/etc/containerd/conf.d/a.toml": ""}
    found = node({**files, "/etc/one.toml": ""}, Folder("/opt/v", Kind.FOLDER))
    expected = (MAIN, "/opt/v", "/etc/containerd/conf.d/a.toml", "/etc/one.toml", "/etc/containerd/conf.d")
    assert watched(found) == expected
    many = {f"/etc/containerd/conf.d/{i}.toml": "" for i in range(100)}
    assert len(watched(node({**files, **many}))) == MOST_WATCHED


def test_every_proof_comes_with_a_next_step() -> None:
    for reason in Reason:
        state = State.ENFORCING if reason is Reason.ENFORCING else State.UNKNOWN
        finding = findings.of_proof(Proof(state, reason, "said"), "/run/x.sock")
        assert finding.next_step
        assert (finding.severity is findings.Severity.INFO) is (reason is Reason.ENFORCING)
