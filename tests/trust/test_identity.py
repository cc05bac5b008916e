"""Distinguished names in trusted identities, and the subjects they match."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from agent.trust.identity import covers, parse_identity, subject_attributes


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("C=US,ST=WA,O=a", {"C": "US", "ST": "WA", "O": "a"}),
        (" C=US, S=WA , O = a b ", {"C": "US", "ST": "WA", "O": "a b"}),
        (r"C=US,ST=WA,O=a\, b\=c", {"C": "US", "ST": "WA", "O": "a, b=c"}),
        (r"C=US,ST=WA,O=\ a\ ", {"C": "US", "ST": "WA", "O": " a "}),
        (r"C=US,ST=WA,O=M\C3\BCller", {"C": "US", "ST": "WA", "O": "Müller"}),
        ("C=US,ST=WA,O=Müller", {"C": "US", "ST": "WA", "O": "Müller"}),
        (r"C=US,ST=WA,O=a\+b", {"C": "US", "ST": "WA", "O": "a+b"}),
        ("cn=x,c=US,st=WA,o=a", {"CN": "x", "C": "US", "ST": "WA", "O": "a"}),
    ],
)
def test_names_are_read_as_rfc_4514_writes_them(text: str, attributes: dict[str, str]) -> None:
    assert parse_identity(text) == attributes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "CN=x",
        "C=US,ST=WA",
        "C=US,ST=WA,O=",
        "C=US,ST=WA,O=a,O=b",
        "C=US,ST=WA,S=WB,O=a",
        "C=US,ST=WA,O=a+CN=b",
        "C=US,ST=WA,O=#0401",
        "C=US,ST=WA,O=a,CN= #0401",
        r"C=US,ST=WA,O=a\x",
        "C=US,ST=WA,O=a\\",
        r"C=US,ST=WA,O=\C3",
        "C=US,ST=WA,O=a,",
        "C=US,ST=WA,O=a,nonsense",
        "=US,ST=WA,O=a",
    ],
)
def test_names_that_could_mean_two_things_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_identity(text)


@given(st.text(max_size=200))
def test_no_text_makes_anything_but_a_value_error(text: str) -> None:
    try:
        parsed = parse_identity(text)
    except ValueError:
        return
    assert {"C", "ST", "O"} <= parsed.keys()


@pytest.mark.parametrize("size", [100_000])
def test_long_names_are_read_in_one_pass(size: int) -> None:
    assert len(parse_identity("C=US,ST=WA,O=" + "\\, " * size)["O"]) == 2 * size - 1


def attribute(oid: x509.ObjectIdentifier, value: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(oid, value)


GOOD = [
    attribute(NameOID.COUNTRY_NAME, "US"),
    attribute(NameOID.STATE_OR_PROVINCE_NAME, "WA"),
    attribute(NameOID.ORGANIZATION_NAME, "a"),
]


def test_subject_has_its_attributes() -> None:
    assert subject_attributes(x509.Name(GOOD)) == {"C": "US", "ST": "WA", "O": "a"}


@pytest.mark.parametrize(
    "name",
    [
        x509.Name(GOOD[:2]),
        x509.Name([*GOOD, attribute(NameOID.ORGANIZATION_NAME, "b")]),
        x509.Name([*GOOD, attribute(NameOID.EMAIL_ADDRESS, "a@b")]),
        x509.Name([x509.RelativeDistinguishedName([each]) for each in GOOD[:2]]
                  + [x509.RelativeDistinguishedName([GOOD[2], attribute(NameOID.COMMON_NAME, "x")])]),
    ],
    ids=["no organisation", "organisation twice", "unknown attribute", "multi-valued"],
)  # fmt: skip
def test_subject_that_no_identity_can_describe_is_refused(name: x509.Name) -> None:
    with pytest.raises(ValueError, match=r"."):
        subject_attributes(name)


def test_identity_covers_subjects_that_have_all_of_it() -> None:
    assert covers({"O": "a"}, {"O": "a", "CN": "x"})
    assert not covers({"O": "a", "CN": "x"}, {"O": "a"})
    assert not covers({"O": "a"}, {"O": "A"})
