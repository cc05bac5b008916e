"""`make demo`: Nodeseal's main job, shown line by line; exit 0 only if every line came out as expected."""

import sys

from tests.demo import embedded, node
from tests.demo.summary import Line, conclude, heading
from tests.testbed.tools import ToolsMissing, fetch, unavailable


def main() -> int:
    """Run on a real containerd if one can be had, otherwise on a registry of the tests' own, and say which."""
    lines: list[Line] = []
    reason = unavailable()
    if not reason:
        try:
            tools = fetch()
        except ToolsMissing as error:
            reason = str(error)
    if reason:
        heading("No real containerd here")
        print(f"  {reason}")
        print("  Falling back: an embedded registry, a signer of the tests' own, and the program called exactly as")
        print("  containerd would call it.  For the real thing: root on Debian or Ubuntu, with apt.")
        embedded.demonstrate(lines)
    else:
        node.demonstrate(tools, lines)
    return conclude(lines)


if __name__ == "__main__":
    sys.exit(main())
