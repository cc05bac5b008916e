"""Makes many calls, so many at once, as a containerd with many pods does: `python swarm.py < request.json`.

The request is {"calls": [{"argv": [...], "stdin": TEXT}, ...], "at_once": N}.  Output: {"seconds": from the first start
to the last end, "codes": [exit code of each call]}.  Runs in the node's namespaces; standard library only.
"""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict


class Call(TypedDict):
    """Words, and standard input."""

    argv: list[str]
    stdin: str


def run(call: Call) -> int:
    """Make a call; its exit code."""
    return subprocess.run(
        call["argv"], input=call["stdin"].encode(), env={}, capture_output=True, check=False
    ).returncode


if __name__ == "__main__":
    request = json.load(sys.stdin)
    with ThreadPoolExecutor(request["at_once"]) as pool:
        start = time.monotonic()
        codes = list(pool.map(run, request["calls"]))
        json.dump({"seconds": time.monotonic() - start, "codes": codes}, sys.stdout)
