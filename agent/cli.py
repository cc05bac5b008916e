"""The command line: argv to mode, exceptions to exit codes.  The only place that exits.

containerd's calls are told from people's by their flags: plugin mode if and only if argv holds `-name` or `--name`.
Nothing of a person's modes is imported behind containerd's.
"""

import os
import sys
from typing import Any, NoReturn, Sequence, TextIO, cast

from agent import __version__
from agent.errors import ConfigurationError, Exit, HostError, Malformed, NodesealError, Unavailable, UsageError
from agent.model.answer import printable
from agent.modes import plugin

_EXITS: tuple[tuple[type[NodesealError], Exit], ...] = (
    (UsageError, Exit.USAGE),
    (ConfigurationError, Exit.CONFIGURATION),
    (HostError, Exit.HOST),
    (Unavailable, Exit.CANNOT_TELL),
    (Malformed, Exit.DENY),
)


COMMANDS = {
    "verify": "verify",
    "config": "config",
    "break-glass": "breakglass",
    "status": "status",
    "doctor": "doctor",
    "install": "install",
    "uninstall": "uninstall",
    "cache": "cache",
    "watch": "watch",
    "trust-root": "trustroot",
    "support-bundle": "supportbundle",
    "version": "version",
}
"""Commands in the order of --help, each with its module in `agent.modes`.

Only the one that is named is imported: importing takes longer than most of them.
"""


def entry() -> NoReturn:
    """The console script."""
    main(sys.argv)


def main(argv: Sequence[str]) -> NoReturn:
    """Run the mode that argv asks for, and exit.  An exception that nobody foresaw is exit 70, never 0."""
    code = Exit.BUG
    try:
        if plugin.is_plugin(argv):
            plugin.run(argv, os.environ, frozen=getattr(sys, "frozen", False))
        else:
            code = _for_people(argv)
    except SystemExit as error:  # argparse: 0 after --help, 2 after a usage error
        code = Exit.ALLOW if error.code == 0 else Exit.USAGE
    except KeyboardInterrupt:
        _say("interrupted")
        code = Exit.CANNOT_TELL
    except BaseException as error:  # noqa: BLE001 - deny by default: whatever it is, it must not look like success
        code = _told(error)
    sys.exit(int(_flushed(code)))


def _for_people(argv: Sequence[str]) -> Exit:
    import argparse
    from importlib import import_module

    from agent.modes import place

    class Parser(argparse.ArgumentParser):
        """Tells what it does not know under the command that was meant: argparse leaves that to the outermost."""

        def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
            """As argparse's, with nothing unknown left over."""
            known, unknown = super().parse_known_args(args, namespace)
            if unknown:
                self.error(f"got {' '.join(unknown)}, which it does not know; see {self.prog} --help")
            return known, unknown

    parser: argparse.ArgumentParser = Parser(
        prog="nodeseal",
        description="Verifies every image on a Kubernetes node at the moment containerd pulls it.",
        epilog="containerd calls this program as an image verifier, with -name, -digest and -stdin-media-type. "
        "Exit codes: 0 allow or ok, 2 usage, 3 configuration, 5 host operation failed, 10 deny, 11 cannot tell, "
        "12 not enforcing, 70 bug.",
    )
    parser.add_argument("--version", action="version", version=f"nodeseal {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    named = [command for command in argv[1:2] if command in COMMANDS]
    for command in named or COMMANDS:
        import_module(f"agent.modes.{COMMANDS[command]}").add_parser(subparsers)
    options = parser.parse_args(list(argv[1:]))
    if isinstance(getattr(options, "root", None), place.Usual):
        options.root = place.usual_root()
    stdout = _Printed(sys.stdout)
    try:
        result: Exit = options.handler(options, os.environ, cast("TextIO", stdout), sys.stderr)
    except BrokenPipeError as error:  # `| head`: adapters tell of their own sockets in other words
        raise HostError("standard output: got a reader that went away; expected one that reads to the end") from error
    return stdout.ended(result)


class _Printed:
    """Standard output: a disk that is full is told as that, also where it shows only once all was printed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:  # all else is the stream's own
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As a stream's.  Raises `HostError`."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritten(error) from error

    def flush(self) -> None:
        """As a stream's.  Raises `HostError`."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritten(error) from error

    def ended(self, code: Exit) -> Exit:
        """Flush what was printed.  Raises `HostError` for a success of which not all got out: it is none."""
        try:
            self.flush()
        except BrokenPipeError:
            pass  # it read what it wanted
        except HostError as error:
            if code is Exit.ALLOW:
                raise
            _say(error.message)
        return code


def _unwritten(error: OSError) -> HostError:
    said = error.strerror or error
    return HostError(
        f"standard output: got {said}; expected room for all that is printed", hint="make room, or print elsewhere"
    )


def _told(error: BaseException) -> Exit:
    """Tell a person what went wrong, and which exit code that is.  A bug's own text may hold secrets: not shown."""
    if not isinstance(error, NodesealError):
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        at = f" at {frame.tb_frame.f_globals.get('__name__')}:{frame.tb_lineno}" if frame else ""
        _say(f"internal error: unexpected {type(error).__name__}{at}; please report it")
        return Exit.BUG
    _say(error.message)
    for problem in error.problems if isinstance(error, ConfigurationError) else ():
        _say(f"  {problem}")
    if error.hint:
        _say(f"next step: {error.hint}")
    return next((code for kind, code in _EXITS if isinstance(error, kind)), Exit.BUG)


def _say(text: str) -> None:
    try:
        sys.stderr.write(f"nodeseal: {printable(text)}\n")
    except (OSError, AttributeError, ValueError):
        pass  # nobody listens; the exit code still does its work


def _flushed(code: Exit) -> Exit:
    """Flush what was printed; a reader that went away must not change the exit code."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, AttributeError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(null, descriptor)
    return code
