"""The live flow's inference thread: frames in, results out, the latest wins on both sides.

It owns the running network and the tracker of what that detects, things or faces. Loading another network, looking into
a layer and reading a frame all happen in this one thread, which sleeps until there is something to do.

Several networks look at the same frames each in a session of its own, and share nothing: none waits for another. One
that is not to take the processor from the others gets a share of the time, and rests after each frame accordingly.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from engine.concurrency import Flag, Latest, Lock, Worker
from engine.errors import Cancelled, EngineError
from engine.types import Frame, ModelCard, Result

if TYPE_CHECKING:
    from engine.recognition import Recogniser
    from engine.runtime import Device
    from engine.vision import Reader
    from engine.vision.classify import Classifier
    from engine.vision.faces import FaceFollower
    from engine.vision.track import Follower

_log = logging.getLogger(__name__)

_IN_A_ROW = 5  # frames that failed, after which a session that has a share of the time takes it easier
_BETWEEN = 5.0  # seconds from one attempt to the next, then


@dataclass(frozen=True)
class ModelState:
    """Which network runs, or is being loaded, or could not be.

    Attributes:
        name: of the card that was asked for.
        phase: "loading" and "failed" leave the network that ran before running.
        card: with its layers; None until ready.
        device, why: where the network runs and why there ("CPU · OpenVINO", "no CUDA device found").
        error: why loading failed.
        generation: counts networks that became ready; the results of the one that runs carry it.
        explains: the network can tell where it found what it says (`LiveSession.explain`).
    """

    name: str
    phase: Literal["loading", "ready", "failed"]
    card: ModelCard | None = None
    device: str = ""
    why: str = ""
    error: EngineError | None = None
    generation: int = 0
    explains: bool = False


class LiveSession:
    """Reads frames as they come with one network at a time.

    Attributes:
        frames: what has been submitted and not been read yet.
        results: what has been read and not been taken yet.
    """

    frames: Latest[Frame]
    results: Latest[Result]

    def __init__(
        self,
        *,
        on_result: Callable[[], None],
        on_model: Callable[[ModelState], None],
        on_error: Callable[[EngineError], None],
        on_recovery: Callable[[EngineError], None] = lambda error: None,
        share: float = 1.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """The first four are called in the inference thread.

        Args:
            on_result: `results` went from empty to full.
            on_model: a network is being loaded, is ready, or failed.
            on_error: a frame failed; the next call comes only after a frame has worked again.
            on_recovery: one has worked again, or another network is there; with the error that `on_error` was told.
            share: of the time that may be spent on reading, as `set_share` takes it.
            clock: tells the time in seconds.
        """
        self.frames = Latest()
        self.results = Latest(on_result)
        self._on_model = on_model
        self._on_error = on_error
        self._on_recovery = on_recovery
        self._lock = Lock()  # guards what other threads set: the names below, down to `_ending`
        self._wanted: str | None = None
        self._asked = 0  # counts calls of `use`
        self._layer: str | None = None
        self._region = 0
        self._people: Recogniser | None = None
        self._explaining = False
        self._share = share
        self._last: Frame | None = None
        self._ending = False
        self._clock = clock
        self._reader: Reader | None = None
        self._kept: list[tuple[ModelCard, int, Reader]] = []  # with the time at which the weights were written
        self._follower: Follower | None = None  # where the network detects things
        self._faces: FaceFollower | None = None  # where it is one for faces
        self._classifier: Classifier | None = None  # where it is one that can explain itself
        self._devices: tuple[Device, ...] = ()  # that have been told
        self._generation = 0
        self._failure: EngineError | None = None  # that was told; None: the last frame could be read
        self._failed = 0  # frames in a row
        self._worker = Worker("inference", self._run)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """End the thread after what it is doing now; nothing is called any more once this returns."""
        self._ending = True
        self.frames.wake()
        self._worker.stop()

    def submit(self, frame: Frame) -> None:
        """Hand in a frame; it replaces one that has not been read yet."""
        with self._lock:
            self._last = frame
        self.frames.put(frame)

    def use(self, name: str) -> None:
        """Load the network of that name; what is shown now is read again with it."""
        with self._lock:
            self._wanted = name
            self._asked += 1
        self.frames.wake()

    def watch(self, layer: str | None, region: int = 0) -> None:
        """Give the output of this layer for that region with every result (None: of no layer)."""
        with self._lock:
            changed = (self._layer, self._region) != (layer, region)
            self._layer, self._region = layer, region
        if changed:
            self.frames.wake()

    def set_people(self, people: Recogniser | None) -> None:
        """Compare faces with these people from now on (None: with nobody); what is shown now is read again.

        They stay set whatever network runs; one that has not seen them itself takes them for nobody.
        """
        with self._lock:
            self._people = people
        self.frames.wake()

    def set_share(self, share: float) -> None:
        """Spend this share of the time on reading, 0 < `share` <= 1: a frame that took t seconds is followed by a rest
        of t (1 / share - 1), and then by the newest frame. Whatever else is asked of the session ends the rest. With a
        share below 1, several frames that failed in a row are followed by a rest of seconds, each."""
        with self._lock:
            self._share = share
        self.frames.wake()

    def explain(self, on: bool) -> None:
        """Give with every result where the class was found, if the network can tell; what is shown is read again."""
        with self._lock:
            changed, self._explaining = self._explaining != on, on
        if changed:
            self.frames.wake()

    # ----------------------------------------------------------------------------- in the inference thread

    def _run(self, stop: Flag) -> None:
        loaded = 0
        watched: tuple[str | None, int] = (None, 0)
        compared: Recogniser | None = None
        explained = False
        read: Frame | None = None
        while True:
            frame = self.frames.take(None)
            if self._ending or stop.is_set():
                return
            with self._lock:
                wanted, asked = self._wanted, self._asked
            if wanted is not None and asked != loaded:
                loaded = asked
                self._load(wanted, asked)
                frame = self.frames.take() or self._last
            with self._lock:
                watch, people, explaining = (self._layer, self._region), self._people, self._explaining
                if asked != self._asked:  # yet another network was asked for meanwhile
                    continue
            if watch != watched:
                watched = watch
                frame = frame or self._last
            if people is not compared:
                compared = people
                frame = frame or (self._last if self._faces is not None else None)
            if explaining != explained:
                explained = explaining
                frame = frame or (self._last if self._classifier is not None else None)
            if frame is not None and self._reader is not None:
                if self._faces is not None:
                    self._faces.people = people
                if self._classifier is not None:
                    self._classifier.explains = explaining
                began = self._clock()
                self._read(frame, self._reader, watch, again=frame is read)
                read = frame
                self._rest(self._clock() - began)

    def _rest(self, took: float) -> None:
        """Leave the processor to others for as long as the share says, after `took` seconds of reading."""
        with self._lock:
            share = self._share
        if share < 1.0 and not self._ending:
            least = _BETWEEN if self._failed >= _IN_A_ROW else 0.0  # nobody has anything of its attempts
            self.frames.rest(max(least, took * (1.0 / share - 1.0)))

    def _load(self, name: str, asked: int) -> None:
        from engine import zoo

        self._tell(ModelState(name, "loading", generation=self._generation))
        try:
            card = zoo.model_card(name)
            reader = self._open(card, asked)
            follower, faces, classifier = None, None, None
            if card.task == "detection":
                from engine.vision.track import Follower

                follower = Follower(sure=card.min_score)
            elif card.task == "faces":
                from engine.vision.faces import FaceFollower, FaceReader

                assert isinstance(reader, FaceReader)
                faces = FaceFollower(reader)
            else:
                from engine.vision.classify import Classifier

                assert isinstance(reader, Classifier)
                classifier = reader if reader.can_explain else None
        except Cancelled:  # another one is wanted by now, or none
            return
        except EngineError as error:
            self._tell(ModelState(name, "failed", error=error, generation=self._generation))
            return
        except Exception as error:  # a bug in one network must not end the live flow
            _log.exception("loading %s", name)
            failure = EngineError(f"The model “{name}” could not be loaded.", f"{type(error).__name__}: {error}")
            self._tell(ModelState(name, "failed", error=failure, generation=self._generation))
            return
        self._reader, self._follower, self._faces, self._classifier = reader, follower, faces, classifier
        self._recover()
        self._tell_ready(name, reader, reader.network.device)

    def _devices_of(self, reader: Reader) -> tuple[Device, ...]:
        """Where the network runs, and what finds the faces for it."""
        finder = () if self._faces is None else (self._faces.detector.network.device,)
        return (reader.network.device, *finder)

    def _tell_ready(self, name: str, reader: Reader, device: Device) -> None:
        """Results come from this network, or from this device, from now on."""
        self._generation += 1
        self.results.take()  # what the network before has read and nobody has seen
        self._devices = self._devices_of(reader)
        state = ModelState(name, "ready", reader.card, device.title, device.why)
        explains = self._classifier is not None
        self._tell(dataclasses.replace(state, generation=self._generation, explains=explains))

    def _open(self, card: ModelCard, asked: int) -> Reader:
        """The network of a card. The two that ran last are kept: going to and fro between them takes no time."""
        from engine.vision import open_reader

        try:
            written = card.weights.stat().st_mtime_ns if card.weights is not None else 0
        except OSError:  # opening it says what is wrong
            written = -1
        for number, (known, when, reader) in enumerate(self._kept):
            if known == card and when == written >= 0:
                self._kept.insert(0, self._kept.pop(number))
                return reader
        reader = open_reader(card, cancelled=lambda: self._ending or asked != self._asked)
        self._kept = [(card, written, reader), *self._kept[:1]]
        return reader

    def _read(self, frame: Frame, reader: Reader, watch: tuple[str | None, int], *, again: bool) -> None:
        try:
            how = reader if self._faces is None else self._faces
            result = how.predict(frame, layer=watch[0], region=watch[1], generation=self._generation)
            if self._follower is not None:
                result = self._follower.follow(result)
            if again:  # how long ago an old frame was captured says nothing about the pace of the flow
                result = dataclasses.replace(result, timings=dataclasses.replace(result.timings, waiting=0.0))
        except Exception as error:
            self._failed += 1
            if self._failure is None:
                _log.warning("a frame of %s failed", frame.source, exc_info=True)
                if not isinstance(error, EngineError):
                    error = EngineError(
                        f"“{reader.card.name}” could not read this picture.", f"{type(error).__name__}: {error}"
                    )
                self._failure = error
                if not self._ending:
                    self._on_error(error)
            return
        self._recover()
        devices = self._devices_of(reader)
        moved = [device for device in devices if device not in self._devices]
        if moved and not self._ending:
            self._kept = [each for each in self._kept if each[2] is not reader]  # chosen again, it is opened anew
            self._tell_ready(reader.card.name, reader, moved[0])
            self._failure = EngineError(
                f"“{reader.card.title}” goes on on the processor: {moved[0].why}.",
                "Close what else uses the GPU, then choose the network again.",
            )
            self._on_error(self._failure)
            result = dataclasses.replace(result, generation=self._generation)
        if not self._ending:
            self.results.put(result)

    def _recover(self) -> None:
        failure, self._failure, self._failed = self._failure, None, 0
        if failure is not None and not self._ending:
            self._on_recovery(failure)

    def _tell(self, state: ModelState) -> None:
        if not self._ending:
            self._on_model(state)
