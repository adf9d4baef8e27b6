"""The program that trains: `python main.py train RUN.toml`, and what the window starts. One and the same run.

Drives `fit`, writes each event to the run's folder and prints it as a JSON line, and does what viewers ask of it.
Pausing is simply not asking `fit` for the next event.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from engine.errors import Cancelled, EngineError, WriteError
from engine.training.config import TrainingConfig
from engine.training.events import Paused, Progress, Reason, Started, Stopped, TrainingEvent, to_json
from engine.training.runs import Run, RunRecord, new_run

EXIT_CODES: dict[Reason, int] = {"finished": 0, "stopped": 0, "cancelled": 0}


def main(arguments: list[str]) -> int:
    """Train as the arguments say; 0: finished or stopped as asked, 1: broke off, 2: could not begin."""
    options = _parser().parse_args(arguments)
    try:
        return _train(options)
    except EngineError as error:
        print(f"{error.message} {error.hint}".strip(), file=sys.stderr)
        return 2


def _train(options: argparse.Namespace) -> int:
    recipe: Path = options.recipe
    config = TrainingConfig.read(recipe)
    folder: Path | None = options.out
    if folder is None:
        if options.resume:
            raise EngineError("--resume needs the folder of the run.", "Add --out FOLDER.")
        run = new_run(config, name=recipe.stem if recipe.name != "run.toml" else "")
    elif options.resume and (folder / "run.toml").exists():
        run = Run(folder)
        kept = run.config()
        if recipe.resolve() != (folder / "run.toml").resolve() and kept != config:
            raise EngineError(
                f"The recipe differs from the one that the run in {folder} began with.",
                f"Resume with {folder / 'run.toml'}, or start a new run in another folder.",
            )
    elif recipe.resolve() == (folder / "run.toml").resolve() and not (folder / "events.jsonl").exists():
        run = Run(folder)  # the window has made the folder already
    else:
        run = new_run(config, folder=folder)
    if options.considerate:
        # Threads that wait for each other by spinning starve whatever else runs, and themselves with it where the
        # cores are shared; alone on the machine they are a quarter faster. Read when torch is loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        if sys.platform != "win32":
            with contextlib.suppress(OSError):
                os.nice(5)  # the window and everything else come first; an idle machine is used fully all the same
    record = RunRecord(run.folder, heed_from=options.heed_from)
    try:
        return _Driver(record, quiet=options.quiet).drive(config, resume=options.resume)
    finally:
        record.close()


class _Driver:
    """Between the run's folder and `fit`: events out, commands in."""

    def __init__(self, record: RunRecord, *, quiet: bool) -> None:
        self._record = record
        self._quiet = quiet
        self._stopping = False
        self._cancelling = False
        self._paused = False
        self._said = self._listened = 0.0
        self._began = time.perf_counter()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def drive(self, config: TrainingConfig, *, resume: bool) -> int:
        end: Stopped | None = None
        try:
            self._progress("Starting", 0.0, force=True)
            from engine.data import DATASETS, faces  # torch is loaded here, after the first sign of life
            from engine.training.fit import fit

            data = DATASETS[config.data].load(
                Path(config.folder) if config.folder else None,
                seed=config.seed,
                image_size=config.image_size,
                progress=self._progress,
                cancelled=self._asked_to_end,
            )
            if data.skipped:  # stdout is for events; the window keeps stderr in log.txt
                print(f"Left out, since it cannot be read ({len(data.skipped):,}): {data.skipped[0]}", file=sys.stderr)
            classes = [name.strip() for name in config.classes.split(",") if name.strip()]
            if classes and config.matters("classes") and not isinstance(data, faces.FaceSet):
                data = data.only(classes)
            for event in fit(config, data, folder=self._record.folder, resume=resume, stop=self._asked_to_end):
                if isinstance(event, Stopped):
                    end = event
                    break
                self._emit(event)
                if self._paused and isinstance(event, Started):  # asked for while the data were loading
                    self._emit(Paused(True, event.time))
                self._listen()
                if self._paused and not self._stopping:
                    self._wait()
        except Cancelled as error:
            end = self._end("stopped", error.message, "")
        except EngineError as error:
            end = self._end("disk" if isinstance(error, WriteError) else "error", error.message, error.hint)
        except MemoryError:
            end = self._end("memory", "There was not enough memory.", "Choose a smaller batch or picture size.")
        except Exception as error:
            import traceback

            traceback.print_exc()
            end = self._end(
                "error",
                f"Training broke off with an error that ConvScope did not expect ({type(error).__name__}: {error}).",
                "The best weights so far are kept; the details are in log.txt in the run's folder.",
            )
        if self._cancelling:
            end = self._end("cancelled", "Cancelled; nothing is kept.", "")
            for name in ("model.json", "model.safetensors", "checkpoint.pt"):
                (self._record.folder / name).unlink(missing_ok=True)
        assert end is not None
        with contextlib.suppress(EngineError):  # a full disk may not have room for the reason; stderr has it
            self._emit(end)
        code = EXIT_CODES.get(end.reason, 1)
        if code:
            print(f"{end.message} {end.hint}".strip(), file=sys.stderr)
        return code

    def _emit(self, event: TrainingEvent) -> None:
        line = to_json(event)
        if not self._quiet:
            try:
                print(line, flush=True)
            except OSError:  # the reader has gone, or its disk is full; the run goes on, its folder has everything
                self._quiet = True
        self._record.write(line)

    def _progress(self, what: str, share: float, *, force: bool = False) -> None:
        now = time.perf_counter()
        if force or share >= 1.0 or now - self._said > 0.1:
            self._said = now
            self._emit(Progress(what, share, now - self._began))

    def _listen(self) -> None:
        for command in self._record.commands():
            if command in ("pause", "resume"):
                if self._paused != (command == "pause"):
                    self._paused = command == "pause"
                    self._emit(Paused(self._paused, time.perf_counter() - self._began))
            else:
                self._stopping = True
                self._cancelling |= command == "cancel"

    def _wait(self) -> None:
        while self._paused and not self._stopping:
            time.sleep(0.05)
            self._listen()

    def _asked_to_end(self) -> bool:
        """Asked at every step and while data are loaded, so it looks at the folder only now and then."""
        now = time.perf_counter()
        if not self._stopping and now - self._listened > 0.05:
            self._listened = now
            self._listen()
        return self._stopping

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        self._paused = False

    def _end(self, reason: Reason, message: str, hint: str) -> Stopped:
        run = Run(self._record.folder)
        run.poll()
        best = run.history.best
        return Stopped(
            reason,
            message,
            hint,
            best.epoch if best else 0,
            best.validation_accuracy if best else 0.0,
            run.history.steps[-1].time if run.history.steps else 0.0,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="main.py train", description="Train a network; one JSON event a line.")
    parser.add_argument("recipe", type=Path, metavar="RUN.toml", help="the training settings")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder (default: among your runs)")
    parser.add_argument("--resume", action="store_true", help="go on after the last whole epoch of the run in --out")
    parser.add_argument("--considerate", action="store_true", help="let other programs go first")
    parser.add_argument("--quiet", action="store_true", help="write events to the run's folder only")
    parser.add_argument("--heed-from", type=int, metavar="BYTES", help=argparse.SUPPRESS)
    return parser
