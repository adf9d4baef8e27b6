"""A training run as a folder and a process of its own; every viewer reads the folder.

    run.toml           what was asked for
    events.jsonl       what the run said, a JSON object a line (`engine.training.events`)
    commands.jsonl     what viewers asked of it: pause, resume, stop, cancel
    run.lock           locked by the process that trains, however it ends; process.json has its number
    checkpoint.pt      enough to go on after the last whole epoch
    model.safetensors  the best weights so far, and model.json, their card: a model of the zoo
    log.txt            what the process printed besides

The window starts the same program as the command line and then only reads; so a window that was closed, or died,
finds its runs again, and a run that died can be resumed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias, get_args

import filelock

from engine import store, zoo
from engine.errors import EngineError
from engine.training.config import TrainingConfig
from engine.training.events import History, TrainingEvent, from_json

Command: TypeAlias = Literal["pause", "resume", "stop", "cancel"]
State: TypeAlias = Literal["preparing", "training", "paused", "interrupted", "ended"]

_PLACES = ("folder", "start_from")  # settings that name a file or folder
_children: dict[Path, subprocess.Popen[bytes]] = {}  # started by this process; asked now and then, so none is a zombie


class Run:
    """One run as its folder tells it; cheap to make, reads only what is new at each `poll`.

    Attributes:
        folder: the run's folder; its name is the run's name in the zoo.
        history: everything read so far.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history = History()
        self._offset = 0

    @property
    def name(self) -> str:
        return self.folder.name

    def config(self) -> TrainingConfig:
        """What was asked for (EngineError if run.toml is damaged or missing)."""
        return TrainingConfig.read(self.folder / "run.toml")

    def poll(self) -> list[TrainingEvent]:
        """The events since the last call; also entered in `history`."""
        events: list[TrainingEvent] = []
        try:
            with (self.folder / "events.jsonl").open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return events
        whole = data.rfind(b"\n") + 1  # a line still being written is left for the next time
        self._offset += whole
        for line in data[:whole].splitlines():
            event = from_json(line.decode("utf-8", "replace"))
            if event is not None:
                self.history.append(event)
                events.append(event)
        return events

    @property
    def alive(self) -> bool:
        """Whether the process that trains is running."""
        child = _children.get(self.folder)
        if child is not None and child.poll() is not None:
            del _children[self.folder]
            child = None
        return child is not None or _is_locked(self.folder)

    @property
    def state(self) -> State:
        """Where the run stands, by what was polled last; "interrupted": its process died without a word."""
        if self.alive:
            if self.history.stopped is not None:
                return "ended"
            if self.history.started is None or self.history.progress is not None:
                return "preparing"
            return "paused" if self.history.paused else "training"
        self.poll()
        return "ended" if self.history.stopped is not None else "interrupted"

    @property
    def resumable(self) -> bool:
        """It ended early, is not running, and left a checkpoint or at least its recipe."""
        stopped = self.history.stopped
        return (
            not self.alive
            and (stopped is None or stopped.reason not in ("finished", "cancelled"))
            and (self.folder / "run.toml").exists()
        )

    @property
    def model(self) -> Path | None:
        """The card of its best weights so far, or None before the first epoch's end."""
        card = self.folder / "model.json"
        return card if card.exists() and (self.folder / "model.safetensors").exists() else None

    def start(self, *, resume: bool = False) -> None:
        """Start the program that trains, detached: it outlives this process.

        Raises:
            EngineError: it is running already, or the process cannot be started.
        """
        if self.alive:
            raise EngineError(f"The run {self.name} is training already.", "Stop it first.")
        self.history.stopped = None
        # -P: a random.py in the folder where the window was started must not take the place of Python's own.
        program = [sys.executable, "-P", "-m", "engine.training", str(self.folder / "run.toml")]
        program += ["--out", str(self.folder), *["--resume"] * resume, "--considerate", "--quiet"]
        program += ["--heed-from", str(_size(self.folder / "commands.jsonl"))]
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        # On Windows: a process group of its own, no console, below normal priority.
        options: dict[str, Any] = {"start_new_session": True} if os.name == "posix" else {"creationflags": 0x4208}
        try:
            with (self.folder / "log.txt").open("ab") as log:
                _children[self.folder] = subprocess.Popen(
                    program, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, **options
                )
        except OSError as error:
            raise EngineError(f"The training process could not be started: {error}.", "") from error

    def command(self, command: Command) -> None:
        """Ask the run for something; it answers with an event. Does nothing to a run that has ended."""
        try:
            with (self.folder / "commands.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({"command": command}) + "\n")
        except OSError as error:
            raise store.write_error(self.folder / "commands.jsonl", error) from error

    def discard(self) -> None:
        """Delete the folder of a run that is not running."""
        if not self.alive:
            store.remove_folder(self.folder)

    def last_words(self, lines: int = 20) -> str:
        """The end of what the process printed, for the details of a notice."""
        with contextlib.suppress(OSError):
            return "\n".join((self.folder / "log.txt").read_text("utf-8", "replace").splitlines()[-lines:])
        return ""


def new_run(config: TrainingConfig, *, folder: Path | None = None, name: str = "") -> Run:
    """Make the folder of a new run (under the user's runs, unless told where) with its `run.toml`.

    A run is a model of the zoo under the name of its folder, so it takes no name that another model has.

    Raises:
        EngineError: the folder cannot be written to, or holds a run already.
    """
    if folder is None:
        stem = re.sub(r"[^\w-]+", "-", name).strip("-") or f"{config.data}-{datetime.now():%Y%m%d-%H%M%S}"
        folder = store.runs_folder() / stem
        taken = {path.stem for path in (store.RESOURCES / "models").glob("*.json")} | zoo.taken_names()
        number = 1
        while folder.exists() or folder.name in taken:
            number += 1
            folder = store.runs_folder() / f"{stem}-{number}"
    elif (folder / "events.jsonl").exists():
        raise EngineError(
            f"{folder} holds a run already.",
            "Add --resume to go on with it, or name another folder with --out.",
        )
    # The recipe moves to another folder, so the places it names must not be relative to this one.
    places = {name: str(Path(place).expanduser().absolute()) for name in _PLACES if (place := getattr(config, name))}
    recipe = TrainingConfig.from_mapping({**config.values(), **places}).to_toml()
    store.replace_file(folder / "run.toml", lambda path: path.write_text(recipe, encoding="utf-8"))
    return Run(folder)


def runs(folder: Path | None = None) -> list[Run]:
    """All runs in the user's runs folder (or `folder`), newest first, polled once; cancelled ones are cleared away."""
    found: list[Run] = []
    root = folder or store.runs_folder()
    for path in sorted(root.glob("*/run.toml"), key=_time, reverse=True):
        run = Run(path.parent)
        run.poll()
        if run.history.stopped is not None and run.history.stopped.reason == "cancelled":
            run.discard()
        else:
            found.append(run)
    return found


class RunRecord:
    """The run's own side of its folder: writes events, reads commands. Used by the process that trains.

    Args:
        folder: the run's folder, made if need be.
        heed_from: bytes of `commands.jsonl` that were meant for an earlier process; None: all that is there now.

    Raises:
        EngineError: another process trains in this folder, or it cannot be written to.
    """

    def __init__(self, folder: Path, *, heed_from: int | None = None) -> None:
        self.folder = folder
        self._commands_read = _size(folder / "commands.jsonl") if heed_from is None else heed_from
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = filelock.FileLock(folder / "run.lock")
            self._lock.acquire(timeout=1.0)  # a viewer that looks whether the run is alive holds it for a moment
            store.replace_file(folder / "process.json", lambda path: path.write_text(json.dumps({"pid": os.getpid()})))
            self._close_broken_line()
            self._events: IO[str] = (folder / "events.jsonl").open("a", encoding="utf-8")
        except filelock.Timeout as error:
            raise EngineError(f"The run in {folder} is training already.", "Stop it first.") from error
        except OSError as error:
            raise store.write_error(folder / "events.jsonl", error) from error

    def write(self, line: str) -> None:
        try:
            self._events.write(line + "\n")
            self._events.flush()
        except OSError as error:
            raise store.write_error(self.folder / "events.jsonl", error) from error

    def commands(self) -> list[Command]:
        """What viewers have asked for since the last call."""
        path = self.folder / "commands.jsonl"
        try:
            if path.stat().st_size <= self._commands_read:
                return []
            with path.open("rb") as file:
                file.seek(self._commands_read)
                data = file.read()
        except OSError:
            return []
        whole = data.rfind(b"\n") + 1
        self._commands_read += whole
        asked: list[Command] = []
        for line in data[:whole].splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("command") in get_args(Command):
                    asked.append(entry["command"])
        return asked

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._events.close()
        with contextlib.suppress(OSError):
            (self.folder / "process.json").unlink(missing_ok=True)
        self._lock.release()

    def _close_broken_line(self) -> None:
        """A run killed while writing leaves half a line; what follows must not be glued to it."""
        path = self.folder / "events.jsonl"
        if path.exists() and path.stat().st_size:
            with path.open("rb+") as file:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")


def _is_locked(folder: Path) -> bool:
    """Whether a living process trains in `folder`. A lock goes with its process, however that ends."""
    lock = filelock.FileLock(folder / "run.lock")
    try:
        if not (folder / "run.lock").exists():
            return False
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # deleted by another window just now
        return 0.0
