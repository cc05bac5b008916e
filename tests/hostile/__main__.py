"""`python -m tests.hostile`: what the last run of these tests measured, its worst figures into docs/performance.md."""

import json
import platform
import sys

from tests.documents import put_between
from tests.hostile.measure import FINDINGS


def main() -> int:
    """Print and write."""
    if not FINDINGS.is_file():
        print(f"no {FINDINGS}: run pytest tests/hostile first")
        return 1
    lines = [
        f"CPython {platform.python_version()}; MiB are above the base, a good input; seconds are wall-clock time.",
        "",
        "| group | inputs | base, MiB | most memory | MiB | longest | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for group, found in sorted(json.loads(FINDINGS.read_text()).items()):
        runs = found["runs"]
        memory = max(runs, key=lambda name: runs[name]["mib"])
        time = max(runs, key=lambda name: runs[name]["seconds"])
        lines.append(
            f"| {group} | {len(runs)} | {found['base']['mib']} | {memory[3:]} | {runs[memory]['mib']:+} "
            f"| {time[3:]} | {runs[time]['seconds']:.1f} |"
        )
    text = "\n".join(lines) + "\n"
    print(text)
    put_between("hostile", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
