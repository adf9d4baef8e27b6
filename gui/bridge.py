"""The engine's callbacks as Qt signals. The one holder of the live session that answers and of the capture; and a queue
for whatever takes a while.

The engine is imported and started in a thread of its own, so the window paints before OpenCV or OpenVINO are loaded;
what is asked of the bridge until then (a network, a frame, a layer) is kept and passed on.
"""

from __future__ import annotations

import collections
import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from PySide6.QtCore import QObject, Qt, Signal, Slot

from engine import EngineError, Latest, Lock, Worker

if TYPE_CHECKING:
    from engine import Capture, CaptureState, Frame, LiveSession, ModelCard, ModelState, Recogniser, Result

T = TypeVar("T")
# call(work, done): `work` in a thread and then `done(value)` in the GUI thread, as `Bridge.call` does it.
Call: TypeAlias = Callable[[Callable[[], Any], Callable[[Any], None]], None]


class Bridge(QObject):
    """Frames in, results out.

    Attributes:
        tap: called with every frame of the source that is read, in the capture's thread; must not wait.
    Signals, all in the GUI thread:
        result(Result): of the running network; stale ones are dropped.
        model(ModelState): the running network changed.
        cards(list[ModelCard]): the zoo, after `refresh_cards`.
        preview(Frame): the newest frame of the source, read or not.
        capture(CaptureState): the source changed.
        failed(BaseException): for the notices.
        recovered(EngineError): what this one said is over.
    """

    result = Signal(object)
    model = Signal(object)
    cards = Signal(object)
    preview = Signal(object)
    capture = Signal(object)
    failed = Signal(object)
    recovered = Signal(object)

    _results_filled = Signal()
    _previews_filled = Signal()
    _model_changed = Signal(object)
    _captured = Signal(object, object)
    _started = Signal(object)
    _done = Signal(object, object)
    _failure = Signal(object)
    _recovery = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        # A thread that wants to run waits this long for the one that runs Python; 5 ms would be felt in the pen.
        sys.setswitchinterval(0.0005)
        self.state: ModelState | None = None
        self.source: Capture | None = None
        self.source_state: CaptureState | None = None
        self.tap: Callable[[Frame], None] | None = None
        self._session: LiveSession | None = None
        self._sessions: list[LiveSession] = []  # made, whether adopted yet or not
        self._beside: tuple[LiveSession, ...] = ()  # replaced, never changed: the capture's thread goes through it
        self._opening = 0
        self._heard = Lock()  # held while a frame is handed in, so that none comes late
        self._hears_source = True
        self._workers: list[Worker] = []
        self._closed = False
        self._wanted_model = ""
        self._wanted_layer: tuple[str | None, int] = (None, 0)
        self._people: Recogniser | None = None
        self._explaining = False
        self._last_frame: Frame | None = None
        self._previews: Latest[Frame] = Latest(self._emit_previews)
        queued = Qt.ConnectionType.QueuedConnection
        self._results_filled.connect(self._take_result, queued)
        self._previews_filled.connect(self._take_preview, queued)
        self._model_changed.connect(self._take_model, queued)
        self._captured.connect(self._take_capture, queued)
        self._started.connect(self._adopt, queued)
        self._done.connect(self._deliver, queued)
        self._failure.connect(self._report, queued)
        self._recovery.connect(self._settle, queued)

    # the engine ---------------------------------------------------------------------------------------------

    def start(self, model: str) -> None:
        """Load the engine behind the window and run `model` as soon as it is there."""
        self._wanted_model = model

        def load() -> LiveSession:
            from engine import LiveSession

            session = LiveSession(
                on_result=self._emit_results,
                on_model=self._emit_model,
                on_error=self.report,
                on_recovery=lambda error: self._emit(self._recovery, error),
            )
            self._sessions.append(session)
            session.start()
            return session

        self._work("engine-start", lambda: self._emit(self._started, load()))

    def use(self, name: str) -> None:
        """Run another network."""
        self._wanted_model = name
        if self._session is not None:
            self._session.use(name)

    def submit(self, frame: Frame) -> None:
        """Have a frame read; a newer one replaces it while it waits."""
        self._last_frame = frame
        with self._heard:
            if self._session is not None:
                self._session.submit(frame)
        for session in self._beside:
            session.submit(frame)

    def attach(self, session: LiveSession) -> None:
        """Have another session, which somebody else holds, see the same frames and know the same people."""
        session.set_people(self._people)
        self._beside = (*self._beside, session)

    def detach(self, session: LiveSession) -> None:
        """That one sees no further frame."""
        self._beside = tuple(each for each in self._beside if each is not session)

    def hear_source(self, on: bool) -> None:
        """Whether the frames of the source are read; once it is off, not even the one under way is."""
        with self._heard:
            self._hears_source = on

    def watch(self, layer: str | None, region: int = 0) -> None:
        """Ask for the feature maps of `layer` with every result; None: for none."""
        if (layer, region) != self._wanted_layer:
            self._wanted_layer = (layer, region)
            if self._session is not None:
                self._session.watch(layer, region)

    def explain(self, on: bool) -> None:
        """Ask with every result where the class was found, of networks that can tell."""
        if on != self._explaining:
            self._explaining = on
            if self._session is not None:
                self._session.explain(on)

    def set_people(self, people: Recogniser | None) -> None:
        """Recognise these people; what is shown is read again."""
        if people is not self._people:
            self._people = people
            for session in (self._session, *self._beside):
                if session is not None:
                    session.set_people(people)

    def refresh_cards(self) -> None:
        """Look through the zoo again; the list comes with `cards`."""

        def look() -> list[ModelCard]:
            from engine import model_cards

            return model_cards()

        self.call(look, self.cards.emit)

    # the source ---------------------------------------------------------------------------------------------

    def open(self, spec: str) -> None:
        """Play a source; the one that plays is closed."""
        self.close_source()
        ticket = self._opening

        def begin() -> Any:
            from engine import Capture

            return Capture

        def play(capture: Any) -> None:
            if self._opening != ticket:  # another source, or none, was asked for meanwhile
                return

            def state(news: CaptureState) -> None:  # tells a late word of an old source from the new one's
                self._emit(self._captured, new, news)

            new: Capture = capture(spec, on_frame=self._on_frame, on_state=state)
            self.source = new
            new.start()

        self.call(begin, play)

    def close_source(self) -> None:
        """Stop capturing and give the camera back."""
        self._opening += 1
        if self.source is not None:
            source, self.source, self.source_state = self.source, None, None
            self._work("source-stop", source.stop)  # a camera may take a moment to let go

    # anything slow ------------------------------------------------------------------------------------------

    def call(self, work: Callable[[], T], done: Callable[[T], None]) -> None:
        """Run `work` in a thread and then `done(value)` here; an EngineError becomes a notice."""

        def body() -> None:
            try:
                value = work()
            except EngineError as error:
                self.report(error)
            else:
                self._emit(self._done, done, value)

        self._work("window-work", body)

    @staticmethod
    def now() -> float:
        """The clock that frames carry, in seconds."""
        return time.perf_counter()

    def report(self, error: BaseException) -> None:
        """Hand an error to the notices, from any thread."""
        self._emit(self._failure, error)

    def close(self) -> None:
        """End every thread; nothing is signalled afterwards."""
        self._closed = True
        if self.source is not None:
            self.source.stop()
            self.source = None
        for worker in self._workers:
            worker.stop()
        self._workers.clear()
        self._session = None
        for session in self._sessions:
            session.stop()

    # other threads ------------------------------------------------------------------------------------------

    def _work(self, name: str, body: Callable[[], object]) -> None:
        if self._closed:
            return
        self._workers = [worker for worker in self._workers if worker.alive]

        def run(stop: object) -> None:
            body()

        self._workers.append(Worker(name, run).start())

    def _emit(self, signal: Any, *values: object) -> None:
        if not self._closed:
            signal.emit(*values)

    def _emit_results(self) -> None:
        self._emit(self._results_filled)

    def _emit_previews(self) -> None:
        self._emit(self._previews_filled)

    def _emit_model(self, state: ModelState) -> None:
        self._emit(self._model_changed, state)

    def _on_frame(self, frame: Frame) -> None:
        with self._heard:
            if not self._hears_source:
                return
            if self._session is not None:
                self._session.submit(frame)
        for session in self._beside:
            session.submit(frame)
        tap = self.tap
        if tap is not None:
            tap(frame)
        self._previews.put(frame)

    # the GUI thread -----------------------------------------------------------------------------------------

    @Slot(object)
    def _adopt(self, session: LiveSession) -> None:
        if self._closed:
            return
        self._session = session
        session.use(self._wanted_model)
        session.watch(*self._wanted_layer)
        session.set_people(self._people)
        session.explain(self._explaining)
        if self._last_frame is not None:
            session.submit(self._last_frame)

    @Slot()
    def _take_result(self) -> None:
        result: Result | None = None if self._session is None else self._session.results.take()
        if result is not None and (self.state is None or result.generation >= self.state.generation):
            self.result.emit(result)

    @Slot()
    def _take_preview(self) -> None:
        frame = self._previews.take()
        if frame is not None and self.source is not None:
            self.preview.emit(frame)

    @Slot(object)
    def _take_model(self, state: ModelState) -> None:
        self.state = state
        self.model.emit(state)

    @Slot(object, object)
    def _take_capture(self, source: Capture, state: CaptureState) -> None:
        if source is self.source:
            self.source_state = state
            self.capture.emit(state)

    @Slot(object, object)
    def _deliver(self, done: Callable[[object], None], value: object) -> None:
        if not self._closed:
            done(value)

    @Slot(object)
    def _report(self, error: BaseException) -> None:
        self.failed.emit(error)

    @Slot(object)
    def _settle(self, error: EngineError) -> None:
        self.recovered.emit(error)


@dataclass(frozen=True, eq=False)
class _Errand:
    work: Callable[[], Any]
    done: Callable[[Any], None]
    failed: Callable[[BaseException], None]
    lasting: bool


class Errands:
    """What takes a while, done in another thread one after the other; whoever asked for it hears of it here."""

    def __init__(self, call: Call, failed: Callable[[BaseException], None]) -> None:
        """`failed`: hears of what went wrong where an errand has nobody of its own for that."""
        self._call, self._failed = call, failed
        self._waiting: collections.deque[_Errand] = collections.deque()
        self._busy = False
        self._closed = self._kept = False

    @property
    def idle(self) -> bool:
        """Nothing is being done, and nothing waits."""
        return not self._busy and not self._waiting

    def do(
        self,
        work: Callable[[], T],
        done: Callable[[T], None] = lambda _: None,
        failed: Callable[[BaseException], None] | None = None,
        *,
        lasting: bool = False,
    ) -> None:
        """Do `work` after all that was asked for before, then `done` or `failed` here.

        Args:
            lasting: it writes something down, and is done even if the window goes first.
        """
        errand = _Errand(work, done, failed or self._failed, lasting)
        if self._closed:
            self._do_unheard(errand)
        else:
            self._waiting.append(errand)
            self._next()

    def close(self, *, lasting: bool = True) -> None:
        """The window goes, and no thread is left: from now on what writes something down is done at once, if that is
        still `lasting`, and nobody hears of it; anything else is dropped."""
        self._closed, self._kept = True, lasting
        for errand in self._waiting:
            self._do_unheard(errand)
        self._waiting.clear()

    def _do_unheard(self, errand: _Errand) -> None:
        if errand.lasting and self._kept:
            with contextlib.suppress(EngineError):  # there is nobody left to tell
                errand.work()

    def _next(self) -> None:
        if self._busy or not self._waiting:
            return
        self._busy = True
        errand = self._waiting.popleft()

        def attempt() -> tuple[bool, Any]:
            try:
                return True, errand.work()
            except Exception as error:  # whoever asked for it hears of it
                return False, error

        def deliver(found: tuple[bool, Any]) -> None:
            self._busy = False
            well, value = found
            try:
                (errand.done if well else errand.failed)(value)
            finally:
                self._next()

        self._call(attempt, deliver)
