"""Licence texts of what a built program holds, with an index."""

import pathlib
import shutil
from collections.abc import Sequence

from components import Component

FOLDER, INDEX = "licenses", "INDEX.txt"


def collect(program: pathlib.Path, components: Sequence[Component]) -> None:
    """Write the texts and an index into `program`/licenses.

    They are not among the libraries, through which the fast path looks.
    """
    folder = program / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for component in components:
        for name, text in component.texts.items():
            shutil.copyfile(text, folder / name)
    (folder / INDEX).write_text("".join(f"{each.title}: {each.licence}\n" for each in components))
