"""The one error boundary: every error becomes a sentence on stderr and an exit status."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence

import typer

from snnprof.errors import ERASE, Dismissed, SnnprofError, printable

MACHINES_OWN = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE,
    errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE,
}  # fmt: skip
"""Errors that a file or a disk can cause at any moment, so they are no bugs. A missing file is not among them: the code
that reads a file which the user named reports it, and anywhere else it is a bug."""
COMPLETION = "_SNNPROF_COMPLETE"
OK, USAGE, INTERNAL, INTERRUPTED = 0, 2, 70, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status.

    Args:
        argv: the command line without the program's name; None: that of this process.

    Returns:
        0 done; 1 a check that the user asked for failed; 2 bad usage or input; 70 a bug; 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sys.stderr is None:  # closed by the caller; print would write to stdout instead
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    debug = "--debug" in arguments or os.environ.get("SNNPROF_DEBUG", "0") not in ("", "0")
    try:
        status = _run([argument for argument in arguments if argument != "--debug"])
    except BaseException as error:
        if debug and not isinstance(error, SystemExit):
            traceback.print_exc()
        return _explained(error, debug)
    if status == INTERRUPTED:  # typer has caught the KeyboardInterrupt
        _say("interrupted")
    return status


def _run(arguments: list[str]) -> int:
    from snnprof.cli.app import app

    status = app(arguments, prog_name="snnprof", standalone_mode=False, obj=arguments)
    return status if isinstance(status, int) else OK


def _explained(error: BaseException, debug: bool) -> int:
    """Prints what went wrong, and returns the exit status."""
    if isinstance(error, SystemExit):
        return _exited(error)
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        _say("interrupted")
        return INTERRUPTED
    if isinstance(error, SnnprofError):
        _say(f"error: {error}", f"hint: {error.hint}" if error.hint else "")
        return error.exit_code
    if type(error).__name__ == "NoArgsIsHelpError":
        _say(str(error))
        return USAGE
    if hasattr(error, "format_message"):  # typer's usage errors, whose base class it does not export
        _say(f"error: {_sentence(error.format_message())}", f"hint: see '{_command_path(error)} --help'")
        return USAGE
    if isinstance(error, OSError) and error.errno in MACHINES_OWN:
        where = f"{error.filename}: " if error.filename else ""
        _say(f"error: {where}{_sentence(os.strerror(error.errno))}")
        return USAGE
    if where := _in_users_file(error):
        _say(f"error: {where}: {type(error).__name__}: {error}", "hint: rename it if it has the name of a module")
        return USAGE
    _say(f"error: internal error: {type(error).__name__}: {error}")
    if not debug:
        _say("hint: this is a bug; please report it with the output of the same command and --debug")
    return INTERNAL


def _exited(error: SystemExit) -> int:
    """Returns the exit status of a process that ended itself.

    A process whose leader prints the error ends with `Dismissed`, and typer ends the process after it has completed a
    command line. Any other exit comes from the user's own code.
    """
    if isinstance(error.__context__, BrokenPipeError):  # rich exits this way if a reader of the help closes the pipe
        return OK
    if isinstance(error, Dismissed) or COMPLETION in os.environ:
        return error.code if isinstance(error.code, int) else OK
    _say(
        f"error: the model's or the data's own code ended the program: SystemExit: {error.code}",
        "hint: let it return or raise instead; a script's own run belongs under if __name__ == '__main__'",
    )
    return USAGE


def _in_users_file(error: BaseException) -> str:
    """Returns the file and line that raised an error, if it lies in a folder that Python searches first; else "".

    These are the model's folder and the current one. A `random.py` there hides Python's own.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or not os.path.isfile(frames[-1].filename):
        return ""
    folder = os.path.dirname(os.path.realpath(frames[-1].filename))
    ours = os.path.dirname(os.path.realpath(__file__))
    searched_first = {os.path.realpath(sys.path[0]), os.path.realpath(os.curdir)} - {ours}
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if folder in searched_first else ""


def _sentence(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")


def _command_path(error: BaseException) -> str:
    context = getattr(error, "ctx", None)
    return str(getattr(context, "command_path", "snnprof"))


def _say(*lines: str) -> None:
    try:
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            sys.stderr.write(ERASE)
        for line in filter(None, lines):
            print(printable(line), file=sys.stderr)
    except OSError:  # stderr is closed: only the exit status can tell
        pass


if __name__ == "__main__":
    sys.exit(main())
