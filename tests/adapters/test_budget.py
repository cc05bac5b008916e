"""The daemon's memory: what the kernel allows, and that all shares together are below it."""

import pathlib

import pytest

from agent.adapters.budget import LOWEST_LIMIT, MIB, USUAL, divided, is_too_low, limit_here
from agent.adapters.policy_worker import COPY_MEMORY, LABOUR_MEMORY, MEMORY, SMALL_MEMORY
from agent.asking import MAX_TOLD, as_content, read_in
from agent.formats.attestation import MAX_SIZE, MAX_TOTAL, AttestationFormat
from agent.formats.sbom import MAX_SIZE as MAX_SBOM
from agent.registry.limits import MAX_PAGE_SIZE
from agent.trust.crl import MAX_LIST
from agent.wiring import unit

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("mib", [LOWEST_LIMIT // MIB, 200, 256, 384, 512, 1024, 65536])
def test_shares_are_together_below_the_limit(mib: int) -> None:
    shares = divided(mib * MIB)
    assert shares.total < mib * MIB
    assert min(shares) > 0
    assert not is_too_low(mib * MIB)


@pytest.mark.parametrize("mib", [1, 64, 128])
def test_limit_that_is_too_low_is_known_as_such(mib: int) -> None:
    assert is_too_low(mib * MIB)


def test_most_of_everything_finds_room_alone() -> None:
    shares = divided(USUAL)
    assert shares.working >= max(MEMORY, LABOUR_MEMORY) + COPY_MEMORY
    assert shares.working >= 3 * (SMALL_MEMORY + COPY_MEMORY), "policies side by side"
    assert shares.working >= read_in(max(MAX_PAGE_SIZE, MAX_SIZE))
    assert shares.content > as_content([MAX_SIZE] * (MAX_TOTAL // MAX_SIZE), AttestationFormat.tells)
    assert shares.content > as_content([MAX_SBOM], 0)
    assert shares.content > 2 * max(MAX_LIST, MAX_PAGE_SIZE)
    assert shares.told > MAX_TOLD


def test_what_is_shipped_has_the_usual_limit() -> None:
    said = f"limits: {{memory: {USUAL // MIB}Mi}}}}"
    assert (ROOT / "daemonset.yaml").read_text().count(said) == 2
    assert f"{USUAL // MIB}M" == unit.MEMORY


V1 = "9:name=systemd:/\n4:memory:/pods/a\n1:cpu:/\n0::/\n"
V2 = "0::/kubepods/pod/a\n"


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        (V1, {"memory/pods/a/memory.limit_in_bytes": "1000\n"}, 1000),
        (V1, {"memory/pods/memory.limit_in_bytes": "500", "memory/pods/a/memory.limit_in_bytes": "1000"}, 500),
        (V1, {"memory/memory.limit_in_bytes": "1000"}, 1000),
        (V1, {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        (V2, {"kubepods/pod/a/memory.max": "1000\n"}, 1000),
        (V2, {"kubepods/pod/a/memory.max": "max\n", "kubepods/memory.max": "2000\n"}, 2000),
        (V2, {"memory.max": "1000"}, 1000),
        (V2, {"memory.max": "max"}, None),
        ("0::/../..\n", {"memory.max": "7"}, 7),
        (V2, {"memory.max": ""}, None),
        (V2, {"memory.max": "\u0661"}, None),
        (V2, {"memory.max": "0"}, None),
        (V2, {"memory.max": "-1"}, None),
        ("", {"memory.max": "1000"}, None),
        ("nonsense\n", {"memory.max": "1000"}, None),
    ],
)
def test_limit_is_the_lowest_of_the_groups(
    tmp_path: pathlib.Path, groups: str, files: dict[str, str], limit: int | None
) -> None:
    (tmp_path / "cgroup").write_text(groups)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert limit_here(str(tmp_path / "cgroup"), str(tmp_path)) == limit


def test_where_nothing_can_be_read_there_is_no_limit(tmp_path: pathlib.Path) -> None:
    assert limit_here(str(tmp_path / "none"), str(tmp_path)) is None
    here = limit_here()
    assert here is None or here > 0
