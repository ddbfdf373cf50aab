"""Files that are written completely or not at all, and run files that reveal later changes.

A file is first written beside its place under a temporary name; only when it is on the disk does it get its own name,
in one step. So at any moment, even during a power cut or Ctrl-C, there is either the old file or the new one.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import hashlib
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snnprof.errors import SnnprofError

Identity = tuple[int, int, int, int]
"""Device, inode, time and size of a file: at least one differs after another program has written it."""
RENAME_NOREPLACE = 1
CURRENT_FOLDER = -100  # AT_FDCWD
FORCE = "replace it with --force, or choose another --output"
PARTS_LINKS = "--force replaces it under this name alone and so parts it from the others"


@dataclass
class Target:
    """A file that a command writes, once or several times, without replacing a file of another program.

    Attributes:
        path: the file; a link is followed.
        force: replaces any file that is there.
    """

    path: Path
    force: bool = False
    _known: set[Identity] = field(default_factory=set)

    @classmethod
    def to_go_on(cls, path: Path, force: bool = False) -> Target:
        """Makes the target of a run that continues in the file from which it comes, so that it may replace that file.

        Args:
            path: the file.
            force: replaces any file, even if another program writes it meanwhile.

        Returns:
            The target.
        """
        found = _status(path)
        return cls(path, force, _known=set() if found is None else {_identity(found)})

    def write(self, content: str | bytes) -> None:
        """Writes the file completely.

        Args:
            content: bytes, or text to encode as UTF-8.

        Raises:
            SnnprofError: it cannot be written, or another file is there that this target did not write or continue.
        """
        found = None if self.force else _status(self.path)
        if found is not None and stat.S_ISREG(found.st_mode) and _identity(found) not in self._known:
            raise _appeared(self.path)
        # Known before it has its name: an interrupt may come right after it has got it.
        write_atomically(self.path, content, not self.force and found is None, self._known.add)

    @property
    def is_there(self) -> bool:
        """Whether the file at the path is the one that this target wrote or continues."""
        found = _status(self.path)
        return found is not None and _identity(found) in self._known


def write_atomically(
    path: Path, content: str | bytes, new: bool = False, tell: Callable[[Identity], None] = lambda identity: None
) -> None:
    """Writes a file in one step. A device or a pipe is written to, not replaced.

    A link at `path` is followed, and the permissions of an existing file are kept. Text is encoded as UTF-8. With
    `new`, no file may be there. `tell` gets the identity of the file before it has its name.

    Raises:
        SnnprofError: the folder is missing or not writable, the disk is full, the link leads nowhere, or `new` and a
            file is there.
    """
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    must_lead_somewhere(path)
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(raw)
        else:
            _put(Path(os.path.realpath(path)), raw, new, tell)
    except FileExistsError as error:
        raise _appeared(path) from error
    except OSError as error:
        raise SnnprofError(f"cannot write {path}: {error.strerror}") from error


def must_lead_somewhere(path: Path) -> None:
    """Checks that a link leads to a file: nobody would look for a result behind one that does not.

    Raises:
        SnnprofError: the file behind the link is missing.
    """
    if path.is_symlink() and not path.exists():
        raise SnnprofError(
            f"cannot write {path}: it is a link to a file that is not there", hint="remove the link, or name the file"
        )


def other_names(path: Path) -> int:
    """Counts the other names (hard links) of a file: writing it in one step would leave them with the old content."""
    found = _status(path)
    return 0 if found is None or not stat.S_ISREG(found.st_mode) else found.st_nlink - 1


def must_have_one_name(path: Path) -> None:
    """Checks that a file has no other names (hard links).

    Raises:
        SnnprofError: it has.
    """
    if others := other_names(path):
        raise SnnprofError(f"{path} has {others} more name{'s' * (others > 1)} (hard links)", hint=PARTS_LINKS)


def rescued(content: str, name: str) -> Path:
    """Saves content that could not be written in its place in a new temporary folder, and returns that file.

    Raises:
        SnnprofError: it cannot be written there either.
    """
    try:
        place = Path(tempfile.mkdtemp(prefix="snnprof-")) / name
    except OSError as error:
        raise SnnprofError(f"cannot write into {tempfile.gettempdir()}: {error.strerror}") from error
    try:
        write_atomically(place, content)
    except BaseException:
        with suppress(OSError):
            place.parent.rmdir()
        raise
    return place


# -- run files -----------------------------------------------------------------------------------------------------


def read(path: Path) -> str:
    """Returns the text of a run file.

    Raises:
        SnnprofError: the file cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SnnprofError(f"cannot read run file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SnnprofError(f"{path} is not a run file: not UTF-8 text") from error


def sealed(text: str) -> str:
    """Returns the text of a run file with a checksum of its content."""
    tree = json.loads(text)
    tree["run"]["checksum"] = _checksum(tree)
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")) + "\n"


def is_changed(text: str) -> bool:
    """Whether the content of a run file differs from its checksum; False for a file without one."""
    stored = checksum_in(text)
    return stored is not None and stored != _checksum(json.loads(text))


def checksum_in(text: str) -> str | None:
    """Returns the checksum in a run file; None if it has none."""
    stored = json.loads(text).get("run", {}).get("checksum")
    return None if stored is None else str(stored)


def _checksum(tree: dict[str, Any]) -> str:
    """Returns a hash of the content, which does not depend on the layout of the JSON."""
    run = {name: value for name, value in tree["run"].items() if name != "checksum"}
    canonical = json.dumps({**tree, "run": run}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


# -- one step ------------------------------------------------------------------------------------------------------


def _put(place: Path, raw: bytes, new: bool, tell: Callable[[Identity], None]) -> None:
    """Writes beside the place, then renames; if anything fails, it removes the temporary file."""
    before = _status(place)
    beside = place.with_name(f".{place.name[:40]}.{secrets.token_hex(6)}.part")
    try:
        tell(_written(beside, raw, before))
        (_rename_new if new else os.replace)(beside, place)
    finally:
        with suppress(OSError):
            os.unlink(beside)
    _sync_folder(place.parent)


def _written(path: Path, raw: bytes, before: os.stat_result | None) -> Identity:
    """Writes a new file to the disk, with the permissions of the file that it will replace."""
    mode = 0o666 if before is None else stat.S_IMODE(before.st_mode)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    with os.fdopen(handle, "wb") as stream:
        if before is not None:
            _keep_rights(handle, before)
        stream.write(raw)
        stream.flush()
        os.fsync(handle)
        return _identity(os.fstat(handle))


def _keep_rights(handle: int, before: os.stat_result) -> None:
    """Copies owner and group as far as permitted; then the mode, which a change of owner would have reduced."""
    if hasattr(os, "fchown") and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(OSError):
            os.fchown(handle, before.st_uid, before.st_gid)
    if hasattr(os, "fchmod"):
        os.fchmod(handle, stat.S_IMODE(before.st_mode))


def _rename_new(source: Path, place: Path) -> None:
    """Gives a file a name that no other file has; in one step if the system can."""
    rename = _renameat2()
    if rename is not None:
        if rename(CURRENT_FOLDER, os.fsencode(source), CURRENT_FOLDER, os.fsencode(place), RENAME_NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):  # the file system does not support it
            raise OSError(number, os.strerror(number), str(place))
    if os.path.lexists(place):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place))
    os.replace(source, place)


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    try:
        rename: Callable[..., int] = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return None
    return rename


def _sync_folder(folder: Path) -> None:
    """Puts the name on the disk too. Some systems cannot, and by now the file itself is written."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _appeared(path: Path) -> SnnprofError:
    return SnnprofError(f"cannot write {path}: another program has written a file there meanwhile", hint=FORCE)
