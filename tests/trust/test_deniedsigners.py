"""Who is on the list of denied signers, and who is not."""

from hashlib import sha256

import pytest

from agent.errors import Code
from agent.model.signer import DeniedSigner
from agent.trust import deniedsigners, signeridentity
from agent.trust.deniedsigners import Made, SignerDenied

KEY, OTHER = "a" * 64, "b" * 64
LEAF, ISSUER = b"the leaf", b"its issuer"
SUBJECT = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"
BY_KEY = Made(KEY)
BY_CERTIFICATE = Made(KEY, (LEAF, ISSUER))
BY_IDENTITY = Made(KEY, (LEAF,), "https://issuer.example", SUBJECT)


def fingerprint(content: bytes) -> str:
    return sha256(content).hexdigest()


MEANT = [
    (DeniedSigner(key=KEY), BY_KEY),
    (DeniedSigner(key=KEY), BY_CERTIFICATE),
    (DeniedSigner(key=KEY), BY_IDENTITY),
    (DeniedSigner(certificate=fingerprint(LEAF)), BY_CERTIFICATE),
    (DeniedSigner(certificate=fingerprint(ISSUER)), BY_CERTIFICATE),
    (DeniedSigner(issuer="exact https://issuer.example"), BY_IDENTITY),
    (DeniedSigner(subject=f"exact {SUBJECT}"), BY_IDENTITY),
    (DeniedSigner(subject="regexp https://github[.]com/acme/.*"), BY_IDENTITY),
    (DeniedSigner(issuer="regexp .*", subject="regexp https://github[.]com/acme/.*"), BY_IDENTITY),
]
SPARED = [
    (DeniedSigner(), BY_IDENTITY),
    (DeniedSigner(), BY_KEY),
    (DeniedSigner(key=OTHER), BY_IDENTITY),
    (DeniedSigner(certificate=KEY), BY_IDENTITY),
    (DeniedSigner(key=fingerprint(LEAF)), BY_IDENTITY),
    (DeniedSigner(certificate=fingerprint(ISSUER)), BY_IDENTITY),
    (DeniedSigner(issuer="exact https://issuer.example", subject="exact another"), BY_IDENTITY),
    (DeniedSigner(issuer="exact https://other.example", subject=f"exact {SUBJECT}"), BY_IDENTITY),
    (DeniedSigner(subject="regexp github[.]com/acme/.*"), BY_IDENTITY),  # it covers the whole text
    (DeniedSigner(issuer="regexp .*"), BY_KEY),
    (DeniedSigner(subject="regexp .*"), BY_CERTIFICATE),
]


@pytest.mark.parametrize(("entry", "made"), MEANT)
def test_entry_means_whom_all_of_it_is_true_of(entry: DeniedSigner, made: Made) -> None:
    with pytest.raises(SignerDenied) as denied:
        deniedsigners.check([DeniedSigner(key=OTHER), entry], made)
    assert denied.value.code is Code.SIGNER_DENIED


@pytest.mark.parametrize(("entry", "made"), SPARED)
def test_entry_means_nobody_else(entry: DeniedSigner, made: Made) -> None:
    deniedsigners.check([entry, DeniedSigner(key=OTHER)], made)


def test_message_says_who_without_control_characters_and_not_at_length() -> None:
    hostile = BY_IDENTITY._replace(subject="evil\n" * 200)
    with pytest.raises(SignerDenied) as denied:
        deniedsigners.check([DeniedSigner(subject="regexp (?s)evil.*")], hostile)
    assert denied.value.message.isprintable()
    assert len(denied.value.message) < 300
    with pytest.raises(SignerDenied, match=r"the key sha256:aaaaaaaaaaaaaaaa\)"):
        deniedsigners.check([DeniedSigner(key=KEY)], BY_KEY)


def test_expression_that_can_not_be_read_any_more_denies_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signeridentity, "_compiled", lambda _: None)
    with pytest.raises(SignerDenied):
        deniedsigners.check([DeniedSigner(subject="regexp nobody")], BY_IDENTITY)
