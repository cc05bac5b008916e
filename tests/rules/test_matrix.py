"""The table of all answers: the oracle, the asset, and every door say the same."""

import os
import pathlib
from collections.abc import Iterable
from itertools import product

import pytest

from agent.adapters.spool import Spool
from agent.errors import Cause
from agent.model.answer import Ground
from agent.rules.rule import Enforcement, FailureAction
from tests.rules import doors, matrix, settings
from tests.rules.matrix import MAIN_GLASS, MAIN_HOSTS, MAIN_LISTS, Expected, Row

SITUATIONS = pytest.mark.parametrize(("situation", "floor"), matrix.SITUATIONS)
ROWS = 12_786


@pytest.fixture(autouse=True)
def _no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of files are laid out here; that they survive a power cut is not what is asked."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def differences(rows: Iterable[Row], answers: Iterable[Expected]) -> list[tuple[Row, Expected, Expected]]:
    """Rows with the wrong answer: what was said, what was expected.  Every row must have one."""
    return [
        (row, said, matrix.expected(row))
        for row, said in zip(rows, answers, strict=True)
        if said != matrix.expected(row)
    ]


def test_table_is_what_the_oracle_says() -> None:
    assert matrix.ASSET.read_text(encoding="ascii") == matrix.table(), "python -m tests.rules.matrix writes it"


def test_table_is_complete() -> None:
    rows = matrix.rows()
    assert len(rows) == len(set(rows)) == ROWS
    found = ("verified", "denied", *(cause.value for cause in Cause))
    for floor in ("usual", "strict"):
        assert {row.situation for row in rows if row.floor == floor} == set(found)
    assert dict(zip(Row._fields, map(set, zip(*rows, strict=True)), strict=True)) == {
        "situation": set(found),
        "floor": {"usual", "lenient", "strict"},
        "action": {action.value for action in FailureAction},
        "enforcement": {enforcement.value for enforcement in Enforcement},
        "listed": set(matrix.LISTS),
        "glass": set(matrix.GLASS),
        "before": set(matrix.BEFORE),
        "host": set(matrix.HOSTS),
    }
    main = product(found, matrix.ACTIONS, matrix.ENFORCEMENTS, MAIN_LISTS, MAIN_GLASS, matrix.BEFORE, MAIN_HOSTS)
    assert {Row(each, "usual", *others) for each, *others in main} <= set(rows)
    answers = list(map(matrix.expected, rows))
    assert {answer.ground for answer in answers} == {"", *(ground.value for ground in Ground)}
    assert {answer.precedence for answer in answers} == set(range(2, 9))  # 1, the canary, knows no combinations


def test_every_row_is_asked_at_every_door() -> None:
    asked = [each for situation in matrix.SITUATIONS for each in settings.settings_of(*situation)]
    assert {row for each in asked for row in each.rows()} == set(matrix.rows())


@SITUATIONS
def test_precedence_alone(situation: str, floor: str) -> None:
    for setting in settings.settings_of(situation, floor):
        rows = list(setting.rows())
        assert differences(rows, doors.at_precedence(setting, rows)) == []


@pytest.mark.unmeasured
@SITUATIONS
def test_judgement_with_an_engine(situation: str, floor: str) -> None:
    for setting in settings.settings_of(situation, floor):
        rows = list(setting.rows())
        assert differences(rows, doors.at_judgement(setting, rows)) == []


@pytest.mark.unmeasured
@SITUATIONS
def test_plugin_over_files_which_tells_the_spool_the_same(
    situation: str, floor: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i, setting in enumerate(settings.settings_of(situation, floor)):
        rows, root = list(setting.rows()), tmp_path / str(i)
        with monkeypatch.context() as patches:
            assert differences(rows, doors.at_plugin(setting, rows, root, patches.setattr)) == []
        told = Spool(str(root)).read()
        assert told.gaps == 0
        spooled = [Expected(each.exit, each.code, each.precedence, each.ground, each.would) for each in told.records]
        assert differences(rows, spooled) == []


@pytest.mark.unmeasured
@SITUATIONS
def test_daemon_over_files(situation: str, floor: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, setting in enumerate(settings.settings_of(situation, floor)):
        rows = list(setting.rows())
        with monkeypatch.context() as patches:
            assert differences(rows, doors.at_daemon(setting, rows, tmp_path / str(i), patches.setattr)) == []


@pytest.mark.unmeasured
@SITUATIONS
def test_verify_over_files(situation: str, floor: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, setting in enumerate(settings.settings_of(situation, floor)):
        rows = list(setting.rows())
        with monkeypatch.context() as patches:
            assert differences(rows, doors.at_verify(setting, rows, tmp_path / str(i), patches.setattr)) == []


@pytest.mark.unmeasured
@pytest.mark.parametrize("cause", doors.SAID_BY_THE_REGISTRY)
def test_verify_over_files_where_not_even_the_image_can_be_had(
    cause: Cause, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i, setting in enumerate(settings.settings_of(cause.value, matrix.USUAL)):
        rows, root = list(setting.rows()), tmp_path / str(i)
        with monkeypatch.context() as patches:
            assert differences(rows, doors.at_verify(setting, rows, root, patches.setattr, resolves=False)) == []


PULLS = (
    Row("verified", "usual", "Fail", "Enforce", "none", "off", "nothing", "exact"),
    Row("denied", "usual", "Ignore", "Enforce", "none", "off", "within", "any"),
    Row("denied", "usual", "Fail", "Audit", "none", "off", "nothing", "any"),
    Row("registryUnavailable", "usual", "Fail", "Enforce", "none", "off", "within", "exact"),
    Row("deadline", "usual", "IgnoreIfVerifiedBefore", "Enforce", "none", "off", "beyond", "exact"),
    Row("revocationUnknown", "usual", "Ignore", "Enforce", "none", "off", "within", "exact"),
    Row("configurationMissing", "usual", "Ignore", "Enforce", "none", "off", "nothing", "any"),
    Row("clockImplausible", "usual", "Fail", "Enforce", "none", "node", "nothing", "any"),
    Row("keyProvider", "usual", "Ignore", "Enforce", "none", "off", "nothing", "exact"),
    Row("configurationStale", "usual", "Fail", "Enforce", "none", "off", "within", "exact"),
    Row("configurationStale", "usual", "IgnoreIfVerifiedBefore", "Enforce", "none", "off", "beyond", "exact"),
    Row("denied", "usual", "Ignore", "Enforce", "others", "configured", "within", "any"),
    Row("denied", "strict", "Ignore", "Disabled", "exempt", "node", "within", "exact"),
    Row("configurationMissing", "usual", "Ignore", "Enforce", "none", "off", "nothing", "unmatched"),
    Row("unauthorized", "usual", "Fail", "Enforce", "deny", "node", "within", "exact"),
)  # fmt: skip


@pytest.mark.parametrize("row", PULLS, ids="-".join)
def test_pull_in_a_process_of_its_own(row: Row, tmp_path: pathlib.Path) -> None:
    assert row in matrix.rows()
    exit_code, code, _, ground, _ = matrix.expected(row)
    word = {0: "allow", 10: "deny", 11: "cannot tell"}[exit_code]
    found, line = doors.in_a_process(row, tmp_path)
    assert found == exit_code
    assert line.startswith(f"{word} {code} rule=")
    assert (f" ground={ground}: " if ground else "; see: nodeseal verify --explain ") in line or code == "NS-2009"
    assert line.endswith("\n")
    assert line.count("\n") == 1
