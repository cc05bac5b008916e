"""The documentation against the code: codes, links, help texts, examples, the first thing that a reader is told.

Reads files and runs `--help`; needs neither network nor root.
"""

import json
import re
from pathlib import Path
from typing import Iterator, NamedTuple
from urllib.parse import unquote

import pytest

from agent import __version__
from agent.config.schema import SCHEMA
from agent.errors import Cause, Code, Exit
from agent.model.answer import LINE_LIMIT, Ground
from agent.modes import config
from agent.modes.rendering import REMEDIES
from agent.rules.floor import Bootstrap, Floor
from agent.rules.rule import FailureAction, PolicySettings, Rule
from agent.rules.ruleset import Exemption, RuleSet
from tests import forked, signing

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
COMMANDS = ROOT / "docs" / "commands.md"
CODES = ROOT / "docs" / "codes"
_NOT_OURS = {".git", ".venv", ".cache", "out", "node_modules"}
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part in _NOT_OURS or part.endswith(".egg-info") for part in path.relative_to(ROOT).parts[:-1])
)

_FENCE = re.compile(r"^(`{3,}|~{3,})")
_HEADING = re.compile(r"^(#{1,6}) (.+?) *$")
_CODE_HEADING = re.compile(r"^# (NS-[0-9]{4}) (\S.*)$")
_LINE = re.compile(r"^```text\n(.*)\n```$", re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]\n]*\]\(([^()\s]+(?:\([^()\s]*\))?)(?: \"[^\"]*\")?\)")
_HELP = re.compile(r"^<!-- help: nodeseal(?: ([a-z -]+))? -->\n+```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PARTS_OF_A_CODE = ("```text", "**Cause.**", "**Check.**", "**Remedy.**")


class Link(NamedTuple):
    """A relative link and the document that it stands in."""

    document: Path
    target: str


def prose(text: str) -> Iterator[str]:
    """The lines of a document that are not in a fenced block."""
    fence = ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if found and not fence:
            fence = found[1]
        elif found and line.startswith(fence):
            fence = ""
        elif not fence:
            yield line


def anchor(heading: str) -> str:
    """The fragment by which a heading is linked to, as code hosts make it."""
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return kept.replace(" ", "-")


def anchors(document: Path) -> set[str]:
    """Every fragment that may be linked to in a document."""
    found: set[str] = set()
    for line in prose(document.read_text("utf-8")):
        heading = _HEADING.match(line)
        if heading:
            name = anchor(heading[2])
            found.add(name if name not in found else f"{name}-1")
    return found


def relative_links() -> list[Link]:
    """Every link of every document that leads into this repository."""
    found = []
    for document in DOCUMENTS:
        for line in prose(document.read_text("utf-8")):
            without_code = re.sub(r"`[^`]*`", "", line)
            found += [
                Link(document, match)
                for match in _LINK.findall(without_code)
                if not re.match(r"[a-z][a-z0-9+.-]*:", match)
            ]
    return found


def help_blocks() -> list[tuple[str, str]]:
    """(arguments, text) of every help text in README.md and docs/commands.md."""
    texts = (README.read_text("utf-8"), COMMANDS.read_text("utf-8"))
    return [(match[1] or "", match[2]) for text in texts for match in _HELP.finditer(text)]


def code_pages() -> dict[str, str]:
    """Code -> text of its page in docs/codes."""
    return {page.stem: page.read_text("utf-8") for page in sorted(CODES.glob("*.md"))}


def test_there_are_documents() -> None:
    assert README in DOCUMENTS
    assert CODES / "NS-0001.md" in DOCUMENTS


def test_every_code_has_its_page_and_every_page_its_code() -> None:
    assert sorted(code_pages()) == sorted(code.value for code in Code)


@pytest.mark.parametrize("code", [code.value for code in Code])
def test_a_code_has_an_example_cause_check_and_remedy(code: str) -> None:
    page = code_pages()[code]
    heading = _CODE_HEADING.match(page.splitlines()[0])
    assert heading
    assert heading[1] == code
    places = [page.find(part) for part in _PARTS_OF_A_CODE]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("code", [code.value for code in Code])
def test_an_example_is_a_line_that_containerd_could_get(code: str) -> None:
    (line,) = _LINE.findall(code_pages()[code])
    form = re.match(r"([a-z ]+) (NS-[0-9]{4}) rule=\S+( ground=(\w+))?: \S", line)
    assert form
    assert form[2] == code
    words = {"0": "allow", "1": "deny|bad request", "2": "deny", "3": "cannot tell", "9": "internal error"}
    assert re.fullmatch(words[code[3]], form[1])
    assert (form[4] in {ground.value for ground in Ground}) is (form[1] == "allow")
    assert len(line) <= LINE_LIMIT


def test_the_table_of_codes_holds_each_with_its_name_and_next_step() -> None:
    rows = [line for line in prose((ROOT / "docs" / "codes.md").read_text("utf-8")) if line.startswith("| [NS-")]
    names = {code: page.splitlines()[0].removeprefix(f"# {code} ") for code, page in code_pages().items()}
    assert rows == [
        f"| [{code.value}](codes/{code.value}.md) | {names[code.value]} | {REMEDIES.get(code, '')} |" for code in Code
    ]


def test_the_table_of_grounds_holds_each() -> None:
    text = (ROOT / "docs" / "codes.md").read_text("utf-8")
    named = re.findall(r"^\| `(\w+)` \|.*\| [0-9, ]+ \|$", text, re.MULTILINE)
    assert sorted(named) == sorted(ground.value for ground in Ground)


@pytest.mark.parametrize("cause", list(Cause))
def test_a_cause_stands_in_the_page_of_its_code(cause: Cause) -> None:
    assert f"`{cause.value}`" in code_pages()[Code.of(cause).value]


def test_every_code_that_a_document_names_exists() -> None:
    known = {code.value for code in Code}
    named = {
        (document.name, code)
        for document in DOCUMENTS
        for code in re.findall(r"\bNS-[0-9]{4}\b", document.read_text("utf-8"))
    }
    assert not sorted(each for each in named if each[1] not in known)


@pytest.mark.parametrize("document", ["README.md", "docs/contract.md"])
@pytest.mark.parametrize("code", list(Exit))
def test_every_exit_code_is_listed(document: str, code: Exit) -> None:
    rows = [line for line in prose((ROOT / document).read_text("utf-8")) if line.startswith(f"| {code.value} |")]
    assert len(rows) == 1


def test_every_relative_link_leads_to_a_file() -> None:
    broken = []
    for link in relative_links():
        path, _, fragment = link.target.partition("#")
        target = (link.document.parent / unquote(path)).resolve() if path else link.document
        inside = target == ROOT or ROOT in target.parents
        if not inside or not target.exists():
            broken.append(f"{link.document.relative_to(ROOT)}: {link.target}")
        elif fragment and target.suffix == ".md" and fragment not in anchors(target):
            broken.append(f"{link.document.relative_to(ROOT)}: {link.target} (no such heading)")
    assert not broken


def test_there_are_links() -> None:
    assert relative_links()


@pytest.mark.parametrize(("arguments", "text"), help_blocks(), ids=[block[0] or "nodeseal" for block in help_blocks()])
def test_a_help_text_is_the_programs_own(arguments: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    done = forked.run(*arguments.split(), "--help")
    assert done.code == 0, done.err
    assert text == done.out


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "verify",
        "status",
        "doctor",
        "install",
        "uninstall",
        "watch",
        "break-glass on",
        "break-glass off",
        "break-glass list",
        "cache stats",
        "cache list",
        "cache forget",
        "cache clear",
        "config check",
        "config apply",
        "config diff",
        "config statement",
        "config schema",
        "config import",
        "trust-root update",
        "trust-root show",
        "support-bundle",
        "version",
    ],
)
def test_the_help_text_of_every_command_is_in_one_place(arguments: str) -> None:
    assert [block[0] for block in help_blocks()].count(arguments) == 1


def test_the_readme_names_the_two_commands_first() -> None:
    text = README.read_text("utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert [line.split("#")[0].strip() for line in blocks[0].splitlines()] == ["make demo", "make test"]
    assert text.index("make demo") < text.index("make test")
    assert not re.search(r"\b(nodeseal [a-z]|notation |ctr |apt)", text[: text.index(blocks[0])])


def test_make_has_the_targets_that_the_documents_name() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"(?:`|^)make ([a-z-]+)", document.read_text("utf-8"), re.MULTILINE)
    }
    assert named
    assert not named - targets


def test_every_document_that_the_code_names_exists() -> None:
    missing = []
    for module in sorted((ROOT / "agent").rglob("*.py")):
        text = re.sub(r"\s+", " ", module.read_text("utf-8"))
        for path, heading in re.findall(r"\b((?:docs/)?[\w-]+\.md)(?:, \"([^\"]+)\")?", text):
            if path.startswith("docs/") or path.isupper() or path.split(".")[0].isupper():
                document = ROOT / path
                if not document.is_file() or (heading and anchor(heading) not in anchors(document)):
                    missing.append(f"{module.relative_to(ROOT)}: {path} {heading}")
    assert not missing


def test_the_complete_example_can_be_used(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    example = re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "config.json").write_text(example, "utf-8")
    (tmp_path / "company-root.crt").write_bytes(signing.usual_signer().root_pem)
    found = config.read(str(tmp_path), str(tmp_path))
    assert found.config is not None
    assert found.problems == ()


def test_the_readmes_lines_have_the_form_of_answers() -> None:
    form = re.compile(r"(allow|deny|cannot tell|bad request|internal error) (NS-[0-9]{4}) rule=\S+( ground=\w+)?: \S")
    lines = [line for line in README.read_text("utf-8").splitlines() if re.match(r"[a-z ]+ NS-[0-9]{4} ", line)]
    found = [form.match(line) for line in lines]
    assert all(found)
    assert {match[1] for match in found if match} == {"allow", "deny", "cannot tell", "bad request", "internal error"}
    assert all(match[2] in {code.value for code in Code} for match in found if match)
    assert all(len(line) <= LINE_LIMIT for line in lines)


def schema_keys(schema: object) -> Iterator[str]:
    """Every key that the configuration's schema knows."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for value in schema.values():
            yield from schema_keys(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from schema_keys(value)


def test_every_configuration_key_is_documented() -> None:
    text = "".join(
        (ROOT / "docs" / name).read_text("utf-8")
        for name in ("configuration.md", "notation.md", "cosign.md", "keyless.md", "attestations.md", "reports.md")
    )
    named = set(re.findall(r"[$\w-]+", " ".join(re.findall(r"`[^`\n]+`", text))))
    # What lies in these sections tunes Ratify's own process; they are documented as wholes.
    unnamed = {
        "verificationRequestTimeout",
        "mutationRequestTimeout",
        "cache",
        "enabled",
        "formatter",
        "requestHeaders",
    }
    assert not sorted(set(schema_keys(SCHEMA)) - named - unnamed)


def test_the_table_of_defaults_is_what_the_code_does() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8").partition("### Defaults")[2].partition("\n## ")[0]
    told = dict(re.findall(r"^\| `([\w.]+)`(?: of (?:a rule|an exemption))? \| (.+) \|$", text, re.MULTILINE))
    rule, floor, lists = Rule("", (), (), PolicySettings("", {})), Floor(), RuleSet(())
    assert told == {
        "enforcement": f"`{rule.enforcement.value}`",
        "failurePolicy": f"`{rule.failure_policy.default.value}`",
        "rollout": f"`{rule.rollout}` percent",
        "allowWithoutEvidence": f"`{json.dumps(rule.allow_without_evidence)}`",
        "default": f"none: it must be written beside `rules`; `{lists.default.enforcement.value}` and "
        f"`{lists.default.failure_policy.default.value}` without rules",
        "cache.allow": f"`{lists.lifetimes.allow / 3600:g}h`",
        "cache.deny.first": f"`{lists.lifetimes.deny_first:g}s`",
        "cache.deny.max": f"`{lists.lifetimes.deny_most / 60:g}m`",
        "cache.cannotTell": f"`{lists.lifetimes.cannot_tell:g}s`",
        "cache.staleIfError.registry": f"`{lists.stale.registry / 3600:g}h`",
        "cache.staleIfError.revocation": f"`{lists.stale.revocation:g}s`",
        "whenMissing": f"`{lists.when_missing.value}`",
        "maxSnapshotAge": f"`{lists.greatest_age / 86400:g}d`",
        "insecure": f"`{json.dumps(Exemption('').insecure)}`",
        "allowLockout": "`false`",
        "untilFirstSnapshot": f"`{Bootstrap().until_first_snapshot.value}`",
        "floor.enforcement": f"`{floor.enforcement.value}`",
        "floor.failurePolicy": f"`{floor.failure_policy.default.value}`",
        "floor.failurePolicy.revocationUnknown": f"`{floor.failure_policy.written(Cause.REVOCATION_UNKNOWN).value}`",
        "floor.failurePolicy.configurationInvalid": "`Fail`",
        "floor.breakGlass.longest": f"`{floor.longest_break_glass / 3600:g}h`",
        "floor.breakGlass.allImages": f"`{json.dumps(floor.break_glass_for_all)}`",
        "floor.exemptWithoutDigest": f"`{' '.join(floor.without_digest)}`",
    }
    assert floor.failure_policy.written(Cause.CONFIGURATION_INVALID) is FailureAction.FAIL
    assert rule.failure_policy.causes == lists.default.failure_policy.causes == {}
    assert (lists.deny, lists.allow, lists.exempt, lists.break_glass) == ((), (), (), ())


def test_the_version_is_told_alike() -> None:
    assert f"/opt/nodeseal/{__version__}" in README.read_text("utf-8")
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
