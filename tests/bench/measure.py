"""Runs commands in alternating rounds and reports what each took.

Runs inside the testbed's namespaces with nothing but the standard library: `python measure.py < request.json`, where
the request is {"rounds": N, "commands": {name: COMMAND}, "timer": PATH} (`Command` below; TIMER is a busybox).
Output: {name: {"wall_ms": [...], "cpu_ms": [...], "rss_kib": [...]}}.  Alternating keeps the machine's moods out of
the ratios: each round runs every command once.

Memory is measured in rounds of its own.  The kernel counts what a process held before it became another program, so a
child of this interpreter has at least this interpreter's size; a child of busybox has next to nothing.
"""

import json
import os
import shutil
import sys
import time
from typing import NotRequired, TypedDict

_WARM_UP_ROUNDS = 2
_MEMORY_ROUNDS = 5


class Call(TypedDict):
    """Words, and standard input."""

    argv: list[str]
    stdin: str


class Command(TypedDict):
    """One command to be measured; a run whose exit code is not `exit` ends the measurement.

    Round by round its calls take turns.  Before each call what lies in the folder `forgets` is removed.
    """

    calls: list[Call]
    exit: int
    env: NotRequired[dict[str, str]]
    forgets: NotRequired[str]


class Samples(TypedDict):
    """What was measured, one entry a round: wall-clock and processor milliseconds; peak resident KiB in fewer."""

    wall_ms: list[float]
    cpu_ms: list[float]
    rss_kib: list[int]


class Took(TypedDict):
    """One run: milliseconds from spawn to end, and of the processor, user and system."""

    wall_ms: float
    cpu_ms: float


def run_once(command: Command, number: int, before: list[str]) -> Took:
    """Run a command's call for the round `number`, behind the words of `before`, and wait for its end."""
    call = command["calls"][number % len(command["calls"])]
    if "forgets" in command:
        shutil.rmtree(command["forgets"], ignore_errors=True)
    argv = [*before, *call["argv"]]
    reading, writing = os.pipe()
    os.write(writing, call["stdin"].encode())
    os.close(writing)
    null = os.open(os.devnull, os.O_WRONLY)
    actions = [(os.POSIX_SPAWN_DUP2, reading, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    start = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, command.get("env", {}), file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    took = (time.perf_counter() - start) * 1000
    os.close(reading)
    os.close(null)
    code = os.waitstatus_to_exitcode(status)
    if code != command["exit"]:
        raise SystemExit(f"{' '.join(argv)}: exit code {code}; expected {command['exit']}")
    return {"wall_ms": took, "cpu_ms": (usage.ru_utime + usage.ru_stime) * 1000}


def measure(commands: dict[str, Command], rounds: int, timer: str) -> dict[str, Samples]:
    """Run every command once a round; the first rounds only warm up, the last ones measure memory."""
    samples: dict[str, Samples] = {name: {"wall_ms": [], "cpu_ms": [], "rss_kib": []} for name in commands}
    for number in range(_WARM_UP_ROUNDS + rounds):
        for name, command in commands.items():
            took = run_once(command, number, [])
            if number >= _WARM_UP_ROUNDS:
                samples[name]["wall_ms"].append(took["wall_ms"])
                samples[name]["cpu_ms"].append(took["cpu_ms"])
    told = f"/run/memory-{os.getpid()}"
    for number in range(_WARM_UP_ROUNDS + rounds, _WARM_UP_ROUNDS + rounds + _MEMORY_ROUNDS):
        for name, command in commands.items():
            run_once(command, number, [timer, "time", "-o", told, "-f", "%M"])
            with open(told) as file:
                samples[name]["rss_kib"].append(int(file.read().splitlines()[-1]))
    return samples


ROUNDS_BEYOND = _WARM_UP_ROUNDS + _MEMORY_ROUNDS
"""Rounds that are run on top of those asked for: a command that must never repeat itself needs calls for them."""


if __name__ == "__main__":
    request = json.load(sys.stdin)
    json.dump(measure(request["commands"], request["rounds"], request["timer"]), sys.stdout)
