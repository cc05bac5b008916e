"""`make fuzz`: every target for some seconds, two at a time; what breaks one is left in out/fuzz."""

import argparse
import concurrent.futures
import importlib.util
import multiprocessing
import pathlib
import re
import sys
import tempfile
from typing import NamedTuple

from tests.fuzz import one

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "out" / "fuzz"
_AT_ONCE = 2
_START = 120
"""Seconds beyond the asked ones after which a target hangs."""

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.fuzz.guided"])


class Result(NamedTuple):
    """What came of one target; `coverage` is "-" where nothing guides."""

    target: str
    executions: str
    coverage: str
    finding: str


def fuzz(target: str, seconds: int) -> Result:
    """Fuzz one target in a process of its own."""
    before, log = set(FOLDER.glob(f"{target}-*")), FOLDER / f"{target}.log"
    log.write_text("")
    with tempfile.TemporaryDirectory() as scratch:  # the corpus; the process does not end in an orderly way
        process = _FORKS.Process(target=one.forked, args=(target, seconds, str(FOLDER), scratch, str(log)))
        process.start()
        process.join(seconds + _START)
        code = process.exitcode
        process.kill()
        process.join()
    told = log.read_text(errors="replace")
    executed = re.search(r"number_of_executed_units: +(\d+)", told) or re.search(r"Done (\d+) runs", told)
    covered = re.findall(r"cov: (\d+)", told)
    finding = ""
    if code != 0:
        left = sorted(str(path) for path in set(FOLDER.glob(f"{target}-*")) - before)
        ended = "did not end" if code is None else f"exit code {code}"
        finding = f"{ended}; input {', '.join(left) or 'unknown'}; log {FOLDER}/{target}.log"
    new = str(int(covered[-1]) - int(covered[0])) if covered else "-"
    return Result(target, executed[1] if executed else "0", new, finding)


def _raised(target: str) -> str:
    """The lines of its log that say what came out, and the input: the log itself may be gone by the time one looks."""
    lines = (FOLDER / f"{target}.log").read_text().splitlines()
    return "\n  ".join(
        line for line in lines if re.match(r"[\w.]*(Error|Exception|TooSlow)|  File .*/agent/|Base64:", line)
    )


def main() -> int:
    """Run what was asked for; non-zero if anything was found."""
    from tests.fuzz.targets import TARGETS, run

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz what reads bytes from outside.")
    parser.add_argument("targets", metavar="TARGET", nargs="*", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: %(default)s)")
    parser.add_argument("--input", type=pathlib.Path, help="run this one input on the one target, and nothing else")
    options = parser.parse_args()
    chosen = options.targets or list(TARGETS)
    unknown = [name for name in chosen if name not in TARGETS]
    if unknown:
        parser.error(f"no target {unknown[0]}")
    if options.input:
        run(TARGETS[chosen[0]], options.input.read_bytes())
        print("nothing but what may be raised")
        return 0
    if importlib.util.find_spec("atheris") is None:
        print("fuzz: atheris is not here (it needs x86_64 and Python before 3.14): examples are altered blindly")
    FOLDER.mkdir(parents=True, exist_ok=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        for result in pool.map(lambda name: fuzz(name, options.seconds), chosen):
            print(
                f"{result.target:14} {result.executions:>9} executions, new coverage {result.coverage:>4}: "
                f"{result.finding or 'ok'}",
                flush=True,
            )
            if result.finding:
                failed += 1
                print(f"  reproduce: python -m tests.fuzz {result.target} --input FILE")
                print(f"  {_raised(result.target)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
