"""The one error boundary: whatever goes wrong below ends here, as a sentence on stderr and an exit status."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence

import typer

from snnprof.errors import Dismissed, SnnprofError, printable

MACHINES_OWN = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE,
    errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE,
}  # fmt: skip
"""What a file or disk may refuse at any moment. That a file is missing is looked at where the user names it, and said
there; anywhere else it is a bug."""
COMPLETION = "_SNNPROF_COMPLETE"
OK, USAGE, INTERNAL, INTERRUPTED = 0, 2, 70, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status.

    Returns:
        0 done; 1 a check that was asked for failed; 2 bad usage or input; 70 a bug; 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sys.stderr is None:  # closed by the caller; print would take stdout in its place
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    debug = "--debug" in arguments or os.environ.get("SNNPROF_DEBUG", "0") not in ("", "0")
    try:
        status = _run([argument for argument in arguments if argument != "--debug"])
    except BaseException as error:
        if debug and not isinstance(error, SystemExit):
            traceback.print_exc()
        return _explained(error, debug)
    if status == INTERRUPTED:  # typer has taken the KeyboardInterrupt
        _say("interrupted")
    return status


def _run(arguments: list[str]) -> int:
    from snnprof.cli.app import app

    status = app(arguments, prog_name="snnprof", standalone_mode=False, obj=arguments)
    return status if isinstance(status, int) else OK


def _explained(error: BaseException, debug: bool) -> int:
    """Says what went wrong; the exit status that goes with it."""
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
    """Dismissed processes exit, and typer where a shell asks how a word may go on; all else is the user's own code."""
    if isinstance(error, Dismissed) or COMPLETION in os.environ:
        return error.code if isinstance(error.code, int) else OK
    _say(
        f"error: the model's or the data's own code ended the program: SystemExit: {error.code}",
        "hint: let it return or raise instead; a script's own run belongs under if __name__ == '__main__'",
    )
    return USAGE


def _in_users_file(error: BaseException) -> str:
    """The file and line that raised it, where that lies in a folder that is searched first: the model's, or this one.

    A `random.py` there is found in place of Python's own.
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
        for line in filter(None, lines):
            print(printable(line), file=sys.stderr)
    except OSError:  # nobody is listening: the exit status must do
        pass


if __name__ == "__main__":
    sys.exit(main())
