"""What the demonstration shows: seven images and what must become of each."""

from typing import NamedTuple

RULE = "default"


class Case(NamedTuple):
    """One image.  `repository` is its path; `code` stands in the reason of a refusal, and is empty if it is pulled."""

    repository: str
    story: str
    code: str

    @property
    def allowed(self) -> bool:
        """Whether the image must be pulled."""
        return not self.code


SIGNED = Case("demo/signed", "signed by a trusted signer", "")
UNSIGNED = Case("demo/unsigned", "not signed", "NS-2001")
TAMPERED = Case("demo/tampered", "its signature was altered afterwards", "NS-2101")
TRANSPLANTED = Case("demo/transplanted", "another image's signature attached to it", "NS-2102")
STRANGER = Case("demo/stranger", "signed by somebody nobody trusts", "NS-2103")

COSIGNED = Case("demo/cosigned", "signed with cosign and a trusted key", "")
COSIGN_STRANGER = Case("demo/cosign-stranger", "signed with cosign and a key nobody trusts", "NS-2103")

CASES = (SIGNED, UNSIGNED, TAMPERED, TRANSPLANTED, STRANGER, COSIGNED, COSIGN_STRANGER)
