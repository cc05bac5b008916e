"""Imported once by the process that `tests.fuzz.one` is forked from: all that is fuzzed, so that coverage can lead.

To prepare it takes as long as half of what a target is fuzzed for.
"""

import contextlib
import importlib
import importlib.util
import io

if importlib.util.find_spec("atheris") is not None:
    import atheris

    with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["agent"]):  # names each module
        importlib.import_module("tests.fuzz.targets")
