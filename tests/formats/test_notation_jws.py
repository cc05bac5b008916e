"""Notary Project envelopes as JWS: signed attributes one by one, and what was signed."""

import base64
import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import LimitExceeded, Malformed
from agent.formats import notation_jws
from agent.formats.notation_envelope import MAX_ENVELOPE_SIZE, Envelope, checked, target_artifact
from tests.formats.support import SUBJECT
from tests.signing import PREFIX, b64url, descriptor_json, envelope, usual_signer

SIGNER = usual_signer()
SCHEME, TIME, EXPIRY = PREFIX + "signingScheme", PREFIX + "signingTime", PREFIX + "expiry"
AUTHENTIC_TIME = PREFIX + "authenticSigningTime"
PLUGIN, PLUGIN_VERSION = PREFIX + "verificationPlugin", PREFIX + "verificationPluginMinVersion"
GOOD: dict[str, Any] = {
    "alg": "ES256",
    "cty": "application/vnd.cncf.notary.payload.v1+json",
    "crit": [SCHEME],
    SCHEME: "notary.x509",
    TIME: "2026-01-31T12:00:00Z",
}


def parse(data: bytes) -> Envelope:
    """Read an envelope and check its attributes."""
    return checked(notation_jws.parse(data))


def parsed(changes: dict[str, Any] | None = None, *dropped: str, **outer: Any) -> Envelope:
    """Read an envelope with changes in its protected header, or in itself.  Nobody signed it; nobody asks here."""
    protected = {name: value for name, value in (GOOD | (changes or {})).items() if name not in dropped}
    value = {
        "payload": b64url(b"{}"),
        "protected": b64url(json.dumps(protected).encode()),
        "header": {"x5c": [base64.b64encode(b"leaf").decode(), base64.b64encode(b"root").decode()]},
        "signature": b64url(b"signature"),
    }
    return parse(json.dumps(value | outer).encode())


def moment(*parts: int) -> datetime:
    """A time in UTC."""
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[arg-type,misc]


def test_parts_are_read() -> None:
    read = parsed()
    assert (read.algorithm, read.scheme, read.plugin) == ("ES256", "notary.x509", "")
    assert read.chain == (b"leaf", b"root")
    assert (read.payload, read.signature) == (b"{}", b"signature")
    assert (read.signing_time, read.expiry) == (moment(2026, 1, 31, 12), None)


def test_signing_input_is_what_was_sent_and_not_what_was_read() -> None:
    spaced = b64url(json.dumps(GOOD, indent=7).encode())
    assert parsed(None, protected=spaced).signing_input == f"{spaced}.{b64url(b'{}')}".encode()


def test_envelope_of_the_tests_signer_is_read() -> None:
    read = parse(envelope(SIGNER, SUBJECT, expiry=moment(2036, 1, 1)))
    assert read.expiry == moment(2036, 1, 1)
    assert target_artifact(read.payload).same_content(SUBJECT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T12:00:00Z", moment(2026, 1, 31, 12)),
        ("2026-01-31T12:00:00.999999999Z", moment(2026, 1, 31, 12)),
        ("2026-01-31T12:00:00+02:00", moment(2026, 1, 31, 10)),
        ("2026-01-31T12:00:00-05:30", moment(2026, 1, 31, 17, 30)),
        ("2024-02-29T23:59:59Z", moment(2024, 2, 29, 23, 59, 59)),
        ("0001-01-01T00:00:00Z", moment(1, 1, 1)),
    ],
)
def test_times_are_read_with_their_zone(text: str, expected: datetime) -> None:
    assert parsed({TIME: text}).signing_time == expected


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31 12:00:00Z", "2026-01-31T12:00:00z",
     "2026-02-30T12:00:00Z", "2026-13-01T12:00:00Z", "2026-01-31T24:00:00Z", "2026-01-31T12:00:60Z",
     "2026-01-31T12:00:00+24:00", "2026-01-31T12:00:00+00:60", "2026-01-31T12:00:00+0000", "0001-01-01T00:00:00+00:01",
     "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00Z", "2026-01-31T12:00:00Z\n", "2026-01-31T12:00:00.Z",
     "\u0662026-01-31T12:00:00Z", "2026-01-31T12:00:00.1234567890Z", 0, 1.5, None, True, []],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("attribute", [TIME, EXPIRY])
def test_what_is_no_time_is_malformed_and_named(attribute: str, text: object) -> None:
    with pytest.raises(Malformed, match=f"^{attribute}: got"):
        parsed({attribute: text, "crit": [SCHEME, attribute] if attribute == EXPIRY else [SCHEME]})


@pytest.mark.parametrize("expiry", ["2026-01-31T12:00:00Z", "2026-01-31T11:59:59Z", "2026-01-31T12:00:00+00:01"])
def test_expiry_is_after_the_signing_time(expiry: str) -> None:
    with pytest.raises(Malformed, match="not after the signing time"):
        parsed({EXPIRY: expiry, "crit": [SCHEME, EXPIRY]})


AUTHORITY = {SCHEME: "notary.x509.signingAuthority", AUTHENTIC_TIME: "2026-01-01T00:00:00Z"}


def test_signing_authority_has_its_own_time() -> None:
    read = parsed(AUTHORITY | {"crit": [SCHEME, AUTHENTIC_TIME]}, TIME)
    assert read.signing_time == moment(2026, 1, 1)


@pytest.mark.parametrize(
    ("changes", "dropped"),
    [
        ({AUTHENTIC_TIME: "2026-01-01T00:00:00Z"}, ()),
        ({AUTHENTIC_TIME: "2026-01-01T00:00:00Z", "crit": [SCHEME, AUTHENTIC_TIME]}, ()),
        (AUTHORITY | {"crit": [SCHEME, AUTHENTIC_TIME]}, ()),
        (AUTHORITY | {"crit": [SCHEME]}, (TIME,)),
        ({SCHEME: "notary.x509.signingAuthority", "crit": [SCHEME, AUTHENTIC_TIME]}, (TIME,)),
    ],
    ids=[
        "both times",
        "both, both critical",
        "both with an authority",
        "authority's not critical",
        "authority's missing",
    ],
)
def test_each_scheme_has_its_own_time_alone(changes: dict[str, Any], dropped: tuple[str, ...]) -> None:
    with pytest.raises(Malformed, match="authenticSigningTime|signingTime"):
        parsed(changes, *dropped)


@pytest.mark.parametrize(
    ("critical", "extra"),
    [
        (None, {}),
        ([], {}),
        ("io.cncf.notary.signingScheme", {}),
        ({SCHEME: 1}, {}),
        ([SCHEME, 1], {}),
        ([SCHEME, None], {}),
        ([[SCHEME]], {}),
        (["alg"], {}),
        ([SCHEME, "alg"], {}),
        ([SCHEME, "cty"], {}),
        ([SCHEME, "crit"], {}),
        ([SCHEME, EXPIRY], {}),
        ([SCHEME, "com.example.new"], {"com.example.new": 1}),
        ([SCHEME], {EXPIRY: "2036-01-01T00:00:00Z"}),
    ],
    ids=str,
)
def test_critical_attributes_are_known_and_there_and_those_that_must_be(critical: Any, extra: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="^crit: "):
        parsed({"crit": critical} | extra)


def test_unknown_attributes_that_are_not_critical_are_passed_over() -> None:
    assert parsed({"com.example.note": {"a": 1}}).scheme == "notary.x509"


def test_plugin_is_told_critical_or_not() -> None:
    assert parsed({PLUGIN: "com.example"}).plugin == "com.example"
    assert parsed({PLUGIN: "com.example", PLUGIN_VERSION: "1.0", "crit": [SCHEME, PLUGIN]}).plugin == "com.example"


@pytest.mark.parametrize(
    "changes",
    [{PLUGIN: ""}, {PLUGIN: 1}, {PLUGIN: None}, {PLUGIN: "", "crit": [SCHEME, PLUGIN]}, {PLUGIN_VERSION: "1.0"}],
    ids=["empty", "a number", "null", "empty and critical", "version without plugin"],
)
def test_plugin_that_has_no_name_is_not_passed_over(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="verificationPlugin"):
        parsed(changes)


@pytest.mark.parametrize("x5c", [None, "AAAA", {}, [1], [None], [["AAAA"]], ["AAA"], ["AA-_"], ["AAAA\n"], ["AB=="]])
def test_certificates_are_a_list_of_standard_base64(x5c: Any) -> None:
    with pytest.raises(Malformed, match="^x5c"):
        parsed(None, header={"x5c": x5c})


@pytest.mark.parametrize(
    "header", [{}, {"jwk": {}}, {"x5u": "http://example.com"}], ids=["none", "a key", "an address"]
)
def test_certificates_come_from_the_envelope_alone(header: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="^x5c: got NoneType"):
        parsed(None, header=header)


def test_large_envelope_is_not_read() -> None:
    with pytest.raises(LimitExceeded, match=str(MAX_ENVELOPE_SIZE)):
        parse(b" " * (MAX_ENVELOPE_SIZE + 1))


TARGET = descriptor_json(SUBJECT)


def test_annotations_of_the_signed_image_are_no_part_of_its_identity() -> None:
    payload = json.dumps({"targetArtifact": TARGET | {"annotations": {"build": "1"}}, "more": 1}).encode()
    assert target_artifact(payload).same_content(SUBJECT)


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[]", b"{}", b'{"targetArtifact":null}', b'{"targetArtifact":[]}', b'{"targetArtifact":{}}',
     json.dumps({"targetArtifact": TARGET | {"size": -1}}).encode(),
     json.dumps({"targetArtifact": TARGET | {"size": "1"}}).encode(),
     json.dumps({"targetArtifact": TARGET | {"digest": "sha256:0"}}).encode(),
     json.dumps({"targetArtifact": TARGET | {"digest": str(SUBJECT.digest).upper()}}).encode(),
     json.dumps({"TargetArtifact": TARGET}).encode(),
     json.dumps({"targetArtifact": TARGET})[:-1].encode() + b',"targetArtifact":{}}'],
    ids=["empty", "null", "list", "nothing", "target null", "target a list", "target empty", "negative size",
         "size a text", "short digest", "upper-case digest", "upper-case key", "target twice"],
)  # fmt: skip
def test_payload_that_names_no_image_is_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed):
        target_artifact(payload)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3),
    max_leaves=5,
)


@pytest.mark.unmeasured
@given(st.dictionaries(st.sampled_from([*GOOD, EXPIRY, AUTHENTIC_TIME, PLUGIN, PLUGIN_VERSION, "b64"]), VALUES))
def test_no_attributes_make_anything_but_malformed(changes: dict[str, Any]) -> None:
    try:
        read = parsed(changes)
    except Malformed as error:
        assert error.message
    else:
        assert isinstance(read.signing_time, datetime)


@given(st.sampled_from(["payload", "protected", "header", "signature"]), VALUES)
def test_no_part_of_another_kind_makes_anything_but_malformed(part: str, value: object) -> None:
    try:
        parsed(None, **{part: value})
    except Malformed as error:
        assert error.message
