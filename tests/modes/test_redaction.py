"""What is blacked out of a text, and what is left out of a value."""

import time

import pytest

from agent.modes.redaction import BLACKED, EVERY, KEEP, SCALAR, selected, text, value

IMAGE = "r.example:5000/team/x:1@sha256:" + "5" * 64


@pytest.mark.parametrize(
    "given",
    [
        "https://user:hunter2@r.example/v2/",
        "https://hunter2@r.example/v2/",
        "user:hunter2@r.example/team/x:1",
        "user:hun/hunter2@r.example/team/x",
        f"https://user:hunter2@{IMAGE}",
        "see https://blob.example/x?sig=hunter2&se=1 there",
        "Authorization: Bearer hunter2hunter2==",
        "authorization=Basic dXNlcjpodW50ZXIy-hunter2",
        '{"password": "hunter2"}',
        "{'identitytoken':'hunter2'}",
        "PASSWORD=hunter2",
        '{"auth": "hunter2"}',
        "X-Registry-Auth: hunter2",
        "client-secret: hunter2, next",
        "x eyJhbGciOiJSUzI1NiJ9.hunter2.hunter2 y",
        "-----BEGIN EC PRIVATE KEY-----\nhunter2\n-----END EC PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nhunter2",
    ],
)
def test_what_looks_like_a_secret_is_blacked_out(given: str) -> None:
    assert "hunter2" not in text(given)
    assert BLACKED in text(given)


@pytest.mark.parametrize(
    "given",
    [
        IMAGE,
        f"deny NS-2103 rule=payments: signer not trusted (CN=build@example.com); see: nodeseal verify {IMAGE}",
        f"https://{IMAGE}",
        "x@sha512:" + "6" * 128,
        "someone@example.com",
        "author: somebody, authority=r.example",
    ],
)
def test_what_helps_stays(given: str) -> None:
    assert text(given) == given


def test_control_characters_are_written_as_escapes() -> None:
    assert text("a\x1b[31m\nb\x00\u202e") == "a\\x1b[31m\\nb\\x00\\u202e"


def test_a_long_text_is_cut_and_a_secret_at_the_cut_is_seen() -> None:
    assert len(text("x" * 100_000)) < 4200
    assert "hunter2" not in text("x" * 4070 + " https://user:hunter2" + "y" * 100 + "@r.example/")


@pytest.mark.parametrize(
    "piece", ["!:", "token-", "https://", "a:b@", "-eyJ-", "-----BEGIN ", "password", "bearer ", "@:"]
)
def test_no_text_takes_long(piece: str) -> None:
    begun = time.process_time()
    text(piece * 20_000)
    assert time.process_time() - begun < 2


def test_every_text_of_a_value_is_redacted_keys_too() -> None:
    given = {"https://u:hunter2@r.example": ["password=hunter2", {"x": ("token: hunter2", 1, None, True)}]}
    assert "hunter2" not in str(value(given))
    assert value([1, 1.5, None, True]) == [1, 1.5, None, True]


def test_only_what_is_listed_stays() -> None:
    given = {"name": "x", "key": "hunter2", "inner": {"a": 1, "b": "hunter2"}, "list": [{"a": 2, "c": "hunter2"}]}
    found = selected(given, {"name": KEEP, "inner": {"a": KEEP}, "list": {"a": KEEP}})
    assert found == {
        "name": "x",
        "key": "(left out: 9 characters)",
        "inner": {"a": 1, "b": "(left out: 9 characters)"},
        "list": [{"a": 2, "c": "(left out: 9 characters)"}],
    }


def test_a_value_of_another_kind_than_listed_is_left_out() -> None:
    assert selected({"a": {"b": "hunter2"}}, {"a": KEEP}) == {"a": "(left out: 1 keys)"}
    assert selected({"a": "hunter2"}, {"a": {"b": KEEP}}) == {"a": "(left out: str)"}
    assert selected("Fail", {SCALAR: KEEP, EVERY: KEEP}) == "Fail"
    assert selected({"deadline": "Fail"}, {SCALAR: KEEP, EVERY: KEEP}) == {"deadline": "Fail"}
