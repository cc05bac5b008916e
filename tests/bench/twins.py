"""A registry of many signed images, in a process of its own: `python -m tests.bench.twins COUNT CERTIFICATE`.

Makes COUNT images, each signed with the same key, writes the root certificate (PEM) to the file CERTIFICATE, prints
{"host": HOST, "images": [[REPOSITORY, DIGEST, SIZE], ...]} as one line, and serves until its input ends.  Whatever
stands in front of an image's repository, NUMBER/, is passed over: so there are as many twins of each image as anybody
wants, and each has to be verified.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path

from tests.signing import Profile, attach_signature, ca_profile, envelope, name, signer
from tests.simulators.registry import Contents, RegistrySimulator

KEY = "RSA-2048"
"""Of the signing certificate, as `notation cert generate-test` makes it; it is issued by a CA under a root."""

_LIFETIME = timedelta(days=30)


class Twins(RegistrySimulator):
    """A registry in which NUMBER/REPOSITORY is REPOSITORY."""

    def contents(self, repository: str) -> Contents:
        """See `RegistrySimulator.contents`."""
        number, _, rest = repository.partition("/")
        self.seen.clear()  # nobody asks for them, and there are hundreds of thousands
        return super().contents(rest if number.isdigit() else repository)


def main(count: int, certificate: Path) -> None:
    """Make them, tell, serve."""
    issuing = ca_profile("Issuing CA", path_length=0, ends=_LIFETIME)
    root = ca_profile("Root CA", key_number=2, ends=_LIFETIME)
    publisher = signer(Profile(name("build.example.com"), KEY, ends=_LIFETIME), issuing, root)
    certificate.write_bytes(publisher.root_pem)
    with Twins() as registry:
        images = []
        for number in range(count):
            repository = f"image-{number}"
            pushed = registry.push_image(repository, "1", salt=repository)
            attach_signature(registry, repository, pushed, envelope(publisher, pushed))
            images.append([repository, str(pushed.digest), pushed.size])
        print(json.dumps({"host": registry.host, "images": images}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
