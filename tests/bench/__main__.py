"""`make bench`: what a verification costs, as ratios within one run, written into docs/performance.md.

`python -m tests.bench` measures everything, `python -m tests.bench child delay` these alone.  On a real registry with
images that the real `notation` and `cosign` signed: our program as containerd calls it, and the others beside it.
"""

import argparse
import sys
import time
from importlib import import_module

from tests.bench.stage import Stage
from tests.testbed.node import Node
from tests.testbed.tools import fetch, unavailable

FAMILIES = ("child", "cosigned", "delay", "pulls", "pods", "daemon", "change")
"""Each is a module with a function `section`."""


def main(families: list[str]) -> int:
    """Measure, print, write, each family on a node of its own."""
    reason = unavailable()
    if reason:
        print(f"bench: needs the real tools: {reason}")
        return 1
    tools = fetch()
    print(f"bench: {', '.join(tools.versions)}", flush=True)
    for name in families:
        print(f"bench: {name} ...", flush=True)
        start = time.monotonic()
        with Node(tools) as node:
            section = import_module(f"tests.bench.{name}").section(Stage(node))
        print(f"{section.text()}\nbench: {name} took {time.monotonic() - start:.0f} s", flush=True)
        section.write()
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measure, and write docs/performance.md."
    )
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"of {', '.join(FAMILIES)} (default: all)")
    wanted = parser.parse_args().families or list(FAMILIES)
    if not set(wanted) <= set(FAMILIES):
        parser.error(f"got {' '.join(wanted)}; expected some of {', '.join(FAMILIES)}")
    sys.exit(main(wanted))
