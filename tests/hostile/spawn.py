"""Runs one command and tells what it took: `python -I -S spawn.py FD COMMAND...`, one line into FD.

The line is `CODE SECONDS KIB USED QUEUED`.  USED are the seconds of the processor that the command had, QUEUED those in
which it could have gone on and did not get it: https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat

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
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    took, queued = time.monotonic() - start, _queued(pid)
    _, status, usage = os.wait4(pid, 0)
    used = usage.ru_utime + usage.ru_stime
    os.write(
        told, f"{os.waitstatus_to_exitcode(status)} {took:.3f} {usage.ru_maxrss} {used:.3f} {queued:.3f}\n".encode()
    )


def _queued(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0  # this kernel does not count


if __name__ == "__main__":
    main()
