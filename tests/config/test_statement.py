"""What is signed of a configuration, to the byte; and which serial may come after which."""

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import serialform, statement
from agent.config.serialform import Applied
from agent.errors import Malformed

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
DOCUMENTS = {"nodeseal.yaml": b"b", "config.json": b"{}", "\u00e9\U0001f512.crt": b""}


def test_a_statement_is_what_the_documentation_says_to_the_byte() -> None:
    one, two, three = (sha256(DOCUMENTS[name]).hexdigest() for name in sorted(DOCUMENTS))
    assert statement.of(DOCUMENTS).decode("ascii") == (
        f'{{"documents":{{"config.json":"sha256:{one}","nodeseal.yaml":"sha256:{two}",'
        f'"\\u00e9\\ud83d\\udd12.crt":"sha256:{three}"}},"nodeseal":"configuration","version":1}}\n'
    )


def test_order_makes_no_difference() -> None:
    assert statement.of(dict(reversed(DOCUMENTS.items()))) == statement.of(DOCUMENTS)


@given(st.dictionaries(st.text(), st.binary(), max_size=4), st.dictionaries(st.text(), st.binary(), max_size=4))
def test_other_documents_make_another_statement(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert (statement.of(one) == statement.of(other)) is (one == other)


def test_a_name_that_is_no_text_stands_for_itself_alone() -> None:
    """Names of files may be any bytes; what is no UTF-8 must not become the same as something else."""
    assert statement.of({"\udcff": b""}) != statement.of({"\ufffd": b""})


@given(st.integers(0, serialform.MAX_SERIAL))
def test_a_serial_is_read_back(serial: int) -> None:
    content = serialform.encode(Applied(serial, ONE))
    assert serialform.decode(content) == Applied(serial, ONE)
    assert len(content) < serialform.MAX_SIZE / 2


GOOD = {"formatVersion": 1, "serial": 7, "statement": ONE}
DAMAGED = {
    "nothing": b"",
    "zeros": b"\0" * 120,
    "cut": serialform.encode(Applied(7, ONE))[:-1],
    "too long": serialform.encode(Applied(7, ONE)) + b" " * serialform.MAX_SIZE,
    "a number": b"7",
    **{
        f"{key} {value!r}": json.dumps(GOOD | {key: value}).encode()
        for key, value in (
            ("formatVersion", 2),
            ("formatVersion", None),
            ("serial", -1),
            ("serial", True),
            ("serial", 7.0),
            ("serial", "7"),
            ("serial", serialform.MAX_SERIAL + 1),
            ("statement", ""),
            ("statement", 7),
            ("statement", ONE + "\n"),
            ("more", 1),
        )
    },
    "no serial": json.dumps({"formatVersion": 1, "statement": ONE}).encode(),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_what_nodeseal_did_not_write_is_no_serial(damage: str) -> None:
    with pytest.raises(Malformed):
        serialform.decode(DAMAGED[damage])


@pytest.mark.parametrize(
    ("applied", "last", "told"),
    [
        (Applied(0, ONE), None, None),
        (Applied(7, ONE), Applied(7, ONE), None),
        (Applied(8, TWO), Applied(7, ONE), None),
        (Applied(8, ONE), Applied(7, ONE), None),
        (Applied(6, TWO), Applied(7, ONE), ("6", "at least 7, the last serial")),
        (Applied(6, ONE), Applied(7, ONE), ("6", "at least 7, the last serial")),
        (Applied(7, TWO), Applied(7, ONE), ("7, which", "at least 8")),
        (Applied(0, TWO), Applied(0, ONE), ("0, which", "at least 1")),
    ],
)
def test_a_serial_never_goes_down(applied: Applied, last: Applied | None, told: tuple[str, str] | None) -> None:
    found = serialform.complaint(applied, last)
    assert (found is None) is (told is None)
    for words, expected in zip(found or (), told or (), strict=True):
        assert words.startswith(expected)
