"""Folding while many processes append, and while whoever folds is killed: every line once, in the order of each."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.adapters.folding import SpoolReader
from agent.adapters.spool import FOLDER
from tests.adapters.test_folding import all_of, reader, root
from tests.adapters.test_spool import record

__all__ = ["reader", "root"]

WRITER = """
import sys, time
from tests.adapters.test_spool import Spool, module, record
spool, first = Spool(sys.argv[1]), int(sys.argv[2])
module.MAX_SIZE = int(sys.argv[3])
for number in range(first, first + 300):
    if number % 50 == 0:
        sys.stdin.buffer.read(1)
    spool.append(record(number, message="m" * 500))
    time.sleep(0.004)
"""

FOLDER_OF_THEM = """
import json, os, sys
from agent.adapters.folding import SpoolReader
reader = SpoolReader(sys.argv[1])
out = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
while True:
    folded = reader.new(16 * 1024)
    if folded.records or folded.gaps or folded.lost or folded.problems:
        images = [each.image for each in folded.records]
        said = [os.getpid(), images, folded.gaps, folded.lost, folded.problems]
        os.write(out, json.dumps(said).encode() + b"\\n")
    reader.done()
"""

EXPECTED = [record(writer * 1_000 + number).image for writer in range(5) for number in range(300)]
PER_WRITER = 300


@contextmanager
def writers(root: Path, size: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Five processes that append, all at once, some 1.2 MB in all; `size` is when the file is turned.

    They go on at each of six places once they are told to, or once nobody can tell them any more.
    """
    started = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(root), str(i * 1_000), str(size)], stdin=subprocess.PIPE)
        for i in range(5)
    ]
    try:
        yield started
        assert [writer.wait(60) for writer in started] == [0] * 5
    finally:
        for writer in started:
            writer.kill()
            writer.communicate()


def in_order(images: Sequence[str]) -> bool:
    """Whether those of each process stand in the order in which it told them."""
    told = [EXPECTED.index(image) for image in images]
    ranges = [range(i * PER_WRITER, (i + 1) * PER_WRITER) for i in range(5)]
    return all((mine := [number for number in told if number in each]) == sorted(mine) for each in ranges)


def test_many_processes_tell_while_it_is_folded(reader: SpoolReader, root: Path) -> None:
    images: list[str] = []
    with writers(root, 400_000) as started:
        for writer in started:
            assert writer.stdin is not None
            writer.stdin.close()
        while any(writer.poll() is None for writer in started):
            images += [each.image for each in all_of(reader, 32 * 1024)]
    images += [each.image for each in all_of(reader)]
    assert sorted(images) == sorted(EXPECTED)
    assert in_order(images)
    assert sum(path.stat().st_size for path in (root / FOLDER).glob("spool*")) < 1_000_000  # turned twice at least


def test_whoever_folds_is_killed_again_and_again(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "told"
    kills = 0
    with writers(root, 700_000) as started:  # once, or a start could take too long
        while any(writer.poll() is None for writer in started):
            size = out.stat().st_size if out.exists() else 0
            process = subprocess.Popen([sys.executable, "-c", FOLDER_OF_THEM, str(root), str(out)])
            for writer in started:
                assert writer.stdin is not None
                with suppress(BrokenPipeError):
                    writer.stdin.write(b"x")
                    writer.stdin.flush()
            try:
                deadline = time.monotonic() + 30
                while not (out.exists() and out.stat().st_size > size) and time.monotonic() < deadline:
                    if all(writer.poll() is not None for writer in started):
                        break
                time.sleep(0.001 * (kills % 7))
            finally:
                process.kill()
                process.wait()
            kills += 1
    assert kills > 5
    batches = [json.loads(each) for each in out.read_text().splitlines()]
    last = SpoolReader(str(root))
    batches.append([0, [each.image for each in all_of(last)], 0, None, []])
    assert [each[2:] for each in batches] == [[0, None, []]] * len(batches)
    seen: list[str] = []
    for i, (pid, images, *_) in enumerate(batches):
        again = [image for image in images if image in seen]
        if again:
            before_it, told_before = batches[i - 1][:2]
            assert pid != before_it
            assert set(again) <= set(told_before)
        seen += [image for image in images if image not in again]
    assert sorted(seen) == sorted(EXPECTED)
    assert in_order(seen)
