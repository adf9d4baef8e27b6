"""Networks that look at the pictures of Live beside the one that answers, each in a thread and a share of the time of
its own.

The picture never waits for them: what they have seen last is drawn over the frame that is shown, as long as it is of
nearly the same moment. Which ones look, and for how much of the time, is remembered.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Qt, Signal, Slot

from engine import EngineError
from gui.bridge import Bridge
from gui.overlay import Beside, Mark, Overlay, overlay_of
from gui.settings import Settings
from gui.sight import Sight

if TYPE_CHECKING:
    from engine import Frame, ModelCard, ModelState, Result

SHARES = (10, 25, 50)  # percent of the time that one may be given
USUAL = 25
MOST = 3  # at once: with more, neither the processor nor the picture has room for anything else
FRESH = 1.0  # seconds between the frame that is shown and what is drawn over it
COLOURS = ("#56b4e9", "#f0e442", "#cc79a7")  # one for each; bright, since their labels stand on a dark ground
_COUNTED = 8  # pictures of which the pace is made
_IDLE = 3.0  # seconds, and periods, without a picture after which there is no pace


@dataclass(frozen=True)
class Row:
    """How one of them is getting on.

    Attributes:
        says: what it sees, or that it is not ready yet.
        seconds: that a picture takes; 0: none has been read.
        pace: pictures a second; 0: nothing moves.
        share: of the time, in percent.
    """

    title: str
    colour: str
    says: str
    seconds: float
    pace: float
    share: int


class Companion(QObject):
    """One network that looks along, with a session of its own.

    Attributes:
        card: of the network; `state` is what is known of it since it has been loaded.
        sight: what is shown of what it finds: what was chosen when it was the one that answered.
        result: the newest one; None: nothing has been read since the source was opened.
        beside: the newest one as it is drawn.
        trouble: why it reads nothing at present; None: it does.
    Signals:
        ready(): it can read now.
        read(): there is a newer result.
        failed(EngineError): it cannot be loaded.
        stumbled(EngineError): it could not read a picture, and goes on with the next ones; said once.
        recovered(EngineError): what `stumbled` said is over.
    """

    ready = Signal()
    read = Signal()
    failed = Signal(object)
    stumbled = Signal(object)
    recovered = Signal(object)

    _results_filled = Signal()
    _model_changed = Signal(object)
    _failure = Signal(object)
    _recovery = Signal()

    def __init__(self, card: ModelCard, share: int, colour: str, settings: Settings, parent: QObject) -> None:
        super().__init__(parent)
        from engine import LiveSession

        self.card, self.share, self.colour = card, share, colour
        self.sight = Sight(settings, self)
        self.state: ModelState | None = None
        self.result: Result | None = None
        self.beside = Beside(card.title, colour, says="getting ready…")
        self.trouble: EngineError | None = None
        self._since = 0.0
        self._ended = False
        self._times: collections.deque[tuple[float, float]] = collections.deque(maxlen=_COUNTED)
        queued = Qt.ConnectionType.QueuedConnection
        self._results_filled.connect(self._take_result, queued)
        self._model_changed.connect(self._take_model, queued)
        self._failure.connect(self._stumble, queued)
        self._recovery.connect(self._recover, queued)

        def tell(signal: Any, *values: object) -> None:  # in the session's thread
            if not self._ended:
                signal.emit(*values)

        self.session = LiveSession(
            on_result=lambda: tell(self._results_filled),
            on_model=lambda state: tell(self._model_changed, state),
            on_error=lambda error: tell(self._failure, error),
            on_recovery=lambda _: tell(self._recovery),
            share=share / 100,
        )
        self.session.start()
        self.session.use(card.name)

    def end(self) -> None:
        """Nothing is signalled any more; the session is still to be stopped, which may take a while."""
        self._recover()
        self._ended = True

    def forget(self, since: float) -> None:
        """What was captured before has gone; `since` in seconds of the frames' clock."""
        self._since = since
        self.result = None
        self.sight.forget()
        self._times.clear()
        self._draw()

    def row(self, now: float) -> Row:
        """How it is getting on."""
        times = [when for when, _ in self._times]
        pace = (len(times) - 1) / max(1e-6, times[-1] - times[0]) if len(times) > 1 else 0.0
        if not times or now - times[-1] > max(_IDLE, _IDLE / max(pace, 1e-6)):
            pace = 0.0
        took = [seconds for _, seconds in self._times]
        seconds = sum(took) / len(took) if took else 0.0
        return Row(self.card.title, self.colour, self._words(), seconds, pace, self.share)

    # inside ---------------------------------------------------------------------------------------------------------

    @Slot()
    def _take_result(self) -> None:
        result = self.session.results.take()
        if self._ended or result is None or self.state is None or result.generation < self.state.generation:
            return
        if result.frame.time < self._since:
            return
        if self.result is None or result.frame is not self.result.frame:
            seconds = result.timings.total - result.timings.waiting
            self._times.append((Bridge.now(), seconds))
        self.result = result
        if result.detections is not None:
            self.sight.take(result)
        self._draw()
        self.read.emit()

    @Slot(object)
    def _take_model(self, state: ModelState) -> None:
        if self._ended or state.phase == "loading":
            return
        if state.phase == "failed":
            self.failed.emit(state.error)
            return
        self.state = state
        self.result = None
        self.sight.set_card(state.card)
        self._draw()
        self.ready.emit()

    @Slot(object)
    def _stumble(self, error: EngineError) -> None:
        if not self._ended:
            message = f"“{self.card.title}” could not read a picture. It goes on with the next ones."
            self.trouble = EngineError(message, str(error))
            self.stumbled.emit(self.trouble)

    @Slot()
    def _recover(self) -> None:
        trouble, self.trouble = self.trouble, None
        if trouble is not None and not self._ended:
            self.recovered.emit(trouble)

    def _draw(self) -> None:
        """Make ready what is drawn, once for all the frames that it is drawn over."""
        marks: tuple[Mark, ...] = ()
        says = "getting ready…" if self.state is None else ""
        if self.result is not None:
            drawn = overlay_of(self.result, self.sight)
            says = drawn.headline
            if self.result.detections is not None:
                # A little outside of the box: where another network has found the same thing, both are seen.
                marks = tuple(replace(mark, room=3.0) for mark in drawn.marks)
            if self._nobody_known:
                marks = tuple(replace(mark, text="face", brief="face") for mark in marks)
        self.beside = Beside(self.card.title, self.colour, marks, says)

    @property
    def _nobody_known(self) -> bool:
        """It finds faces, and there is nobody to compare them with."""
        return bool(self.sight.faces) and all(face.person is None for face in self.sight.faces)

    def _words(self) -> str:
        if self.state is None:
            return "getting ready…"
        if self.trouble is not None:
            return "cannot read the pictures"
        if self.result is None:
            return ""
        if self.result.detections is None:
            return self.beside.says or "nothing that it knows"
        counts: collections.Counter[str] = collections.Counter()
        if self.sight.faces and not self._nobody_known:
            counts.update(face.name or "unknown" for face in self.sight.faces)
        elif self.sight.shown is not None:
            counts.update(self.sight.shown.labels[number] for number in self.sight.shown.class_id)
        words = ", ".join(name if count == 1 else f"{count} × {name}" for name, count in counts.most_common())
        return words or "nothing in sight"


class Companions(QObject):
    """Which networks look along.

    Attributes:
        cards: those that could: all that read pictures, without the one that answers.
        chosen: names of those that a person has switched on, with their share of the time in percent.
        running: those that look, in the order in which they were switched on.
    Signals:
        changed(): others look, or may, or for another share.
        seen(): something else is to be drawn.
        faces(ModelCard | None): of the network for faces that looks along, if one does.
        failed(BaseException): for the notices.
        recovered(EngineError): what that notice says is over.
    """

    changed = Signal()
    seen = Signal()
    faces = Signal(object)
    failed = Signal(object)
    recovered = Signal(object)

    def __init__(self, bridge: Bridge, settings: Settings, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge, self._settings = bridge, settings
        self.cards: tuple[ModelCard, ...] = ()
        self.chosen: dict[str, int] = {name: self.share(name) for name in settings.texts("also")[:MOST]}
        self.running: list[Companion] = []
        self._every: dict[str, ModelCard] = {}  # that reads pictures, by name
        self._main = ""
        self._active = False
        self._closed = False
        self._frame: Frame | None = None  # the one that is shown
        self._faces: ModelCard | None = None

    # which ----------------------------------------------------------------------------------------------------------

    def set_cards(self, cards: Sequence[ModelCard]) -> None:
        """These networks are installed."""
        before, self._every = self._every, {card.name: card for card in cards if reads_pictures(card)}
        for name in [name for name in self.chosen if name not in self._every]:
            self._switch_off(name)
            if name in before:
                title = before[name].title
                self.failed.emit(
                    EngineError(f"“{title}” is not there any more.", "It has been switched off; others go on.")
                )
        for companion in [each for each in self.running if self._every[each.card.name] != each.card]:
            self._end(companion)  # another network of the same name, or other weights
        self._settle()

    def set_main(self, name: str) -> None:
        """This network answers; it does not look along as well."""
        self._main = name
        self._settle()

    def set_active(self, active: bool) -> None:
        """Live is opened or left; what has been loaded stays, and reads nothing meanwhile."""
        if active == self._active:
            return
        self._active = active
        for companion in self.running:
            if active:
                self._bridge.attach(companion.session)
            else:
                self._bridge.detach(companion.session)
        self._settle()
        self._tell_faces()
        self.changed.emit()
        self.seen.emit()

    def choose(self, name: str, on: bool) -> None:
        """Have a network look along, or not any more."""
        if not on:
            self._switch_off(name)
        elif name not in self.chosen and not self.full:
            self.chosen[name] = self.share(name)
            self._remember()
        self._settle()

    @property
    def full(self) -> bool:
        """No further one can be switched on."""
        return len(self.chosen) >= MOST

    def share(self, name: str) -> int:
        """How much of the time a network has, or would have, in percent."""
        share = int(self._settings.number(f"also-share/{name}", USUAL))
        return share if share in SHARES else USUAL

    def set_share(self, name: str, share: int) -> None:
        """Give a network that share of the time, in percent."""
        self._settings.set(f"also-share/{name}", share)
        if name in self.chosen:
            self.chosen[name] = share
        for companion in self.running:
            if companion.card.name == name:
                companion.share = share
                companion.session.set_share(share / 100)
        self.changed.emit()

    def reload(self, name: str) -> None:
        """A network has new weights."""
        for companion in self.running:
            if companion.card.name == name:
                companion.session.use(name)

    def close(self) -> None:
        """The window goes, and no thread is left."""
        self._closed = True
        running, self.running = self.running, []
        for companion in running:
            companion.end()
            self._bridge.detach(companion.session)
        for companion in running:
            companion.session.stop()

    # what they see --------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Another source is opened."""
        self._frame = None
        now = self._bridge.now()
        for companion in self.running:
            companion.forget(now)

    def over(self, frame: Frame, overlay: Overlay | None) -> Overlay | None:
        """What is drawn over a frame that is shown, with what they have seen in it or just before or after it."""
        self._frame = frame
        if not self._active or not self.running:
            return overlay
        beside = []
        for companion in self.running:
            result, drawn = companion.result, companion.beside
            if result is not None and not of_one_moment(frame, result.frame):
                drawn = Beside(drawn.name, drawn.colour)
            beside.append(drawn)
        height, width = frame.image.shape[:2]
        return replace(overlay or Overlay((width, height)), beside=tuple(beside))

    def rows(self) -> list[Row]:
        """How they are getting on."""
        now = self._bridge.now()
        return [companion.row(now) for companion in self.running] if self._active else []

    # inside ---------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Begin what should look along, and end what should not. The network that answers is loaded first."""
        if self._closed:
            return
        self.cards = tuple(card for card in self._every.values() if card.name != self._main)
        wanted = [name for name in self.chosen if name in self._every and name != self._main]
        for companion in [each for each in self.running if each.card.name not in wanted]:
            self._end(companion)
        if self._active and self._main:
            there = {companion.card.name for companion in self.running}
            for name in wanted:
                if name not in there:
                    self._begin(self._every[name])
        self._tell_faces()
        self.changed.emit()
        self.seen.emit()

    def _begin(self, card: ModelCard) -> None:
        colour = next(each for each in COLOURS if each not in [other.colour for other in self.running])
        companion = Companion(card, self.chosen[card.name], colour, self._settings, self)
        companion.ready.connect(self._tell_faces)
        companion.ready.connect(self.seen)
        companion.read.connect(self.seen)
        companion.failed.connect(lambda error: self._fail(companion, error))
        companion.stumbled.connect(self.failed)
        companion.recovered.connect(self.recovered)
        self.running.append(companion)
        self._bridge.attach(companion.session)
        if self._frame is not None:  # which may stand still
            companion.session.submit(self._frame)

    def _end(self, companion: Companion) -> None:
        self.running.remove(companion)
        companion.end()
        self._bridge.detach(companion.session)
        # The thread may be in the middle of a picture, or of loading.
        self._bridge.call(companion.session.stop, lambda _: companion.deleteLater())

    def _fail(self, companion: Companion, error: EngineError) -> None:
        title, name = companion.card.title, companion.card.name
        if companion in self.running:
            self._switch_off(name)
            self._settle()
            why = f"{error.message} {error.hint}".strip()
            self.failed.emit(EngineError(f"“{title}” has been switched off; the others go on.", why))

    def _switch_off(self, name: str) -> None:
        if self.chosen.pop(name, None) is not None:
            self._remember()
        for companion in [each for each in self.running if each.card.name == name]:
            self._end(companion)

    def _remember(self) -> None:
        self._settings.set("also", list(self.chosen))

    def _tell_faces(self) -> None:
        """Whoever is enrolled is to be known to the network for faces that looks along."""
        states = [each.state for each in self.running if each.card.task == "faces" and each.state is not None]
        cards = [state.card for state in states]
        card = cards[0] if cards and self._active else None
        if card is not self._faces:
            self._faces = card
            self.faces.emit(card)


def reads_pictures(card: ModelCard) -> bool:
    """Whether a network has something to say of any picture, not only of drawings."""
    return card.task in ("detection", "faces") or card.preprocess.kind == "picture"


def of_one_moment(shown: Frame, read: Frame) -> bool:
    """Whether what was found in one frame can be drawn over the other: it is the same picture (a source that has only
    one shows it again and again), or they are less than about a second apart, by the clock on the wall and by that of
    what plays."""
    if shown.source != read.source:
        return False
    if shown.index == read.index:
        return True
    if shown.clock is None or read.clock is None:
        return False
    return abs(shown.clock - read.clock) <= FRESH and abs(shown.time - read.time) <= FRESH
