"""What containerd asks: may this image be pulled?

containerd's image verifier contract: argv `-name`, `-digest`, `-stdin-media-type`, a descriptor on standard input.
"""

from typing import NamedTuple

from agent.errors import Malformed, UsageError
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.reference import Reference, Repository

STDIN_MEDIA_TYPE = "application/vnd.oci.descriptor.v1+json"


class PullRequest(NamedTuple):
    """One pull.  `name` is the reference as it was asked for, `subject` the content that it resolved to."""

    name: str
    reference: Reference
    subject: Descriptor

    @classmethod
    def agreed(cls, name: str, digest: str, stdin_media_type: str, descriptor: object) -> "PullRequest":
        """Join what containerd said three times over.  Raises `UsageError` unless all of it agrees.

        `descriptor` is the decoded JSON of standard input.  A caller whose statements differ is not believed in any.
        """
        if stdin_media_type != STDIN_MEDIA_TYPE:
            raise UsageError(f"-stdin-media-type: got {ascii(stdin_media_type)[:80]}; expected {STDIN_MEDIA_TYPE}")
        reference = Reference.parse(name)
        asked = Digest.parse(digest)
        if reference.digest is not None and reference.digest != asked:
            raise UsageError(f"-name and -digest: got {reference.digest} and {asked}; expected the same digest")
        try:
            subject = Descriptor.from_json(descriptor, "standard input")
        except Malformed as error:
            raise UsageError(error.message) from error
        if subject.digest != asked:
            raise UsageError(f"-digest and standard input: got {asked} and {subject.digest}; expected the same digest")
        return cls(name, reference, subject)

    @property
    def repository(self) -> Repository:
        """The repository that the image is pulled from."""
        return self.reference.repository

    @property
    def identity(self) -> str:
        """`repository@digest`: what is verified, logged and reported."""
        return f"{self.repository}@{self.subject.digest}"

    @property
    def described(self) -> str:
        """The identity, and behind a space what else the descriptor says: what a verdict is about.

        Signatures are for media type and size, too, and both are what a registry says at the time.
        """
        return f"{self.identity} {self.subject.size} {self.subject.media_type}"
