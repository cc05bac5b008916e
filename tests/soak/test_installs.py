"""What drifts over many installations is found, whatever it is."""

from collections.abc import Sequence

import pytest

from tests.soak.installs import MOST_MIB, WARM, Drift, Round, Size, Soaked, render, same, steady

SIZE = Size(22, 4096)


def rounds(count: int = 20, *, last: Round | None = None) -> list[Round]:
    """Rounds that are all alike, but for the last."""
    alike = [Round(1.0, 0.5, 4, 60.0)] * count
    return [*alike[:-1], last or alike[-1]]


def test_a_host_that_is_as_it_was_has_not_drifted() -> None:
    same({"etc": (1, 0o755, b"")}, {"etc": (1, 0o755, b"")}, 1)
    steady(rounds(), SIZE, SIZE, [])


@pytest.mark.parametrize("after", [{}, {"etc": (1, 0o700, b"")}, {"etc": (1, 0o755, b""), "opt": (1, 0o755, b"")}])
def test_an_entry_that_went_came_or_changed_is_drift(after: dict[str, tuple[object, ...]]) -> None:
    with pytest.raises(Drift, match=r"round 7: 1 entries are not what they were: (etc|opt)$"):
        same({"etc": (1, 0o755, b"")}, after, 7)


@pytest.mark.parametrize(
    ("done", "last", "left", "said"),
    [
        (rounds(last=Round(1, 1, 5, 60)), SIZE, [], "4 to 5 descriptors open"),
        (rounds(last=Round(1, 1, 4, 61 + MOST_MIB)), SIZE, [], "5.0 MiB more"),
        (rounds(), Size(23, 4096), [], "23 entries"),
        (rounds(), Size(22, 8192), [], "8192 bytes"),
        (rounds(), SIZE, [17], r"left: \[17\]"),
    ],
)
def test_what_is_more_at_the_end_is_drift(done: Sequence[Round], last: Size, left: list[int], said: str) -> None:
    with pytest.raises(Drift, match=said):
        steady(done, SIZE, last, left)


def test_what_is_imported_in_the_first_rounds_is_none() -> None:
    first = [Round(1, 1, 3, 20.0)] * (WARM - 1)
    steady([*first, *rounds()], SIZE, SIZE, [])


def test_figures_say_what_was_counted() -> None:
    text = render(Soaked(rounds(), (5.0, 6.0), SIZE, SIZE, 90.0))
    assert "22 installations and uninstallations in 2 minutes, 2 of them by the program on the real containerd" in text
    assert "| entries of the host's own | 22 | 22 |" in text
    assert "| descriptors of the process that installs | 4 | 4 |" in text
    assert "Median: install 1.00 s, uninstall 0.50 s; both on containerd, with the proof, 5.5 s." in text
