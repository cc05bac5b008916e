"""Writes the signatures of `tests.assets.defects` as files: `python -m tests.assets.generate [FOLDER]`.

Keys are new each time and are not kept: what was signed once can't be signed again.  Names, codes and media types stay.
"""

import json
import pathlib
import sys

from cryptography.hazmat.primitives.serialization import Encoding

from tests.assets.defects import IMAGE, TAKEN_BY_NOTATION, TRUSTED_ROOTS, all_defects

FOLDER = pathlib.Path(__file__).parent / "notation"
EXPECTED, ROOTS, IMAGE_FILE = "expected.json", "trusted.pem", "image.json"


def generate(folder: pathlib.Path) -> None:
    """Write everything into `folder`, in place of what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    expected = {}
    for name, defect in sorted(all_defects().items()):
        (folder / name).write_bytes(defect.envelope)
        expected[name] = {
            "code": defect.code.value,
            "mediaType": defect.media_type,
            "policy": defect.policy,
            "notation": "accepts" if name in TAKEN_BY_NOTATION else "refuses",
        }
    (folder / EXPECTED).write_text(json.dumps(expected, indent=1) + "\n")
    (folder / ROOTS).write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in TRUSTED_ROOTS))
    (folder / IMAGE_FILE).write_bytes(IMAGE)


if __name__ == "__main__":
    generate(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
