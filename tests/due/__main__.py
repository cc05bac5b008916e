"""Runs the slow tests that are due, as `.ci/run` does: `python -m tests.due`."""

import pathlib
import subprocess
import sys
import time

from tests.due import GROUPS, digest, note, passed
from tests.testbed.tools import cache_folder

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main() -> int:
    """Run them; the exit code is make's."""
    stamps = cache_folder() / "passed"
    inputs = {name: digest(ROOT, group) for name, group in GROUPS.items()}
    due = [name for name in GROUPS if not passed(stamps, name, inputs[name], time.time())]
    left = [name for name in GROUPS if name not in due]
    print(
        f"due: {', '.join(due) or 'none'}; passed here today with the same inputs: {', '.join(left) or 'none'}",
        flush=True,
    )
    if not due:
        return 0
    files = " ".join(path for name in due for path in GROUPS[name].paths)
    code = subprocess.run(["make", "test-full", f"FILES={files}"], cwd=ROOT, check=False).returncode
    for name in due if code == 0 else ():
        if digest(ROOT, GROUPS[name]) == inputs[name]:  # nobody has changed them meanwhile
            note(stamps, name, inputs[name])
    return code


if __name__ == "__main__":
    sys.exit(main())
