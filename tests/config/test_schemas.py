"""Schemas that a configuration names: how much of them is looked through, where, and what is told of the others."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from agent.adapters.policy_worker import Trials
from agent.config import ratify
from agent.config.config import Config
from agent.config.sources import MAX_WORK
from agent.errors import ConfigurationError, LimitExceeded, PolicyFault, Problem
from agent.model.documents import Document
from tests.config.test_reportcheck import SIGNATURE, own
from tests.config.test_sources import Folder


class Schemas(Folder):
    """Documents under their names."""

    def __init__(self, files: Mapping[str, object]) -> None:
        """What is written as JSON."""
        super().__init__()
        self._files = {name: Document(name, json.dumps(each).encode(), f"set/{name}") for name, each in files.items()}


class Looks:
    """Work that is not done but counted; after `most` pieces there is no time for more."""

    def __init__(self, most: int = 1000) -> None:
        """None yet."""
        self.count, self._most = 0, most

    def __call__(self, work: Callable[[], bytes]) -> bytes:
        """Nothing is found."""
        del work
        if self.count >= self._most:
            raise LimitExceeded("no time is left")
        self.count += 1
        return b""


def validators(*names: str) -> dict[str, Any]:
    """A configuration with a verifier for each of these schemas."""
    one = {"type": "schemavalidator", "artifactTypes": "a/b", "signedBy": ["signature"]}
    listed = [{**one, "name": f"v{i}", "schemas": {"c/d": f"file:///{name}"}} for i, name in enumerate(names)]
    return own(SIGNATURE, *listed)


def read(
    value: object, files: Mapping[str, object], labour: Callable[[Callable[[], bytes]], bytes] | None
) -> tuple[Config | None, list[Problem]]:
    """The configuration, and what is told of its schemas."""
    document = Document("config.json", json.dumps(value).encode(), "config.json")
    try:
        found = ratify.read(document, Schemas(files), node=ratify.NO_NODE._replace(labour=labour))
    except ConfigurationError as error:
        return None, [each for each in error.problems if each.fatal]
    return found.config, [each for each in found.warnings if "schema" in each.got]


def large(number: int) -> dict[str, object]:
    """A schema of nearly as many values as one of its draft may have; it takes a second or two to look through."""
    return {"title": f"{number}", "properties": {f"p{i}": {"type": "string"} for i in range(1_900)}}


WORK = 5 * 3_803
"""What that is to look through: a value of this draft counts for five of an older one."""


def test_many_large_schemas_are_refused_before_they_are_looked_through() -> None:
    files = {f"s{i}.json": large(i) for i in range(60)}
    looks = Looks()
    config, problems = read(validators(*files), files, looks)
    assert config is None
    assert looks.count == MAX_WORK // WORK
    assert len(problems) == 60 - looks.count
    assert problems[0].path == f"config.json: nodeseal.verifiers[{looks.count + 1}].schemas[c/d]"
    assert problems[0].got == (
        f"s{looks.count}.json: schemas of {(looks.count + 1) * WORK} values up to this one, those of drafts "
        "from 2019-09 on counted for several"
    )
    assert problems[0].expected == f"at most {MAX_WORK} in one configuration"


def test_schema_that_many_verifiers_name_is_looked_through_once() -> None:
    files, looks = {"one.json": large(1)}, Looks()
    config, problems = read(validators(*["one.json"] * 60), files, looks)
    assert config is not None
    assert (looks.count, problems) == (1, [])


def test_schemas_that_no_time_is_left_for_are_told_once_and_used() -> None:
    files = {f"s{i}.json": {"title": f"{i}"} for i in range(20)}
    config, problems = read(validators(*files), files, Looks(most=3))
    assert config is not None
    assert config.verifiers[-1].settings["schemas"] == {"c/d": files["s19.json"]}
    (problem,) = problems
    assert not problem.fatal
    assert problem.path == "set/s3.json"
    assert (
        problem.got == "a schema (and 16 more) that was not looked through: too little time, or memory, was left for it"
    )


@pytest.mark.parametrize("labour", [None, Trials(60.0).labour], ids=["on the spot", "in a process of its own"])
def test_what_is_wrong_with_a_schema_is_told_in_its_words_wherever_it_was_found(
    labour: Callable[[Callable[[], bytes]], bytes] | None,
) -> None:
    files = {"bad.json": {"type": "nothing"}, "good.json": {"type": "object"}}
    config, problems = read(validators(*files), files, labour)
    assert config is None
    assert [(each.path, each.got) for each in problems] == [
        ("config.json: nodeseal.verifiers[1].schemas[c/d]", "bad.json: no JSON Schema (at type)")
    ]


def test_looking_through_many_documents_ends_and_takes_nothing_from_policies() -> None:
    trials = Trials(0.2)

    def endless() -> Any:
        while True:
            pass

    with pytest.raises(LimitExceeded, match="took more than 0.2 s"):
        trials.labour(endless)
    with pytest.raises(LimitExceeded, match="no time that is left"):
        trials.labour(lambda: b"")
    with pytest.raises(PolicyFault, match="took more than 0.2 s"):  # it was tried
        trials(endless)
