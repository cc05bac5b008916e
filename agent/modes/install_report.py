"""An installation as it is told: its steps in words and as a diff before it, and what came of it, as text or JSON.

What others may not read is not shown: a diff of such a file goes without secrets.  Writes nothing.
"""

import difflib
import json

from agent.adapters.hostfiles import HostFiles
from agent.codec import strictjson
from agent.errors import Malformed
from agent.model.answer import printable
from agent.modes import redaction
from agent.modes.installing import Outcome, RolledBack
from agent.wiring import unit
from agent.wiring.steps import Change, Check, Compare, Enable, Folder, Place, Restart, Start, Step, Switch, Wire, Write

SCHEMA_VERSION = "1"
"""Version of what `--format json` prints."""

_MOST_SHOWN = 64 * 1024
"""Most bytes of a file of which changes are shown."""


def shown(line: str) -> str:
    """A line of a diff as it may go to a terminal: printable, but for the tabs that it is indented with."""
    return "\t".join(map(printable, line.split("\t")))


def described(step: Step) -> str:
    """A step, for people."""
    if isinstance(step, Place):
        return f"place the program in {step.path}"
    if isinstance(step, Folder):
        return f"make the folder {step.path}"
    if isinstance(step, Write):
        return f"write {step.path}"
    if isinstance(step, Change):
        return f"edit {step.path}"
    if isinstance(step, Check):
        return f"run {step.program} as containerd would: it must refuse the canary"
    if isinstance(step, Start):
        return f"start {unit.NAME}, and wait until the daemon answers"
    if isinstance(step, Switch | Enable | Wire):
        return f"link {step.path} to {step.target}"
    if isinstance(step, Compare):
        return "compare what containerd makes of its configuration with what it made of it before"
    if isinstance(step, Restart):
        return f"restart {step.unit}: {step.why}"
    return "prove by the pull of a canary that pulls are verified"


def difference(host: HostFiles, step: Step) -> str:
    """A step as a unified diff; empty for what changes no text."""
    if isinstance(step, Change):
        path, before, after = step.path, step.before, step.after
    elif isinstance(step, Write):
        path, before, after = step.path, host.read(step.path) or b"", step.content
    else:
        return ""
    if max(len(before), len(after)) > _MOST_SHOWN:
        return ""
    if isinstance(step, Write) and not step.mode & 0o044:  # others may not read it: nor what is shown of it
        before, after = _without_secrets(before), _without_secrets(after)
    old, new = (each.decode("utf-8", "replace").splitlines(keepends=True) for each in (before, after))
    lines = difflib.unified_diff(old, new, path if before else "/dev/null", path)
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


def _without_secrets(content: bytes) -> bytes:
    """A document in JSON as it may be shown; nothing of anything else, which may be a key."""
    try:
        document = _without_headers(strictjson.decode(content, "document", limit=_MOST_SHOWN))
    except Malformed:
        return b""
    lines = json.dumps(document, indent=2, ensure_ascii=False).splitlines()
    return "".join(f"{redaction.text(line)}\n" for line in lines).encode()


def _without_headers(value: object) -> object:
    """What hosts are told in headers of one's own is as secret as a password."""
    if isinstance(value, dict):
        hidden = {"headers": redaction.BLACKED}
        return {key: hidden[key] if key in hidden else _without_headers(each) for key, each in value.items()}
    return [_without_headers(each) for each in value] if isinstance(value, list) else value


def as_value(outcome: Outcome) -> dict[str, object]:
    """What came of it, for programs."""
    placed = outcome.plan.placed
    return {
        "schemaVersion": SCHEMA_VERSION,
        "installed": outcome.installed,
        "unsupported": outcome.unsupported or None,
        "distribution": placed.distribution.name,
        "wiring": placed.way.value,
        "steps": [described(step) for step in outcome.steps],
        "restarted": outcome.restarted,
        "restartPending": outcome.pending or None,
        "proof": outcome.proof.as_json() if outcome.proof else None,
        "advice": list(outcome.advice),
        "rolledBack": None,
    }


def failed_as_value(error: RolledBack) -> dict[str, object]:
    """An installation that was taken back, for programs."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "installed": False,
        "rolledBack": {"reason": error.message, "left": list(error.left)},
    }


def as_text(outcome: Outcome, first: str = "") -> str:
    """What came of it, for people: what is left to do, what comes `first`, and one line at the end."""
    if outcome.unsupported:
        return f"nothing was done: {printable(outcome.unsupported)}\n"
    lines = [f"to do by hand: {each}" for each in outcome.advice]
    if outcome.pending:
        lines.append(f"to do by hand: restart containerd: {outcome.pending}")
    lines += [first] if first else []
    if outcome.proof is None:
        lines.append("installed; not proved, because no containerd was asked")
    elif outcome.proof.is_enforcing:
        lines.append("installed; pulls are verified")
    else:
        lines.append(f"installed; NOT ENFORCING: {outcome.proof.message}")
    return "".join(f"{printable(line)}\n" for line in lines)
