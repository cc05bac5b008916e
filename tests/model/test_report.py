"""Reports: which outcomes are a ground for something."""

from agent.model.digest import Digest
from agent.model.outcome import Outcome, Status
from agent.model.report import Artifact, Report

DIGEST = Digest.of(b"x")


def outcome(name: str, status: Status = Status.PASSED, *, unsigned: bool = False) -> Outcome:
    """One that says so."""
    return Outcome(DIGEST, "a/b", name, "v", status, "m", unsigned=unsigned)


def artifact(*outcomes: Outcome, nested: tuple[Artifact, ...] = (), refers: bool = True) -> Artifact:
    """One with these outcomes."""
    return Artifact("r/x@sha256:0", DIGEST, "a/b", outcomes, nested, refers)


def grounds(*artifacts: Artifact) -> list[str]:
    """The verifiers of those that passed and are a ground."""
    return [each.verifier for each in Report("r/x@sha256:0", artifacts).grounds(Status.PASSED)]


def test_what_nobody_signed_is_no_ground_and_what_is_signed_within_it_is() -> None:
    signature = artifact(outcome("signature"))
    assert grounds(artifact(outcome("sbom", unsigned=True))) == []
    assert grounds(artifact(outcome("sbom", unsigned=True), nested=(signature,))) == ["signature"]
    assert grounds(artifact(outcome("failed", Status.FAILED)), signature) == ["signature"]


def test_what_is_signed_within_something_that_names_no_image_is_no_ground() -> None:
    signature = artifact(outcome("nested"))
    tagged = artifact(outcome("cosign"), outcome("sbom", unsigned=True), nested=(signature,), refers=False)
    assert grounds(tagged) == ["cosign"]
    assert grounds(artifact(nested=(tagged,))) == ["cosign"]
