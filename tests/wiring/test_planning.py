"""Plans: over every distribution and every trigger, and what they must never do."""

import pytest

from agent.errors import ConfigurationError
from agent.modes import plugin
from agent.wiring import findings, planning, tables, triggers
from agent.wiring.bindir import Entry, Folder, Kind
from agent.wiring.distributions import OWN_FILE, Way
from agent.wiring.edits import EditFile, Link, MakeFolder, WriteFile
from agent.wiring.effective import CRI_URIS, DEFAULT_BIN_DIR
from agent.wiring.facts import MAIN, Facts, Process
from agent.wiring.loading import Files, load
from agent.wiring.merging import Merged, merge
from agent.wiring.planning import Changes, Options, Plan, node, plan, resulting, unexpected
from tests.wiring.nodes import OURS, SAMPLES, Sample, facts, simple, version

PULL_PATH = Options(Changes.PULL_PATH)
V3 = "[plugins.'io.containerd.cri.v1.images'"
V2 = "[plugins.'io.containerd.grpc.v1.cri'"
RUNTIME = f"{V2}.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\n"
IN_V3 = {
    "use_local_image_pull": f"{V3}]\nuse_local_image_pull = true\n",
    "max_concurrent_downloads": f"{V3}]\nmax_concurrent_downloads = 10\n",
    "discard_unpacked_layers": f"{V3}]\ndiscard_unpacked_layers = true\n",
    "disable_snapshot_annotations": f"{V3}]\ndisable_snapshot_annotations = false\n",
    "image_pull_with_sync_fs": f"{V3}]\nimage_pull_with_sync_fs = true\n",
    "registry.mirrors": f"{V3}.registry.mirrors.'docker.io']\nendpoint = ['https://m.example.com']\n",
    "registry.configs": f"{V3}.registry.configs.'r.example.com'.tls]\nca_file = '/ca.pem'\n",
    "registry.auths": f"{V3}.registry.auths.'r.example.com']\nusername = 'u'\n",
}
IN_V2 = {
    "max_concurrent_downloads": f"{V2}]\nmax_concurrent_downloads = 10\n",
    "discard_unpacked_layers": f"{V2}.containerd]\ndiscard_unpacked_layers = true\n",
    "disable_snapshot_annotations": f"{V2}.containerd]\ndisable_snapshot_annotations = false\n",
    "image_pull_with_sync_fs": f"{V2}]\nimage_pull_with_sync_fs = true\n",
    "registry.mirrors": f"{V2}.registry.mirrors.'docker.io']\nendpoint = ['https://m.example.com']\n",
    "registry.configs": f"{V2}.registry.configs.'r.example.com'.tls]\nca_file = '/ca.pem'\n",
    "registry.auths": f"{V2}.registry.auths.'r.example.com']\nusername = 'u'\n",
}
BY_HAND = {"registry.mirrors", "registry.configs", "registry.auths"}
VERSIONS = ("2.1.9", "2.2.5", "2.3.4")


def in_force(given: Facts) -> list[str]:
    return [each.trigger.name for each in triggers.find(node(given).effective)]


def after(given: Facts, made: Plan) -> Facts:
    """The node as the plan leaves it."""
    folder = given.folder
    for edit in made.edits:
        if isinstance(edit, Link):
            folder = Folder(edit.path.rpartition("/")[0], Kind.FOLDER, (OURS,))
    return given._replace(files=resulting(given, made), folder=folder)


@pytest.mark.parametrize("sample", [each for each in SAMPLES if each.way is not Way.REFUSE], ids=str)
def test_each_distribution_is_told_with_its_way_and_its_triggers(sample: Sample) -> None:
    found = node(facts(sample))
    assert (found.placed.distribution.name, found.placed.way) == (sample.name, sample.way)
    assert tuple(each.trigger.name for each in triggers.find(found.effective)) == sample.triggers


@pytest.mark.unmeasured
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
@pytest.mark.parametrize("changes", Changes)
def test_plan_leaves_all_else_as_it_is_and_the_next_one_is_empty(sample: Sample, changes: Changes) -> None:
    given = facts(sample)
    made = plan(given, Options(changes))
    assert unexpected(given, made) == ()
    again = plan(after(given, made), Options(changes))
    assert again.empty
    assert again.restart == ""


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_plan_for_the_pull_path_leaves_no_trigger_that_it_says_it_removes(sample: Sample) -> None:
    given = facts(sample)
    made = plan(given, PULL_PATH)
    left = in_force(after(given, made))
    assert not set(made.removes) & set(left)
    if made.placed.way in (Way.DROP_IN, Way.IMPORT):
        assert set(sample.triggers) == set(made.removes) | set(left)
        for name in left:
            assert any(advice.startswith(name) for advice in made.advice)


def test_distributions_that_are_configured_elsewhere_are_only_told() -> None:
    for sample in SAMPLES:
        made = plan(facts(sample), PULL_PATH)
        if made.placed.way in (Way.ADVISE, Way.REFUSE):
            assert all(isinstance(edit, MakeFolder | Link) for edit in made.edits), sample
            assert made.restart == ""
            assert made.advice or not sample.triggers, sample
        if sample.name in ("talos", "bottlerocket", "gke", "cri-o"):
            assert made.empty
            assert made.advice


@pytest.mark.parametrize("of", VERSIONS)
@pytest.mark.parametrize("trigger", IN_V3)
def test_each_trigger_is_found_where_it_stands_and_removed_if_that_is_safe(trigger: str, of: str) -> None:
    given = simple(f"version = 3\n{IN_V3[trigger]}", of=of)
    (found,) = triggers.find(node(given).effective)
    assert (found.trigger.name, found.where[0].file, found.removable) == (trigger, MAIN, trigger not in BY_HAND)
    assert found.where[0].where.startswith(f"{MAIN}: plugins.'io.containerd.cri.v1.images'.{trigger}")
    made = plan(given, PULL_PATH)
    assert unexpected(given, made) == ()
    assert made.removes == (() if trigger in BY_HAND else (trigger,))
    assert in_force(after(given, made)) == ([trigger] if trigger in BY_HAND else [])


@pytest.mark.parametrize("of", VERSIONS)
@pytest.mark.parametrize("trigger", IN_V2)
def test_each_trigger_under_its_old_name_too(trigger: str, of: str) -> None:
    given = simple(f"version = 2\n{IN_V2[trigger]}{RUNTIME}", of=of)
    (found,) = triggers.find(node(given).effective)
    assert found.trigger.name == trigger
    assert "io.containerd.grpc.v1.cri" in found.where[0].where
    made = plan(given, PULL_PATH)
    assert unexpected(given, made) == ()
    assert in_force(after(given, made)) == ([trigger] if trigger in BY_HAND else [])
    (own,) = (edit for edit in made.edits if isinstance(edit, WriteFile)) if made.settings else (None,)
    assert own is None or b"\nversion = 2\n" in own.content


def test_downloads_at_once_move_to_the_transfer_service() -> None:
    given = simple(f"version = 3\n{IN_V3['max_concurrent_downloads']}")
    after_it = merge(load(MAIN, Files(resulting(given, plan(given, PULL_PATH)))), node(given).version)
    moved = after_it.leaf("io.containerd.transfer.v1.local", "max_concurrent_downloads")
    assert moved is not None
    assert moved.value == 10


def test_snapshotter_that_needs_annotations_keeps_them() -> None:
    text = IN_V3["disable_snapshot_annotations"] + "snapshotter = 'soci'\n"
    made = plan(simple(f"version = 3\n{text}"), PULL_PATH)
    assert made.empty
    assert "the snapshotter 'soci' is told of images by it" in made.advice[0]
    assert "enable_remote_snapshot_annotations" in made.advice[0]


@pytest.mark.parametrize("changes", [Changes.NONE, Changes.VERIFIER_ONLY])
def test_pull_path_is_changed_only_if_that_is_asked_for(changes: Changes) -> None:
    made = plan(simple(f"version = 3\n{IN_V3['discard_unpacked_layers']}"), Options(changes))
    assert made.empty
    assert made.advice[0].startswith("discard_unpacked_layers = True: pulls go past the verifier")


def test_nothing_to_do_is_an_empty_plan() -> None:
    assert plan(simple("version = 3\n"), PULL_PATH) == plan(simple("version = 2\n"), Options())._replace(
        placed=plan(simple("version = 3\n"), PULL_PATH).placed
    )
    assert plan(simple("version = 3\n"), PULL_PATH).empty


def test_default_folder_needs_a_link_and_no_restart() -> None:
    given = simple("version = 2\n", folder=Folder(DEFAULT_BIN_DIR, Kind.NOTHING))
    made = plan(given, Options())
    link = Link(f"{DEFAULT_BIN_DIR}/00-nodeseal", "/opt/nodeseal/current/nodeseal")
    assert (made.edits, made.restart) == ((MakeFolder(DEFAULT_BIN_DIR), link), "")


def test_our_link_goes_into_the_folder_that_somebody_else_chose() -> None:
    text = "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = '/srv/v'\n"
    foreign = Entry("10-other", Kind.FILE, "/srv/v/10-other")
    made = plan(simple(text, folder=Folder("/srv/v", Kind.FOLDER, (foreign,))), Options())
    assert made.edits == (Link("/srv/v/00-nodeseal", "/opt/nodeseal/current/nodeseal"),)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("max_verifiers = 0", b"max_verifiers = 10"),
        ("per_verifier_timeout = '3s'", b"per_verifier_timeout = '10s'"),
        ("per_verifier_timeout = 'soon'", b"per_verifier_timeout = '10s'"),
        ("bin_dir = ''", b"bin_dir = '/opt/containerd/image-verifier/bin'"),
    ],
)
def test_settings_that_keep_the_verifier_from_being_called_are_set_right(setting: str, expected: bytes) -> None:
    given = simple(f"version = 2\n[plugins.'io.containerd.image-verifier.v1.bindir']\n{setting}\n")
    made = plan(given, Options())
    (own,) = (edit for edit in made.edits if isinstance(edit, WriteFile))
    assert expected in own.content
    assert "containerd reads its configuration when it starts" in made.restart
    assert unexpected(given, made) == ()
    nothing = plan(given, Options(Changes.NONE))
    assert not [edit for edit in nothing.edits if isinstance(edit, WriteFile | EditFile)]
    assert any("nothing may be changed" in advice for advice in nothing.advice)


def test_entry_beyond_the_limit_raises_the_limit() -> None:
    text = "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = 1\n"
    before = Folder(DEFAULT_BIN_DIR, Kind.FOLDER, (Entry("!first", Kind.FILE, "/x"), OURS))
    assert plan(simple(text), Options()).empty
    assert not plan(simple(text, folder=before), Options()).empty


def test_own_file_keeps_what_it_said_when_something_is_added() -> None:
    first = simple(f"version = 3\n{IN_V3['discard_unpacked_layers']}")
    done = after(first, plan(first, PULL_PATH))
    text = done.files[MAIN].decode().replace("discard", "image_pull_with_sync_fs = true\ndiscard")
    second = done._replace(files={**done.files, MAIN: text.encode()})
    made = plan(second, PULL_PATH)
    assert unexpected(second, made) == ()
    assert in_force(after(second, made)) == []
    (own,) = (edit for edit in made.edits if isinstance(edit, WriteFile))
    assert own.before == done.files[own.path]


def test_main_file_gets_one_line_and_keeps_every_comment() -> None:
    sample = next(each for each in SAMPLES if each.folder == "aks-streaming")
    text = facts(sample).files[MAIN].replace(b"overlaybd", b"overlayfs").replace(b"[proxy_plugins.overlayfs]", b"[x]")
    given = facts(sample, extra={MAIN: b"# hands off\n" + text})
    made = plan(given, PULL_PATH)
    (edit,) = (each for each in made.edits if isinstance(each, EditFile))
    line = b'imports = ["/etc/containerd/conf.d/zzz-nodeseal*.toml"]\n'
    assert line in edit.after
    assert edit.after.replace(line, b"") == edit.before


def test_template_of_microk8s_is_edited_beside_what_was_made_of_it() -> None:
    given = facts(next(each for each in SAMPLES if each.folder == "microk8s"))
    args = "/var/snap/microk8s/current/args"
    text = given.files[f"{args}/containerd.toml"].replace(b"[plugins", b"[x]\n[plugins", 1)
    made = plan(given._replace(files={**given.files, f"{args}/containerd.toml": text}), Options(bin_dir="/srv/v"))
    edited = {edit.path for edit in made.edits if isinstance(edit, EditFile)}
    assert edited == {f"{args}/containerd.toml", f"{args}/containerd-template.toml"}


def test_k0s_restarts_containerd_by_itself_and_demands_version_3() -> None:
    given = facts(next(each for each in SAMPLES if each.folder == "k0s"))
    made = plan(given, Options(bin_dir="/srv/v"))
    (own,) = (edit for edit in made.edits if isinstance(edit, WriteFile))
    assert made.restarts_itself
    assert own.path == f"/etc/k0s/containerd.d/{OWN_FILE}"
    assert b"\nversion = 3\n" in own.content


def test_version_of_our_file_is_the_one_in_force_and_brings_nothing_lost_back() -> None:
    """A file of version 3 behind a main file of 2 has lost the latter's settings: that is to be told, not undone."""
    drop_in = ("/etc/containerd/conf.d/50.toml", "version = 3\n")
    main = f"version = 2\nimports = ['/etc/containerd/conf.d/*.toml']\n{IN_V2['image_pull_with_sync_fs']}{RUNTIME}"
    given = simple(main, drop_in)
    assert in_force(given) == []
    assert node(given).effective.written.lost
    made = plan(given, Options(Changes.PULL_PATH, bin_dir="/srv/v"))
    assert unexpected(given, made) == ()
    (own,) = (edit for edit in made.edits if isinstance(edit, WriteFile))
    assert b"\nversion = 3\n" in own.content


def test_wrong_version_of_a_drop_in_would_be_noticed() -> None:
    sample = next(each for each in SAMPLES if each.folder == "debian")
    given = facts(sample)
    made = plan(given, Options(bin_dir="/srv/v"))
    spoilt = made._replace(
        edits=tuple(
            edit._replace(content=edit.content.replace(b"version = 2", b"version = 3"))
            if isinstance(edit, WriteFile)
            else edit
            for edit in made.edits
        )
    )
    assert unexpected(given, made) == ()
    assert any("the plan doesn't say so" in complaint for complaint in unexpected(given, spoilt))


def test_override_that_does_not_win_would_be_noticed() -> None:
    main = f"version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n{IN_V3['discard_unpacked_layers']}"
    later = ("/etc/containerd/conf.d/zzzz.toml", f"version = 3\n{IN_V3['discard_unpacked_layers']}")
    given = simple(main, later)
    complaints = unexpected(given, plan(given, PULL_PATH))
    assert "discard_unpacked_layers: would still send pulls past the verifier" in complaints


def test_configuration_that_containerd_would_not_start_with_is_left_alone() -> None:
    for text in ("nonsense", "version = 9\n", "imports = ['/etc/missing.toml']\n"):
        made = plan(simple(text), PULL_PATH)
        assert made.empty
        assert made.advice


def test_without_a_configuration_file_containerd_imports_nothing() -> None:
    given = simple("")._replace(files={})
    assert plan(given, Options()).empty
    made = plan(given, Options(bin_dir="/srv/v"))
    assert not [edit for edit in made.edits if isinstance(edit, WriteFile)]
    assert "containerd config default" in " ".join(made.advice)


@pytest.mark.parametrize("plugin", CRI_URIS)
def test_containerd_whose_cri_is_switched_off_is_left_alone_while_it_runs(plugin: str) -> None:
    given = simple(f"disabled_plugins = ['{plugin}']\n")
    running = given._replace(process=Process(1, "/usr/bin/containerd", ("containerd",)))
    made = plan(running, Options(bin_dir="/srv/v"))
    assert (made.placed.way, made.edits) == (Way.REFUSE, ())
    assert "cri-dockerd" in made.placed.advice
    assert [each.id for each in findings.of(node(running))] == ["containerd.no-cri"]
    later = plan(given, Options(bin_dir="/srv/v"))  # an image that is built: who builds it may not be done
    assert later.edits
    assert any(each.startswith(f"{plugin}: ") for each in later.advice)


def test_old_containerd_and_other_runtimes_are_refused_with_the_reason() -> None:
    made = plan(simple("version = 2\n", of="1.7.24"), Options())
    assert (made.placed.way, made.empty) == (Way.REFUSE, True)
    assert made.advice == ("containerd 1.7.24 calls no verifiers for the kubelet's pulls: upgrade to 2.1 or newer",)
    assert "policy.json" in plan(facts(SAMPLES[-1]), Options()).advice[0]
    with pytest.raises(ConfigurationError, match="no version of containerd"):
        node(simple("")._replace(version=None))


def merged(*texts: str, of: str = "2.1.9") -> Merged:
    """What these files come to; the first one imports the others."""
    files = {f"/d/{i}.toml": text.encode() for i, text in enumerate(texts[1:])}
    files["/c.toml"] = f"imports = ['/d/*.toml']\n{texts[0]}".encode()
    return merge(load("/c.toml", Files(files)), version(of))


def image(found: Merged, name: str) -> object:
    setting = found.leaf("io.containerd.cri.v1.images", name)
    return setting.value if setting else None


def test_last_file_that_states_a_version_decides_up_to_2_2() -> None:
    old = f"version = 2\n{IN_V2['max_concurrent_downloads']}"
    assert image(merged(old, "version = 3\n"), "max_concurrent_downloads") is None
    assert image(merged(old, "version = 3\n", "version = 2\n"), "max_concurrent_downloads") == 10
    assert image(merged(old, "version = 3\n", ""), "max_concurrent_downloads") is None
    assert image(merged("version = 3\n", old), "max_concurrent_downloads") == 10
    later = merged(old, "version = 3\n", of="2.3.4")
    assert image(later, "max_concurrent_downloads") == 10
    assert later.problems


def test_settings_beside_no_table_of_runtimes_are_lost_in_the_migration() -> None:
    text = f"version = 2\n{IN_V2['discard_unpacked_layers']}{IN_V2['image_pull_with_sync_fs']}"
    for of in VERSIONS:
        found = merged(text, of=of)
        assert (image(found, "discard_unpacked_layers"), image(found, "image_pull_with_sync_fs")) == (None, True)
        assert image(merged(text + RUNTIME, of=of), "discard_unpacked_layers") is True


def test_empty_values_replace_nothing_at_the_top_and_something_in_a_plugin() -> None:
    found = merged(
        f"version = 3\nroot = '/r'\noom_score = 5\n{V3}]\nsnapshotter = 'native'\n",
        f"root = ''\noom_score = 0\n{V3}]\nsnapshotter = ''\n",
    )
    assert tables.plain(found.top["root"]) == "/r"
    assert tables.plain(found.top["oom_score"]) == 5
    assert image(found, "snapshotter") == ""


def test_files_that_import_each_other_are_read_once() -> None:
    both = {"/a.toml": b"imports = ['/b.toml', '/a.toml']", "/b.toml": b"imports = ['/*.toml']"}
    loaded = load("/a.toml", Files(both))
    assert [file.path for file in loaded.files] == ["/a.toml", "/b.toml"]
    assert loaded.problems == ()


def test_snapshotter_outside_of_containerd_may_need_annotations() -> None:
    text = IN_V3["disable_snapshot_annotations"] + "[proxy_plugins.stargz]\ntype = 'snapshot'\n"
    made = plan(simple(f"version = 3\n{text}"), PULL_PATH)
    assert made.empty
    assert "stargz" in made.advice[0]


def test_folder_that_is_imported_by_a_pattern_that_our_file_does_not_match_is_none() -> None:
    given = simple("version = 3\nimports = ['/etc/x/9*.toml', '/etc/y/site.toml*']\n", ("/etc/y/site.toml", ""))
    made = plan(given, Options(bin_dir="/srv/v"))
    assert (made.placed.way, made.placed.drop_in) == (Way.IMPORT, f"/etc/containerd/conf.d/{OWN_FILE}")
    assert unexpected(given, made) == ()


def test_containerd_is_told_to_wait_longer_than_the_verifier_takes() -> None:
    assert planning.DEADLINE == plugin.DEADLINE
    assert planning.MARGIN > 0
