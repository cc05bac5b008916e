"""Checkpoints: a signed note has one reading."""

import pytest

from agent.codec.signednote import Checkpoint, NoteSignature, parse
from agent.errors import LimitExceeded, Malformed

TEXT = "log.example.test\n9\ncm9vdA==\n"
SIGNATURE = "\u2014 log.example.test MTIzNHNpZ25hdHVyZQ==\n"


def test_tree_and_signatures_are_read() -> None:
    other = "\u2014 a witness QUJDRHg=\n"
    assert parse(f"{TEXT}more\n\n{SIGNATURE}{other}") == Checkpoint(
        "log.example.test",
        9,
        b"root",
        f"{TEXT}more\n".encode(),
        (NoteSignature("log.example.test", b"1234", b"signature"), NoteSignature("a witness", b"ABCD", b"x")),
    )


def test_empty_lines_belong_to_the_text_but_the_last() -> None:
    assert parse(f"{TEXT}\n\n{SIGNATURE}").signed == f"{TEXT}\n".encode()


@pytest.mark.parametrize(
    "note",
    [
        "",
        f"{TEXT}\n{SIGNATURE[:-1]}x",
        TEXT,
        f"{TEXT}\n",
        f"{TEXT}{SIGNATURE}",
        f"{TEXT}\n{SIGNATURE}"[:-1],
        f"{TEXT}\n{SIGNATURE}x\n",
        f"{TEXT}\n{SIGNATURE.replace(chr(0x2014), '-')}",
        f"{TEXT}\n\u2014 MTIzNHNpZ25hdHVyZQ==\n",
        f"{TEXT}\n\u2014  MTIzNHNpZ25hdHVyZQ==\n",
        f"{TEXT}\n\u2014 log MTIzNA==\n",
        f"{TEXT}\n\u2014 log ???\n",
        f"\n9\ncm9vdA==\n\n{SIGNATURE}",
        f"log\n9\n\n{SIGNATURE}",
        f"log\n09\ncm9vdA==\n\n{SIGNATURE}",
        f"log\n-9\ncm9vdA==\n\n{SIGNATURE}",
        f"log\n\u0669\ncm9vdA==\n\n{SIGNATURE}",
        f"log\n{'9' * 20}\ncm9vdA==\n\n{SIGNATURE}",
        f"log\n\ncm9vdA==\n\n{SIGNATURE}",
        f"log\n9\n?\n\n{SIGNATURE}",
        f"log\r\n9\ncm9vdA==\n\n{SIGNATURE}",
    ],
    ids=ascii,
)
def test_anything_else_is_malformed(note: str) -> None:
    with pytest.raises(Malformed):
        parse(note)


def test_length_and_number_have_limits() -> None:
    for note in (f"{TEXT}{'x' * 17000}\n\n{SIGNATURE}", f"{TEXT}\n{SIGNATURE * 33}"):
        with pytest.raises(LimitExceeded):
            parse(note)
