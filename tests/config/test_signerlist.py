"""`denySigners` in a configuration: what is read, what is refused, and what it ends."""

import json
import time
from typing import Any

import pytest

from agent.config import canonical
from agent.config.config import Config
from agent.config.dialectschema import MAX_DENIED_SIGNERS
from agent.config.joining import MAX_DENIED_SIGNERS as MOST_TOGETHER
from agent.errors import Malformed
from agent.model.signer import DeniedSigner
from tests.config.documents import candidate, merge, says, told
from tests.config.test_dialect import changed
from tests.config.test_terms import checked, errors, warnings

HEX = "0123456789abcdef" * 4
KEY = {"key": f"sha256:{HEX}"}


def denied(*entries: object) -> Config:
    """A configuration with such a list."""
    return checked(changed("nodeseal.denySigners", list(entries))).config


def test_entries_are_read_each_once_and_survive_a_snapshot() -> None:
    config = denied(
        KEY,
        {"certificate": f"sha256:{HEX}"},
        {"issuer": "https://i.example", "subjectRegExp": "https://github[.]com/acme/.*"},
        {"issuerRegExp": "https://.*[.]example"},
        {"subject": "dev@acme.example"},
        KEY,
    )
    assert config.denied_signers == (
        DeniedSigner(key=HEX),
        DeniedSigner(certificate=HEX),
        DeniedSigner(issuer="exact https://i.example", subject="regexp https://github[.]com/acme/.*"),
        DeniedSigner(issuer="regexp https://.*[.]example"),
        DeniedSigner(subject="exact dev@acme.example"),
    )
    again = canonical.decode(canonical.encode(config), config.certificates.__getitem__)
    assert again == config


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"key": HEX},
        {"key": f"sha256:{HEX.upper()}"},
        {"key": f"sha256:{HEX[1:]}"},
        {"key": f"sha512:{HEX}{HEX}"},
        {"certificate": HEX},
        {**KEY, "certificate": f"sha256:{HEX}"},
        {**KEY, "subject": "x"},
        {"subject": "x", "subjectRegExp": "y"},
        {"issuer": "x", "issuerRegExp": "y", "subject": "z"},
        {"subjectRegExp": "("},
        {"subjectRegExp": "x" * 1001},
        {"subject": ""},
        {"subject": 5},
        {"issuer": "x", "subjct": "y"},
        "sha256:...",
        None,
    ],
    ids=str,
)
def test_entry_that_says_too_little_or_too_much_is_an_error_and_denies_nobody(entry: object) -> None:
    found = errors(changed("nodeseal.denySigners", [KEY, entry]))
    assert found
    assert all(place.startswith("denySigners[1]") for place in found)
    spoilt = merge([candidate("a", says("r.example/a/**")), candidate("b", says("r/b", denySigners=[entry], oops=1))])
    assert spoilt.config is not None
    assert spoilt.config.denied_signers == ()


def test_expression_that_leaves_nobody_out_is_told() -> None:
    assert list(warnings(changed("nodeseal.denySigners", [{"issuerRegExp": ".*"}]))) == ["denySigners[0].issuerRegExp"]


@pytest.mark.parametrize("expression", [r"((\pL|\pN){20}){20}", r"(\pL{1000})", r"\pL+"])
def test_expression_that_takes_long_to_compile_is_refused_soon(expression: str) -> None:
    entries = [{"subjectRegExp": f"{expression}{i}"} for i in range(MAX_DENIED_SIGNERS)]
    begun = time.process_time()
    assert len(errors(changed("nodeseal.denySigners", entries))) == MAX_DENIED_SIGNERS
    assert time.process_time() - begun < 5


def test_list_has_a_bound() -> None:
    many = [{"subject": str(i)} for i in range(MAX_DENIED_SIGNERS + 1)]
    assert list(errors(changed("nodeseal.denySigners", many))) == ["denySigners"]
    assert len(denied(*many[1:]).denied_signers) == MAX_DENIED_SIGNERS


def grounds(config: Config) -> list[str]:
    """What verdicts under its rules rest on."""
    return [rule.ground for rule in config.rules]


def test_another_list_ends_what_is_remembered_and_the_same_one_does_not() -> None:
    none, one, two = (denied(*entries) for entries in ([], [KEY], [KEY, {"subject": "x"}]))
    assert len({tuple(grounds(each)) for each in (none, one, two)}) == 3
    assert grounds(denied({"subject": "x"}, KEY)) == grounds(two)
    without = checked(changed("nodeseal.serial", 1)).config
    assert grounds(without) == grounds(none)


def test_snapshot_of_a_program_that_knows_no_such_list_is_not_read_as_one_that_denies_nobody() -> None:
    form = json.loads(canonical.encode(denied(KEY)))
    del form["deniedSigners"]
    with pytest.raises(Malformed, match="no configuration"):
        canonical.decode(json.dumps(form).encode(), lambda _: b"")


def test_what_one_document_denies_holds_for_the_images_of_all() -> None:
    quiet = candidate("a", says("r.example/a/**"))
    before = merge([quiet])
    after = merge([quiet, candidate("b", says("r.example/b/**", denySigners=[KEY]))])
    assert before.config is not None
    assert after.config is not None
    of_a = [rule.ground for rule in after.config.rules if rule.owner == "nodeseal/a"]
    assert of_a != grounds(before.config)


def test_of_too_many_one_of_each_document_counts_after_another() -> None:
    def document(name: str, count: int) -> Any:
        entries = [{"subject": f"{name} {i}"} for i in range(count)]
        return candidate(name, says(f"r.example/{name}/**", denySigners=entries))

    loud = [document(f"loud{i}", MAX_DENIED_SIGNERS) for i in range(MOST_TOGETHER // MAX_DENIED_SIGNERS)]
    after = merge([*loud, document("quiet", 2)])
    assert after.config is not None
    assert len(after.config.denied_signers) == MOST_TOGETHER
    assert {"exact quiet 0", "exact quiet 1"} <= {each.subject for each in after.config.denied_signers}
    assert "denySigners" in told(after)
