"""Rego policies in a configuration: found, compiled, and looked through for what will surprise.

Compiled once, when a configuration is published; what a pull evaluates is the result.  Pure: documents come in, and
policies run where the caller says: one may take any time and memory in a few steps.
"""

from collections.abc import Callable, Mapping

from agent.config import checking
from agent.errors import Code, LimitExceeded, PolicyFault, Problem
from agent.model.digest import Digest
from agent.model.documents import Document, Documents
from agent.model.outcome import Outcome, Status
from agent.model.report import Artifact, Report
from agent.policies.ratifyreport import policy_input
from agent.policies.regopolicy import QUERY, READING_TIME
from agent.rego.compiler import compile_policy
from agent.rego.evaluator import UNDEFINED, Program
from agent.rego.faults import EvaluationFault, SyntaxFault
from agent.rules.rule import PolicySettings

_PACKAGE = ".".join(QUERY[:-1])
_FEW_STEPS = 100_000
_NOON = 1_700_000_000_000_000_000
_DENIED = (
    "here such an image is denied all the same, unlike in Ratify, but where allowWithoutEvidence stands in the rule"
)

_SIGNATURE = "application/vnd.cncf.notary.signature"
_DIGEST = Digest.parse(f"sha256:{'0' * 64}")
_FAILED = Outcome(_DIGEST, _SIGNATURE, "notation", "notation", Status.FAILED, "not trusted", Code.SIGNER_NOT_TRUSTED)
_ONE_FAILED = Report("", (Artifact(f"registry.example.com/image@{_DIGEST}", _DIGEST, _SIGNATURE, (_FAILED,)),))


Trial = Callable[[Callable[[], bool]], bool]
"""Evaluates a policy where it can be killed, and raises `PolicyFault`."""


def rego_policy(document: Document, problems: list[Problem], trial: Trial | None) -> PolicySettings:
    """The settings of a policy that is the document's text; `problems` gets what is wrong with it, or surprising.

    Without a `trial` nobody tries what it says.
    """
    return PolicySettings("regopolicy", {"compiled": _compiled(document, problems, trial), "name": document.name})


def passing_on(where: str, problems: list[Problem]) -> PolicySettings:
    """The settings of a policy that passes reports on and decides nothing."""
    got = "true: the policy decides nothing, and every image is denied"
    problems.append(Problem(where, got, "false, and a policy that decides", fatal=False))
    return PolicySettings("regopolicy", {"compiled": None, "name": "passthroughEnabled"})


def find_policy(path: str, documents: Documents, where: str, problems: list[Problem]) -> Document | None:
    """The document that a path names."""
    document = documents.file(path)
    if document is None:
        got = f"{checking.shown(path)}, which is no document here"
        problems.append(Problem(where, got, "the policy beside the configuration, under this name"))
    return document


def _compiled(document: Document, problems: list[Problem], trial: Trial | None) -> object:
    try:
        text = document.content.decode("utf-8")
        compiled = compile_policy(text)
    except UnicodeDecodeError:
        problems.append(Problem(document.origin, "bytes that are no UTF-8", "the text of a Rego policy"))
        return None
    except SyntaxFault as fault:
        problems += (
            Problem(f"{document.origin}:{each.line}:{each.column}", each.got, each.expected)
            for each in (fault, *fault.more)
        )
        return None
    except (LimitExceeded, RecursionError):
        problems.append(Problem(document.origin, "a policy that is too much for the compiler", "a simpler one"))
        return None
    paths = {tuple(rule["path"][: len(QUERY)]) for rule in compiled["rules"]}
    if QUERY not in paths and QUERY[:-1] not in {path[: len(QUERY) - 1] for path in paths if len(path) < len(QUERY)}:
        got = f"package {'.'.join(compiled['package'])} without data.{'.'.join(QUERY)}"
        expected = f"package {_PACKAGE} with a rule {QUERY[-1]}: what it says decides"
        problems.append(Problem(document.origin, got, expected))
    problems += _surprises(document, text, compiled, trial)
    return compiled


def _surprises(document: Document, text: str, compiled: Mapping[str, object], trial: Trial | None) -> list[Problem]:
    found: list[tuple[str, str]] = []
    if _says_yes(compiled, Report(""), trial):
        got = "a policy that is true for an image to which nothing refers"
        found.append((got, f"one that asks for evidence; {_DENIED}"))
    if _says_yes(compiled, _ONE_FAILED, trial):
        got = "a policy that is true for an image with one signature, which failed"
        found.append((got, f"one that asks for isSuccess; {_DENIED}"))
    if compiled["readsTime"]:
        got = "a policy that reads the time"
        found.append(
            (got, f"to know that its answers are believed for {READING_TIME:g} s at most, and asked anew then")
        )
    if "nestedResults" in text:
        found.append(("nestedResults, which reports for policies don't have", "nestedReports"))
    return [Problem(document.origin, got, expected, fatal=False) for got, expected in found]


def _says_yes(compiled: object, report: Report, trial: Trial | None) -> bool:
    """Whether it was tried, and said yes."""
    try:
        return trial is not None and trial(lambda: allows(compiled, report, _FEW_STEPS))
    except PolicyFault:
        return False


def allows(compiled: object, report: Report, steps: int) -> bool:
    """Whether a compiled policy says yes to a report, within so many steps."""
    try:
        answer = Program(compiled, max_steps=steps).query(QUERY, policy_input(report), now_ns=_NOON)
    except EvaluationFault:
        return False
    return answer is not UNDEFINED and answer is True
