"""Runs one command and tells what it took: `python -I -S spawn.py FD COMMAND...`, a line `CODE SECONDS KIB` into FD.

A small process has to do this: what a command takes at its peak begins with what its parent had when it was started,
and the tests' own process is larger than the program.
"""

import os
import sys
import time


def main() -> None:
    """Run, wait, tell."""
    told = int(sys.argv[1])
    os.set_inheritable(told, False)
    start = time.monotonic()
    pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
    for inherited in (0, 1, 2):
        os.close(inherited)
    _, status, usage = os.wait4(pid, 0)
    took = time.monotonic() - start
    os.write(told, f"{os.waitstatus_to_exitcode(status)} {took:.3f} {usage.ru_maxrss}\n".encode())


if __name__ == "__main__":
    main()
