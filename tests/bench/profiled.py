"""The daemon from source under a profiler: `python -m tests.bench.profiled RESULT WORDS...`, until it ends.

WORDS are the program's own.  Writes {"seconds": in compiled functions of cryptography and hashlib, "calls": of them} to
the file RESULT.  A profiler makes Python slower and leaves what is compiled as it is: these seconds are right, and all
others are not.
"""

import cProfile
import json
import pstats
import sys
from contextlib import suppress
from pathlib import Path

from agent import cli

_COMPILED = "~"
_CRYPTOGRAPHY = ("cryptography.", "_hashlib.")


def main(result: Path, words: list[str]) -> None:
    """Run, then tell."""
    profile = cProfile.Profile()
    with suppress(SystemExit):
        profile.runcall(cli.main, ["nodeseal", *words])
    rows = pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
    found = [row for (file, _, name), row in rows if file == _COMPILED and any(part in name for part in _CRYPTOGRAPHY)]
    result.write_text(json.dumps({"seconds": sum(row[2] for row in found), "calls": sum(row[0] for row in found)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
