"""Runs commands in alternating rounds and reports how long each took and how much memory it used.

Runs inside the testbed's namespaces with nothing but the standard library: `python measure.py < commands.json`, where
the input is {"rounds": N, "commands": {name: {"argv": [...], "stdin": text, "env": {...}, "exit": code}}}.
Output: {name: {"wall_ms": [...], "rss_kib": [...]}}.  Alternating keeps the machine's moods out of the ratios.
"""

import json
import os
import sys
import time
from typing import TypedDict

_WARM_UP_ROUNDS = 2


class Command(TypedDict):
    """One command to be measured; a run whose exit code is not `exit` ends the measurement."""

    argv: list[str]
    stdin: str
    env: dict[str, str]
    exit: int


class Samples(TypedDict):
    """What was measured, one entry a round: wall-clock milliseconds and peak resident KiB."""

    wall_ms: list[float]
    rss_kib: list[int]


def run_once(command: Command) -> tuple[float, int]:
    """Run a command and wait: (milliseconds from spawn to end, peak resident KiB)."""
    reading, writing = os.pipe()
    os.write(writing, command["stdin"].encode())
    os.close(writing)
    null = os.open(os.devnull, os.O_WRONLY)
    actions = [(os.POSIX_SPAWN_DUP2, reading, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    start = time.perf_counter()
    pid = os.posix_spawn(command["argv"][0], command["argv"], command["env"], file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    took = (time.perf_counter() - start) * 1000
    os.close(reading)
    os.close(null)
    code = os.waitstatus_to_exitcode(status)
    if code != command["exit"]:
        raise SystemExit(f"{command['argv'][0]}: exit code {code}; expected {command['exit']}")
    return took, usage.ru_maxrss


def measure(commands: dict[str, Command], rounds: int) -> dict[str, Samples]:
    """Run every command once a round; the first rounds only warm up."""
    samples: dict[str, Samples] = {name: {"wall_ms": [], "rss_kib": []} for name in commands}
    for number in range(_WARM_UP_ROUNDS + rounds):
        for name, command in commands.items():
            took, rss = run_once(command)
            if number >= _WARM_UP_ROUNDS:
                samples[name]["wall_ms"].append(took)
                samples[name]["rss_kib"].append(rss)
    return samples


if __name__ == "__main__":
    request = json.load(sys.stdin)
    json.dump(measure(request["commands"], request["rounds"]), sys.stdout)
