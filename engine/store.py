"""Where things are kept on this machine, and how a file is written so that a crash never leaves half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import platformdirs

from engine.errors import WriteError

RESOURCES = Path(__file__).resolve().parent.parent / "resources"


def data_folder() -> Path:
    """Runs, data sets and settings of this user; `CONVSCOPE_HOME` moves them (tests, portable installs)."""
    home = os.environ.get("CONVSCOPE_HOME")
    return Path(home) if home else Path(platformdirs.user_data_dir("convscope", appauthor=False))


def cache_folder() -> Path:
    """What can be made again: converted and compiled networks."""
    home = os.environ.get("CONVSCOPE_HOME")
    return Path(home) / "cache" if home else Path(platformdirs.user_cache_dir("convscope", appauthor=False))


def runs_folder() -> Path:
    return data_folder() / "runs"


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in the place of `path` in one step.

    `write` must raise nothing but OSError when the disk is full: let it write bytes made beforehand.

    Raises:
        WriteError: the folder cannot be written to or the disk is full; `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        _put_in_place(temporary, path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _put_in_place(temporary: Path, path: Path) -> None:
    # On Windows a file that somebody reads at this moment cannot be replaced; readers are quick.
    deadline = time.monotonic() + (2.0 if sys.platform == "win32" else 0.0)
    while True:
        try:
            temporary.replace(path)
            return
        except PermissionError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)


def write_error(path: Path, error: OSError) -> WriteError:
    """A failed write in plain words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WriteError(
            f"The disk is full: {path.name} could not be written.", f"Free some space in {path.parent} and try again."
        )
    return WriteError(
        f"{path.name} could not be written: {error.strerror or error}.", f"Check that {path.parent} may be written to."
    )


def remove_folder(path: Path) -> None:
    """Delete a folder of ours with all that is in it; what is already gone is fine."""
    shutil.rmtree(path, ignore_errors=True)
