"""trusted_root.json: what is trusted, for when; and nothing that is only half said."""

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from agent.trust.trustedroot import TrustedRoot, Window
from agent.trust.trustedroot_document import MEDIA_TYPES, Read, read
from tests import signing_sigstore as sigstore
from tests.signing import key
from tests.sigstore_cases import changed


def root(path: str = "", value: Any = None) -> Read:
    made = sigstore.instance().trusted_root()
    if path:
        where: Any = made
        *outer, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in outer:
            where = where[part]
        if value is ...:
            del where[last]
        else:
            where[last] = value
    return read("tests", json.dumps(made).encode(), "trusted_root.json")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def test_everything_is_read_and_comes_back_from_a_snapshot() -> None:
    found = root()
    assert found.root is not None and not found.problems
    assert [len(each) for each in found.root[1:]] == [1, 2, 1, 1]
    assert found.root.transparency_logs[1].name == "rekor2.example.test"
    assert len(found.material) == 3 + 4  # keys, certificates
    assert TrustedRoot.from_json(json.loads(json.dumps(found.root.to_json()))) == found.root


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_each_spelling_of_the_media_type_is_taken(media_type: str) -> None:
    assert root("mediaType", media_type).root is not None


@pytest.mark.parametrize("end", ["9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.9999999Z"])
def test_time_beyond_all_calendars_is_the_last_or_first_one_of_ours(end: str) -> None:
    found = root("tlogs.0.publicKey.validFor", {"start": "0001-01-01T00:00:00+23:59", "end": end}).root
    assert found is not None
    start, last = found.transparency_logs[0].window
    assert datetime.fromtimestamp(start, timezone.utc).year == 1
    assert datetime.fromtimestamp(last or 0.0, timezone.utc).year == 9999


def test_unknown_members_are_ignored() -> None:
    assert root("tlogs.0.operator", "somebody").root is not None


def test_window_includes_its_ends_and_knows_zones_and_fractions() -> None:
    window = {"start": "2026-01-01T01:00:00+01:00", "end": "2026-01-02T00:00:00.5Z"}
    found = root("certificateAuthorities.0.validFor", window).root
    assert found is not None
    counts = found.certificate_authorities[0].window
    assert counts == Window(moment("2026-01-01").timestamp(), moment("2026-01-02").timestamp() + 0.5)
    assert counts.holds(moment("2026-01-01")) and counts.holds(moment("2026-01-02T00:00:00.500"))
    assert not counts.holds(moment("2025-12-31T23:59:59.999")) and not counts.holds(moment("2026-01-02T00:00:00.501"))


def test_id_of_an_ed25519_log_has_the_forms_that_entries_use() -> None:
    instance = sigstore.Instance(7, second_log="Ed25519")
    found = read("tests", json.dumps(instance.trusted_root()).encode(), "x").root
    assert found is not None
    ids = found.transparency_logs[1].ids
    assert sorted(map(len, ids)) == [4, 32, 32] and instance.second_log_id in ids
    value = instance.trusted_root()
    (whole,) = (each for each in ids if len(each) > 4 and each.startswith(instance.second_log_id))
    for given in ({"keyId": sigstore.b64(whole)}, {}):  # entries may call it by either, whatever the file says
        value["tlogs"][1]["logId"] = given
        again = read("tests", json.dumps(value).encode(), "x").root
        assert again is not None and {whole, whole[:4]} <= set(again.transparency_logs[1].ids)


def test_log_is_called_by_the_host_of_its_address_alone() -> None:
    for address in ("https://log.example:8443/api", "https://user@log.example", "http://LOG.example/"):
        found = root("tlogs.1.baseUrl", address).root
        assert found is not None and found.transparency_logs[1].name == "log.example"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("mediaType", ...),
        ("mediaType", "application/json"),
        ("tlogs", {}),
        ("tlogs", [{}] * 65),
        ("tlogs.0", "x"),
        ("tlogs.0.publicKey", ...),
        ("tlogs.0.publicKey.validFor", ...),
        ("tlogs.0.publicKey.validFor", {}),
        ("tlogs.0.publicKey.validFor", {"end": "2026-01-01T00:00:00Z"}),
        ("tlogs.0.publicKey.validFor", {"start": "2026-01-01"}),
        ("tlogs.0.publicKey.validFor", {"start": "2026-13-01T00:00:00Z"}),
        ("tlogs.0.publicKey.validFor", {"start": 5}),
        ("tlogs.0.publicKey.rawBytes", ...),
        ("tlogs.0.publicKey.rawBytes", "?"),
        ("tlogs.0.logId.keyId", "?"),
        ("certificateAuthorities.0.validFor", ...),
        ("certificateAuthorities.0.certChain", ...),
        ("certificateAuthorities.0.certChain.certificates", []),
        ("certificateAuthorities.0.certChain.certificates", [{"rawBytes": "AAAA"}]),
        ("timestampAuthorities.0.certChain.certificates", ["x"]),
    ],
)
def test_what_is_half_said_is_an_error(path: str, value: Any) -> None:
    found = root(path, value)
    assert found.root is None
    assert [problem.fatal for problem in found.problems] == [True]
    assert found.problems[0].path.startswith("trusted_root.json")


@pytest.mark.parametrize("kind", ["P-224", "RSA-1024", "P-256k"])
def test_key_of_another_kind_is_left_out_and_told(kind: str) -> None:
    found = root("tlogs.0.publicKey.rawBytes", sigstore.b64(sigstore.spki(key(kind))))
    assert found.root is not None and len(found.root.transparency_logs) == 1
    (problem,) = found.problems
    assert not problem.fatal and problem.path == "trusted_root.json.tlogs[0]"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b" " * 1024 * 1025, json.dumps({"mediaType": MEDIA_TYPES[0]}).encode()]
)
def test_what_is_no_trusted_root_at_all_is_an_error(content: bytes) -> None:
    assert [problem.fatal for problem in read("tests", content, "x").problems] == [True]


def test_missing_address_leaves_the_second_rekor_without_a_name() -> None:
    for address in (None, 5, "https://[", ""):
        made = sigstore.instance().trusted_root()
        made["tlogs"][1] = changed(made["tlogs"][1], "baseUrl", address) if address is not None else made["tlogs"][1]
        if address is None:
            del made["tlogs"][1]["baseUrl"]
        found = read("tests", json.dumps(made).encode(), "x").root
        assert found is not None and found.transparency_logs[1].name == ""
