"""Which ConfigMaps are configurations, and for which nodes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import discovery
from agent.config.discovery import Discovery, discovered, selects
from agent.config.documentset import MAX_DOCUMENTS, MAX_SIZE, NamedDocuments
from agent.errors import ConfigurationError, Malformed
from agent.model.configmap import ConfigMap
from agent.rules.floor import Floor
from tests.config.documents import config_map

BLUE = {"pool": "blue", "kubernetes.io/os": "linux"}


def found(*config_maps: ConfigMap, floor: Floor = Floor(), labels: Any = BLUE, **options: Any) -> Discovery:  # noqa: B008
    """What is discovered on a blue node."""
    return discovered(config_maps, floor=floor, node_labels=labels, **options)


def annotated(**annotations: str) -> ConfigMap:
    """One ConfigMap with annotations of ours."""
    return config_map(
        "a", annotations={f"nodeseal.dev/{key.replace('_', '-')}": text for key, text in annotations.items()}
    )


def test_label_says_which_count() -> None:
    maps = [
        config_map("active"),
        config_map("preview", labels={"nodeseal.dev/config": "preview"}),
        config_map("other", labels={"app": "shop"}),
        config_map("typo", labels={"nodeseal.dev/config": "Active\n\x1b[31m"}),
        config_map("empty", labels={"nodeseal.dev/config": ""}),
    ]
    result = found(*maps)
    assert [each.name for each in result.candidates] == ["nodeseal/active"]
    assert [each.name for each in result.ignored] == ["nodeseal/empty", "nodeseal/typo"]
    assert result.ignored[1].problem.got == r"Active\n\x1b[31m"
    assert found(*reversed(maps)) == result


def test_label_can_have_another_name_and_value() -> None:
    result = found(config_map("a"), config_map("b", labels={"x/y": "on"}), label="x/y", value="on")
    assert [each.name for each in result.candidates] == ["nodeseal/b"]
    assert result.ignored == ()


def test_floor_lists_names_and_their_highest_priorities() -> None:
    floor = Floor(config_maps=(("platform", 100), ("shop", 0)))
    wish = {"nodeseal.dev/priority": "50"}
    result = found(*(config_map(name, annotations=wish) for name in ("platform", "shop", "stranger")), floor=floor)
    assert [(each.name, each.priority) for each in result.candidates] == [
        ("nodeseal/platform", 50),
        ("nodeseal/shop", 0),
    ]
    assert [problem.fatal for each in result.candidates for problem in each.refused] == [False]
    assert [each.name for each in result.ignored] == ["nodeseal/stranger"]
    assert "floor.configMaps" in result.ignored[0].problem.expected
    assert found(config_map("stranger", annotations=wish)).candidates[0].priority == 50


def test_lowest_cap_needs_no_word() -> None:
    (only,) = found(config_map("a"), floor=Floor(config_maps=(("a", -5),))).candidates
    assert (only.priority, only.refused) == (-5, ())


@pytest.mark.parametrize("text", ["", "high", "1.5", "1001", "-1001", "99999999999999999999", "1e3", "١", " 1", "1\n"])
def test_priority_of_another_form_is_an_error_of_the_document(text: str) -> None:
    (only,) = found(annotated(priority=text)).candidates
    assert only.priority == 0
    assert [problem.fatal for problem in only.refused] == [True]


@pytest.mark.parametrize(("text", "priority"), [("7", 7), ("-7", -7), ("+7", 7), ("1000", 1000)])
def test_priority_is_a_whole_number(text: str, priority: int) -> None:
    (only,) = found(annotated(priority=text)).candidates
    assert (only.priority, only.refused) == (priority, ())


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("", True),
        (" ", True),
        ("pool", True),
        ("!pool", False),
        ("pool=blue", True),
        ("pool==blue", True),
        ("pool = green", False),
        ("pool!=green", True),
        ("pool!=blue", False),
        ("zone!=a", True),
        ("zone", False),
        ("!zone", True),
        ("zone=", False),
        ("pool in (green, blue)", True),
        ("pool in (green)", False),
        ("zone in (a)", False),
        ("pool notin (green)", True),
        ("pool notin (blue)", False),
        ("zone notin (a)", True),
        ("kubernetes.io/os=linux,pool=blue,!spot", True),
        ("kubernetes.io/os=linux,pool=green", False),
        ("in in (in)", False),
    ],
)
def test_node_selector_means_what_kubernetes_means(selector: str, selected: bool) -> None:
    assert selects(selector, BLUE) is selected
    result = found(annotated(node_selector=selector))
    assert (len(result.candidates), result.ignored) == (int(selected), ())


@pytest.mark.parametrize(
    "selector",
    ["=", "a=b=c", "a,,b", "a,", ",a", "a in b", "a in (b", "a in ()x", "a in (b!)", "a > 1", "!", "a b", "-a", "a=b c",
     "a" * 64, "a/b/c", "pool=blue; pool", "a," * 100 + "a", "x" * 5000, "\x00"],
)  # fmt: skip
def test_node_selector_that_can_not_be_read_is_an_error_of_the_document(selector: str) -> None:
    with pytest.raises(Malformed):
        selects(selector, BLUE)
    (only,) = found(annotated(node_selector=selector)).candidates
    (problem,) = only.refused
    assert problem.fatal
    assert str(problem).isprintable()


@given(st.text(alphabet="ab=!,() /.-in\n", max_size=60))
def test_any_text_selects_or_is_refused(text: str) -> None:
    try:
        assert selects(text, BLUE) in (True, False)
    except Malformed:
        pass


def test_where_nobody_knows_the_nodes_labels_a_selector_is_not_met_and_that_is_told() -> None:
    result = found(annotated(node_selector="pool=blue"), config_map("b"), labels=None)
    assert [each.name for each in result.candidates] == ["nodeseal/b"]
    assert "nobody knows the labels" in result.ignored[0].problem.expected


def test_texts_and_bytes_are_documents_and_a_key_is_in_one_of_both() -> None:
    given = config_map("a", {"nodeseal.yaml": "x: \u00e4"}, binary_data={"ca.der": b"\x30"})
    (only,) = found(given).candidates
    assert only.documents == {"nodeseal.yaml": "x: \u00e4".encode(), "ca.der": b"\x30"}
    twice = config_map("a", {"nodeseal.yaml": "x"}, binary_data={"nodeseal.yaml": b"y"})
    assert [problem.fatal for problem in found(twice).candidates[0].refused] == [True]


@pytest.mark.parametrize(
    "key", ["..", ".", "..data", "../x", "a/b", "/etc/passwd", "", "a\n", "a\x00", "x" * 254, "\u00e4"]
)
def test_key_that_no_config_map_can_have_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        NamedDocuments.of({"config.json": b"{}", key: b""}, "nodeseal/a")
    assert [str(problem).isprintable() for problem in caught.value.problems] == [True]


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({}, "nothing"),
        ({"ca.crt": b""}, "ca.crt"),
        ({"config.json": b"", "config.yaml": b""}, "config.json and config.yaml"),
        ({"nodeseal.json": b"", "nodeseal.yaml": b""}, "nodeseal.yaml and nodeseal.json"),
        ({"config.json": b"x" * (MAX_SIZE + 1)}, f"at most {MAX_SIZE}"),
        ({f"k{i}": b"" for i in range(MAX_DOCUMENTS + 1)}, f"at most {MAX_DOCUMENTS}"),
        ({f"k{i}": b"x" * MAX_SIZE for i in range(17)}, "bytes together"),
    ],
    ids=["nothing", "no configuration", "two of Ratify's", "two of ours", "large", "many", "large together"],
)
def test_documents_without_one_configuration_or_out_of_bounds_are_refused(
    contents: dict[str, bytes], said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        NamedDocuments.of(contents, "nodeseal/a")
    assert said in "\n".join(map(str, caught.value.problems))


def test_paths_lead_to_documents_of_the_set_and_nowhere_else() -> None:
    contents = {"config.json": b"{}", "nodeseal.yaml": b"x", "ca.crt": b"1", "b.PEM": b"2", "p.rego": b"3", ".x": b"4"}
    documents = NamedDocuments.of({**contents, "nodeseal.sig": b"5"}, "nodeseal/a")
    assert documents.configuration.name == "config.json"
    assert documents.beside is not None
    assert documents.signatures is not None
    assert [each.name for each in documents.find("/etc/certs/")] == ["b.PEM", "ca.crt"]
    assert [each.origin for each in documents.find("/root/.ratify/ca.crt")] == ["nodeseal/a/ca.crt"]
    assert documents.file("/root/p.rego") is not None
    assert documents.find("/etc/ssl/other.crt") == ()
    assert documents.file("/etc/passwd") is None
    assert documents.file("nodeseal.sig") is None
    assert documents.tree("/etc/notation", ("*",)) == ()
    assert documents.outside == ("/etc/ssl/other.crt", "/etc/passwd", "nodeseal.sig", "/etc/notation")
    assert documents.problems() == ()
    assert sorted(documents.contents) == ["b.PEM", "ca.crt", "config.json", "nodeseal.yaml", "p.rego"]


def test_words_of_the_label_are_promises() -> None:
    assert (discovery.LABEL, discovery.ACTIVE, discovery.PREVIEW) == ("nodeseal.dev/config", "active", "preview")
    assert (discovery.PRIORITY, discovery.NODE_SELECTOR) == ("nodeseal.dev/priority", "nodeseal.dev/node-selector")
