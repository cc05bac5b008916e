"""Figures that a measurement writes into docs/performance.md, between two marks that bear its name."""

import pathlib

PERFORMANCE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "performance.md"


def put_between(name: str, text: str, document: pathlib.Path = PERFORMANCE) -> None:
    """Put `text` (Markdown, ends with a line feed) between `<!-- NAME: begin -->` and `<!-- NAME: end -->`."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = document.read_text().split(begin)
    document.write_text(f"{before}{begin}\n{text}{end}{rest.split(end)[1]}")
