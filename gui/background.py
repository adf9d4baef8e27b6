"""A run that trains while nobody has opened Train yet: followed for the status bar, with none of Train's widgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from gui.bridge import Call

if TYPE_CHECKING:
    from engine import Epoch, Run

PAUSE = 500  # milliseconds between two looks


class Background(QObject):
    """Looks once for a run that outlived the window before, and follows it to its end.

    All reading is done by `call`, in another thread.

    Signals:
        said(str, float): a sentence for the status bar and the share done, 0..1; below 0: it has ended.
        model_ready(str): the run has written better weights; its name in the zoo.
    """

    said = Signal(str, float)
    model_ready = Signal(str)

    def __init__(self, call: Call, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._call = call
        self._run: Run | None = None
        self._best: Epoch | None = None
        self._told: tuple[str, float] = ("", -1.0)
        self._stopped = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._look)

    def start(self) -> None:
        """Look for a run that trains."""

        def find() -> Run | None:
            from engine import runs

            return next((run for run in runs() if run.alive), None)

        self._call(find, self._follow)

    def stop(self) -> None:
        """Somebody else tells of the runs from now on; nothing is signalled any more."""
        self._stopped = True
        self._timer.stop()

    def _follow(self, run: Run | None) -> None:
        if run is not None and not self._stopped:
            self._run, self._best = run, run.history.best
            self._look()

    def _look(self) -> None:
        run = self._run
        if run is None or self._stopped:
            return

        def look() -> tuple[str, float, Epoch | None]:
            from engine import EngineError
            from gui.verdict import in_the_background

            run.poll()
            state, best = run.state, run.history.best if run.model is not None else None
            if state not in ("preparing", "training", "paused"):
                return "", -1.0, best
            try:
                config = run.config()
            except EngineError:  # it trains all the same
                config = None
            return *in_the_background(run.history, state, config, name=run.name), best

        self._call(look, self._tell)

    def _tell(self, found: tuple[str, float, Epoch | None]) -> None:
        if self._stopped or self._run is None:
            return
        sentence, share, best = found
        if best is not None and best is not self._best:
            self._best = best
            self.model_ready.emit(self._run.name)
        if (sentence, share) != self._told:
            self._told = sentence, share
            self.said.emit(sentence, share)
        if share >= 0:
            self._timer.start()
