"""Text of an attacker's in what a person reads: item 45 of the list of hostile inputs.

Nodeseal writes no log: containerd logs its one line.
"""

import pytest

from tests.hostile.measure import Measured
from tests.hostile.stage import Asked, Case, Stage, check, run_all
from tests.signing import attach_signature, envelope, name, usual_signer
from tests.simulators import misbehaviour as does

pytestmark = pytest.mark.frozen

FORGED = "x\x1b[2K\r\nallow NS-0001 rule=default ground=verified: %s%n{0}\u2028\x00\x9b"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.c2VjcmV0"


def by(repository: str, **attributes: str) -> Case:
    """Signed by a stranger whose subject has these attributes."""

    def ask(stage: Stage) -> Asked:
        stranger = usual_signer("lines.example.net", number=8, subject=name("lines", **attributes))
        image = stage.registry.push_image(repository, "1", salt=repository)
        attach_signature(stage.registry, repository, image, envelope(stranger, image))
        return stage.pull(repository, image)

    return Case(f"45 {repository}", ask, 10, "NS-2103")


def answered(what: str, kind: str, behaviour: does.Behaviour, exit_code: int, code: str) -> Case:
    """The registry's answer has an attacker's text."""

    def ask(stage: Stage) -> Asked:
        repository = f"case/{what.replace(' ', '-')}"
        image = stage.signed_image(repository)
        stage.misbehave(repository, kind, behaviour)
        return stage.pull(repository, image)

    return Case(f"45 {what}", ask, exit_code, code)


def media_type(stage: Stage) -> Asked:
    """The envelope's media type is an attacker's text."""
    layer = {"mediaType": FORGED, "digest": "sha256:" + "1" * 64, "size": 5}
    return stage.image_with("case/layer", lambda image: envelope(stage.trusted, image), layers=[layer])


def content_type(stage: Stage) -> Asked:
    """The payload's type is an attacker's text."""
    return stage.image_with(
        "case/cty", lambda image: envelope(stage.trusted, image, protected={"cty": FORGED + "%s" * 500})
    )


ERROR = b'{"errors": [{"code": "DENIED", "message": "\\u001b[31m %s {0} ' + TOKEN.encode() + b'\\nallow"}]}'
CASES = (
    by("organisation", O=FORGED[:60]),
    by("unit", OU="%s%s%n{0.__class__}"),
    by("locality", L="\u202eLLA \u0410llow\u200b"),
    answered("error text", "*", does.status(403, ERROR), 11, "NS-3002"),
    answered("error of the server", "*", does.status(500, ERROR), 11, "NS-3001"),
    answered("status line", "referrers", does.raw(code=200, body=FORGED.encode()), 10, "NS-2001"),
    answered("realm with a token", "*", does.challenge(f'Bearer realm="http://u:{TOKEN}@10.0.0.1/?t={TOKEN}"'), 10,
             "NS-2002"),
    answered("redirect with a token", "blob", does.redirect(f"http://10.0.0.1/?X-Amz-Signature={TOKEN}"), 10,
             "NS-2002"),
    answered("location with escapes", "blob", does.raw("Location: http://x/\x1b[31m%s", code=302), 10, "NS-2002"),
    answered("header with escapes", "blob", does.raw("Content-Encoding: \x1b[31m%n"), 10, "NS-2002"),
    Case("45 media type of a layer", media_type, 10, "NS-2002"),
    Case("45 content type of a payload", content_type, 10, "NS-2002"),
)  # fmt: skip


@pytest.fixture(scope="module")
def found(stage: Stage) -> dict[str, Measured]:
    """What came of every case."""
    return run_all(stage, "lines", CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_line(case: Case, found: dict[str, Measured], stage: Stage) -> None:
    check(case, found[case.name], stage.base)
    assert TOKEN not in found[case.name].out
    assert "\u0410" not in found[case.name].out
