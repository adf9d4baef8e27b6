"""Faces: found in a frame, turned upright by their landmarks, put into numbers, and compared with enrolled people.

Two networks work here, a detector that finds faces with five landmarks and an embedder that the card is about. A
`FaceReader` reads frames one by one; a `FaceFollower` reads those of a moving picture, where a face that is followed
need not be looked at in every frame, and where several frames decide together who it is.
"""

from __future__ import annotations

import dataclasses
import math
import time as clocks
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine import images, zoo
from engine.errors import EngineError
from engine.opencv import cv2
from engine.recognition import NOBODY, Match, Recogniser, Voter
from engine.types import (
    Activations,
    Detections,
    FaceMatch,
    FaceQuality,
    Floats,
    Frame,
    Image,
    ModelCard,
    Result,
    Timings,
)
from engine.vision.detect import Detector, surest
from engine.vision.track import Follower

FACE = "face"
"""What the class of a face is called, here and in the detector."""

LEAST_SIDE = 12
"""Pixels of a face's longer side from which it is looked at. What is smaller is found, but nobody can say who it is."""

_AROUND = 1.6  # side of the crop that is kept of a face, of the longer side of its box
_CROP = 160  # pixels of that crop at most
_AT_ONCE = 16  # faces in one run of the network, each with its mirror image
_LOOKS = 2  # faces that are looked at in one frame of a moving picture; the others have their turn in the next
_LARGE = 1.5  # of a picture's longer side and the detector's input: from here on faces in it are made too small
_OVERLAP = 0.25  # of the parts in which such a picture is searched, and largest face in them, of their side
_FILLS = 0.4  # of a picture's longer side: a face from this size on may be too large for the detector
_UNSURE = 0.1  # probability of a box from which a face that is followed may be in it

# Measured: a face's landmarks are found best where its box is a fifth of what the detector sees. Where it is two
# fifths, as somebody's in front of a laptop, they are off by twice as much. The mean of eight looks is better than one.
_GLANCES = (
    (0.53, False),
    (0.59, True),
    (0.66, False),
    (0.73, True),
    (0.53, True),
    (0.59, False),
    (0.66, True),
    (0.73, False),
)
_GRID = 3  # in such a grid they are seen: each with a box of such a share of its side, mirrored or not
_FEW = 16  # faces of a picture that are looked at one by one
_BARELY = 0.1  # probability of a box that is looked at closer, and of one in such a look
_ONE = 0.25  # of a face's side, by which landmarks of it may be apart; those of two faces are farther
_SURE = 0.443  # probability from all looks together from which a box is a face: few things are taken for one then

_SIDE = 107 / 112  # longer side of a face's box, of the side of the picture that it is turned upright in (median)
_NOSE = 0.57  # where a nose lies between eyes (0) and mouth (1) of a face that looks straight ahead (median)


class FaceReader:
    """The faces of single frames, and who they are. Use it from one thread at a time.

    Attributes:
        card: of the embedder, with its layers filled.
        network: the embedder; knows its device.
        detector: what finds the faces.
        model: names the network and its weights; embeddings of another one cannot be compared with these.
        people: who is enrolled; None: nobody. May be set between two frames; people whom another network has seen
            count as nobody.
    """

    def __init__(
        self, card: ModelCard, *, interactive: bool = True, cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        """Load (and where needed convert) both networks and run each once, so that the first frame is not a slow one.

        Args:
            interactive: leave a core to the window.
            cancelled: asked while a conversion runs whether it is still wanted.

        Raises:
            EngineError: the weights of either are missing, damaged or belong to another network, or what should find
                the faces finds none; `Cancelled`.
        """
        finder = zoo.model_card(card.finder) if card.finder else None
        if finder is None or finder.task != "detection" or finder.landmarks != 5 or FACE not in finder.classes:
            raise EngineError(
                f"“{card.title}” needs a detector that finds faces with five landmarks"
                + (f", and “{card.finder}” is none." if card.finder else "."),
                "Its card names that detector as “finder”.",
            )
        self.detector = Detector(finder, interactive=interactive, cancelled=cancelled)
        self.network = zoo.open_network(card, interactive=interactive, cancelled=cancelled)
        self.card = dataclasses.replace(card, layers=self.network.layers, parameters=self.network.parameters)
        self.model = f"{card.name}:{zoo.weights_digest(card)}"
        self.people: Recogniser | None = None
        self._names = {layer.name: layer for layer in self.network.layers}
        self._face = finder.classes.index(FACE)
        self._looks_closer = finder.architecture == "face-detector"  # the well-known ones need it not
        self._dimension = 0
        for count in range(1, _LOOKS + 1):  # the sizes of batch that the live flow has
            self._dimension = self._embedded([self._blank()] * count).shape[1]

    def predict(self, frame: Frame, *, layer: str | None = None, region: int = 0, generation: int = 0) -> Result:
        """Find the faces in one frame and say who they are: all of them, the surest first.

        A picture by itself, one without a clock, is searched closely.

        Args:
            layer: look into this layer of the embedder as well (unknown to this network: no activations).
            region: of which of the faces.
            generation: entered in the result.
        """
        begun = clocks.perf_counter()
        found = self.find_closely(frame.image) if frame.clock is None else self.find(frame.image)
        finding = clocks.perf_counter() - begun  # for the most part in the detector's network
        upright = self.upright(frame.image, found)
        ready = clocks.perf_counter()
        looked = [row for row in range(len(found)) if _side(found, row) >= LEAST_SIDE]
        embeddings = dict(zip(looked, self._embedded([upright[row] for row in looked]), strict=True))
        activations = self._look_inside(upright, layer, region)
        answered = clocks.perf_counter()
        known = self.enrolled()
        matches = [NOBODY] * len(found)
        if known is not None and looked:
            for row, match in zip(looked, known.match(np.stack([embeddings[row] for row in looked])), strict=True):
                matches[row] = match
        qualities = [self.quality(found, row, upright[row]) for row in range(len(found))]
        faces = _faces(
            frame.image, found, upright, qualities, [embeddings.get(row) for row in range(len(found))], matches
        )
        timings = _timings(frame, begun, finding, ready, answered)
        return self._result(frame, found, faces, activations, timings, generation)

    def find(self, image: Image, *, floor: float | None = None) -> Detections:
        """The faces in a picture (H, W, 3) with their five landmarks, the surest first.

        Args:
            floor: least probability; None: what suits the detector.
        """
        found = self.detector.detect(image, floor=self.detector.card.min_score if floor is None else floor)
        mine = found[found.class_id == self._face]
        return Detections(mine.xyxy, mine.confidence, np.zeros(len(mine), np.int64), (FACE,), landmarks=mine.landmarks)

    def find_closely(self, image: Image) -> Detections:
        """As `find`, in a picture that may be looked at for longer: a photograph, or a face cut out of one.

        In a large picture faces are small: its parts are searched as well, which overlap, so that no face is cut in
        two. Every part is one more chance for a mistake, so what is found there must be halfway surer. A face that
        fills the picture is larger than any that the detector has learnt, which then takes an eye for a face: large
        ones are searched for once more with a border around the picture, and what lies in them is a part of them. Each
        face is looked at closer then, also one of which the detector was hardly sure: how sure it is now decides.
        """
        least = _BARELY if self._looks_closer else self.detector.card.min_score
        framed = self._framed(image, least)
        filling = (framed.xyxy[:, 2:] - framed.xyxy[:, :2]).max(axis=1, initial=0) >= _FILLS * max(image.shape[:2])
        large = self._surely(image, framed[filling])
        found = self._in_parts(image, least)
        found = _together([large, self._surely(image, found[~_within(found, large)])])
        return found[np.argsort(-found.confidence, kind="stable")]

    def _surely(self, image: Image, found: Detections) -> Detections:
        """Those that are faces at a closer look, too, each once: what was only beside one is that one, seen closer."""
        if not self._looks_closer:
            return found
        found = self.look_closer(image, found)
        found = found[found.confidence >= _SURE]
        assert found.landmarks is not None
        kept: list[int] = []
        for row, places in enumerate(found.landmarks):
            away = np.linalg.norm(found.landmarks[kept] - places, axis=2).mean(axis=1)
            if not (away < _ONE * np.array([_side(found, each) for each in kept])).any():
                kept.append(row)
        return found[kept]

    def _in_parts(self, image: Image, least: float) -> Detections:
        """What is found in all of a picture and, if it is large, in its parts."""
        found = self.find(image, floor=least)
        height, width = image.shape[:2]
        parts: list[Detections] = []
        side = max(height, width)
        while side > _LARGE * self.detector.card.preprocess.size:
            side //= 2
            for left, top in _corners(width, height, side):
                mine = self.find(image[top : top + side, left : left + side], floor=(1 + least) / 2)
                small = (mine.xyxy[:, 2:] - mine.xyxy[:, :2]).max(axis=1, initial=0) <= _OVERLAP * side
                mine = _moved(mine[small], left, top)
                parts.append(mine[~_within(mine, found)])  # seen closely, an ear or a fist may look like a face
        return surest(_together([found, *parts])) if parts else found

    def find_in_crop(self, image: Image) -> Detections:
        """As `find`, in a picture that was cut out around one face: that is expected to fill it."""
        found = self._framed(image, None)
        return found if len(found) else self.find(image)

    def embed(self, image: Image, landmarks: Floats) -> Floats:
        """Embeddings (N, D) of length 1 of faces in a picture (H, W, 3), by their landmarks (N, 5, 2)."""
        return self._embedded([self._turned(image, self._closer(image, places[None])[0][0]) for places in landmarks])

    def look_closer(self, image: Image, found: Detections) -> Detections:
        """The same faces as the detector sees each of them once more, as large as suits it: the surest first.

        Their boxes and landmarks are the mean of several looks, and how sure it is that they are faces is that of all
        looks.
        """
        if found.landmarks is None or not len(found) or not self._looks_closer:
            return found
        together = 1 if len(found) <= _FEW else 4  # in a crowd fewer looks at each have to do
        looks = [
            self._closer(image, found.landmarks[start : start + together]) for start in range(0, len(found), together)
        ]
        landmarks, boxes, scores = (np.concatenate(parts) for parts in zip(*looks, strict=True))
        height, width = image.shape[:2]
        boxes = boxes.clip(0, np.array([width, height, width, height], np.float32))
        seen = np.all(boxes[:, 2:] > boxes[:, :2], axis=1, keepdims=True)  # nor is anything that is not a number
        sure = ((found.confidence + 2 * scores) / 3).astype(np.float32)
        closer = dataclasses.replace(
            found, xyxy=np.where(seen, boxes, found.xyxy), landmarks=landmarks, confidence=sure
        )
        return closer[np.argsort(-sure, kind="stable")]

    def embed_upright(self, faces: Sequence[Image]) -> Floats:
        """Embeddings (N, D) of length 1 of faces (S, S, 3) that are upright already, S the side of the card."""
        return self._embedded(list(faces))

    @property
    def dimension(self) -> int:
        """How many numbers an embedding has."""
        return self._dimension

    def upright(self, image: Image, found: Detections) -> list[Image]:
        """The faces found in a picture as the embedder sees them: (S, S, 3) each, S the side of the card."""
        return [self._turned(image, places) for places in _places(found)]

    def _closer(self, image: Image, landmarks: Floats) -> tuple[Floats, Floats, Floats]:
        """At most four faces of a picture, by their landmarks (N, 5, 2), looked for again in one run of the detector.

        Each face is turned upright by those that are known and put into a square, several times in different sizes and
        mirrored; the mean of what is found there is taken.

        Returns:
            The landmarks, the boxes (N, 4), and the mean of the probabilities (N,) that these are faces, 0 for a look
            that finds none. Where none finds any the landmarks stay and the box is not a number.
        """
        unknown = np.full((len(landmarks), 4), np.nan, np.float32)
        if not self._looks_closer:
            return landmarks, unknown, np.ones(len(landmarks), np.float32)
        size = self.detector.card.preprocess.size
        tile, looks = size // _GRID, _GLANCES[: len(_GLANCES) // len(landmarks)]
        square = np.full((size, size, 3), 114, np.uint8)
        places = [
            (*divmod(number, _GRID), row, look)
            for number, (row, look) in enumerate((row, look) for row in range(len(landmarks)) for look in looks)
        ]
        for down, across, row, (share, mirrored) in places:
            seen = images.align_face(image, landmarks[row], tile, around=_SIDE / share)
            inside = square[down * tile : (down + 1) * tile, across * tile : (across + 1) * tile]
            inside[:] = seen[:, ::-1] if mirrored else seen
        found = self.find(square, floor=_BARELY)
        assert found.landmarks is not None
        middles, extents = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2, found.xyxy[:, 2:] - found.xyxy[:, :2]
        sides = extents.max(axis=1)
        again: list[list[Floats]] = [[] for _ in landmarks]
        sure = np.zeros(len(landmarks), np.float32)
        for down, across, row, (share, mirrored) in places:
            corner = np.array([across * tile, down * tile], np.float32)
            away = np.linalg.norm(middles - corner - tile / 2, axis=1) / (share * tile)
            fits = found.confidence - away - np.abs(np.log(np.maximum(sides, 1) / (share * tile)))
            if not len(fits) or away[best := int(fits.argmax())] > 0.6:
                continue
            points, middle = found.landmarks[best] - corner, middles[best] - corner
            if mirrored:
                points = images.mirrored_landmarks(points, tile)
                middle = np.array([tile - middle[0], middle[1]])
            sure[row] += found.confidence[best] / len(looks)
            edges = middle + np.diag(extents[best] / 2)  # halfway up at its right, and halfway along its lower one
            back = images.from_upright(landmarks[row], tile, around=_SIDE / share)
            again[row].append(back(np.concatenate([points, middle[None], edges])))
        closer, boxes = landmarks.astype(np.float32), unknown
        for row, each in enumerate(again):
            if each:
                mean = np.mean(each, axis=0)
                closer[row], middle = mean[:5], mean[5]
                half = np.linalg.norm(mean[6:] - middle, axis=1)  # a box stands straight, also where the face does not
                boxes[row] = [*(middle - half), *(middle + half)]
        return closer, boxes, sure

    def _turned(self, image: Image, landmarks: NDArray[np.floating]) -> Image:
        kind = self.card.preprocess
        return images.align_face(image, landmarks, kind.size, around=kind.around)

    def quality(self, found: Detections, row: int, upright: Image) -> FaceQuality:
        """How well one of some faces can be recognised, by its box, its landmarks, and what the network sees of it."""
        assert found.landmarks is not None
        kind = self.card.preprocess
        yaw, pitch = _pose(found.landmarks[row])
        plane = images.to_grey(upright)
        plane = cv2.resize(plane, (64, 64), interpolation=cv2.INTER_AREA if len(plane) > 64 else cv2.INTER_LINEAR)
        inner = plane[8:60, 10:54].astype(np.float32)  # the face without what is beside it
        level, contrast = float(inner.mean()), float(inner.std())
        edges = float(cv2.Laplacian(inner, cv2.CV_32F).var()) / (contrast**2 + 25)
        return FaceQuality(
            size=_ramp(_side(found, row), 0, _SIDE * kind.size / kind.around),
            light=min(_ramp(level, 20, 50), _ramp(level, 235, 205), _ramp(contrast, 8, 20)),
            # Measured on faces of LFW: 0.3 as they are, 0.12 and 0.04 blurred by 1 and 2 pixels of 112.
            sharpness=_ramp(float(np.log(max(edges, 1e-6))), float(np.log(0.015)), float(np.log(0.12))),
            frontal=_ramp(max(abs(yaw), abs(pitch)), 0.9, 0.25),
            yaw=yaw,
            pitch=pitch,
        )

    def enrolled(self) -> Recogniser | None:
        """The people whom this very network has seen."""
        people = self.people
        if people is None or not len(people) or people.dimension != self._dimension:
            return None
        return people if people.model in ("", self.model) else None

    # ----------------------------------------------------------------------------------------------- inside

    def _blank(self) -> Image:
        return np.full((self.card.preprocess.size, self.card.preprocess.size, 3), 128, np.uint8)

    def _framed(self, image: Image, floor: float | None) -> Detections:
        """The faces in a picture with a border around it as wide as itself."""
        height, width = image.shape[:2]
        border = max(height, width)
        framed = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE)
        found = _moved(self.find(framed, floor=floor), -border, -border)
        inside = found.xyxy.clip(0, np.array([width, height, width, height], np.float32))
        found = dataclasses.replace(found, xyxy=inside)
        return found[(inside[:, 2:] > inside[:, :2]).all(axis=1)]

    def _batch(self, faces: Sequence[Image]) -> Image:
        if self.card.preprocess.channels == 1:
            return np.stack([images.to_grey(face) for face in faces])[..., None]
        return np.stack(faces)

    def _embedded(self, faces: Sequence[Image]) -> Floats:
        """Each face and its mirror image put into numbers together, and the mean of both brought to length 1."""
        parts: list[Floats] = []
        for start in range(0, len(faces), _AT_ONCE):
            batch = self._batch(faces[start : start + _AT_ONCE])
            values = self.network.run(np.concatenate([batch, batch[:, :, ::-1]]))[0].reshape(2 * len(batch), -1)
            both = values[: len(batch)] + values[len(batch) :]
            parts.append(both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-12))
        return np.concatenate(parts) if parts else np.zeros((0, self._dimension), np.float32)

    def _look_inside(self, upright: Sequence[Image], layer: str | None, region: int) -> Activations | None:
        if layer not in self._names or not upright:
            return None
        region = min(region, len(upright) - 1)
        maps = self.network.run(self._batch([upright[region]]), layer)[1]
        assert maps is not None
        return Activations(layer, maps.reshape(self._names[layer].shape), region)

    def _result(
        self,
        frame: Frame,
        found: Detections,
        faces: tuple[FaceMatch, ...],
        activations: Activations | None,
        timings: Timings,
        generation: int,
    ) -> Result:
        return Result(
            frame=frame,
            model=self.card.name,
            generation=generation,
            detections=found,
            faces=faces,
            activations=activations,
            timings=timings,
        )


class FaceFollower:
    """The faces of a moving picture: followed from frame to frame, looked at when there is something new to see.

    However many faces there are, no more than two are looked at in one frame (and the one whose feature maps are
    watched), those first that nobody has looked at yet; what was seen of a face before goes on counting.
    """

    def __init__(self, reader: FaceReader) -> None:
        self._reader = reader
        self._follower = Follower(sure=reader.detector.card.min_score)
        self._voter = Voter()
        self._stretch = 0
        self._last: Frame | None = None

    @property
    def detector(self) -> Detector:
        """What finds the faces."""
        return self._reader.detector

    @property
    def people(self) -> Recogniser | None:
        """As `FaceReader.people`."""
        return self._reader.people

    @people.setter
    def people(self, people: Recogniser | None) -> None:
        self._reader.people = people

    def predict(self, frame: Frame, *, layer: str | None = None, region: int = 0, generation: int = 0) -> Result:
        """As `FaceReader.predict`, with the numbers of the faces in a moving picture, and names that do not flicker.

        The embedding of a face is that of the last look at it, half a second ago at most; None: it is still to come.
        """
        if frame.clock is None:
            return self._reader.predict(frame, layer=layer, region=region, generation=generation)
        reader = self._reader
        begun = clocks.perf_counter()
        every = reader.find(frame.image, floor=_UNSURE)
        finding = clocks.perf_counter() - begun
        found = self._follower.number(frame, every)
        assert found.track_id is not None
        found = found[(found.track_id >= 0) | (found.confidence >= reader.detector.card.min_score)]
        assert found.track_id is not None
        again = frame is self._last  # another layer is watched, say: nobody votes twice
        if self._follower.stretch != self._stretch:
            self._voter, self._stretch = Voter(), self._follower.stretch
        upright = reader.upright(frame.image, found)
        qualities = [reader.quality(found, row, upright[row]) for row in range(len(found))]
        ready = clocks.perf_counter()
        tracks = found.track_id.tolist()
        rows = [] if again else self._neediest(found, tracks, qualities, frame.clock)
        if rows:
            assert found.landmarks is not None
            closer, *_ = reader._closer(frame.image, found.landmarks[rows])
            for row, places in zip(rows, closer, strict=True):
                upright[row] = reader._turned(frame.image, places)
        looked = dict(zip(rows, reader._embedded([upright[row] for row in rows]), strict=True))
        activations = reader._look_inside(upright, layer, region)
        answered = clocks.perf_counter()
        looks = [(looked[row], qualities[row]) if row in looked else None for row in range(len(found))]
        matches = self._voter.vote(reader.enrolled(), tracks, looks, time=frame.clock)
        embeddings = [
            looked[row] if row in looked else self._voter.embedding(track) for row, track in enumerate(tracks)
        ]
        faces = _faces(frame.image, found, upright, qualities, embeddings, matches)
        self._last = frame
        timings = _timings(frame, begun, finding, ready, answered)
        return reader._result(frame, found, faces, activations, timings, generation)

    def _neediest(
        self, found: Detections, tracks: Sequence[int], qualities: Sequence[FaceQuality], time: float
    ) -> list[int]:
        needs = [
            (self._voter.need(track, qualities[row], time=time), row)
            for row, track in enumerate(tracks)
            if _side(found, row) >= LEAST_SIDE
        ]
        return [row for need, row in sorted(needs, key=lambda each: -each[0])[:_LOOKS] if need > 0]


def _timings(frame: Frame, begun: float, finding: float, ready: float, answered: float) -> Timings:
    """What a frame took until now; both networks, that which finds and that which tells apart, count as network."""
    network = finding + answered - ready
    return Timings(
        max(0.0, begun - frame.time), ready - begun - finding, network, max(0.0, clocks.perf_counter() - answered)
    )


def _faces(
    image: Image,
    found: Detections,
    upright: Sequence[Image],
    qualities: Sequence[FaceQuality],
    embeddings: Sequence[Floats | None],
    matches: Sequence[Match],
) -> tuple[FaceMatch, ...]:
    faces: list[FaceMatch] = []
    for row, (places, match) in enumerate(zip(_places(found), matches, strict=True)):
        x0, y0, x1, y1 = (float(value) for value in found.xyxy[row])
        crop, placed = images.crop_square(image, (x0, y0, x1, y1), around=_AROUND, most=_CROP)
        faces.append(
            FaceMatch(
                box=(x0, y0, x1, y1),
                score=float(found.confidence[row]),
                landmarks=places,
                name=match.name,
                similarity=match.similarity,
                probability=match.probability,
                person=match.person,
                quality=qualities[row],
                embedding=embeddings[row],
                crop=crop,
                crop_landmarks=placed(places),
                network_input=upright[row],
            )
        )
    return tuple(faces)


def _places(found: Detections) -> Floats:
    assert found.landmarks is not None
    return found.landmarks


def _corners(width: int, height: int, side: int) -> list[tuple[int, int]]:
    """Upper left corners of squares that overlap by `_OVERLAP` of their side and cover the picture."""
    places = []
    for length in (width, height):
        count = 1 if length <= side else 1 + math.ceil((length - side) / ((1 - _OVERLAP) * side))
        places.append(
            [round(number * (length - side) / max(1, count - 1)) if count > 1 else 0 for number in range(count)]
        )
    return [(left, top) for top in places[1] for left in places[0]]


def _within(some: Detections, others: Detections) -> NDArray[np.bool_]:
    """Which boxes lie for the most part in one of the others."""
    one, other = some.xyxy[:, None], others.xyxy[None]
    shared = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    area = (some.xyxy[:, 2:] - some.xyxy[:, :2]).prod(axis=1)
    inside: NDArray[np.bool_] = (shared.clip(0).prod(axis=2) > 0.5 * area[:, None]).any(axis=1)
    return inside


def _moved(found: Detections, right: int, down: int) -> Detections:
    by = np.array([right, down], np.float32)
    return dataclasses.replace(found, xyxy=found.xyxy + np.tile(by, 2), landmarks=_places(found) + by)


def _together(some: Sequence[Detections]) -> Detections:
    return Detections(
        np.concatenate([each.xyxy for each in some]),
        np.concatenate([each.confidence for each in some]),
        np.concatenate([each.class_id for each in some]),
        some[0].labels,
        landmarks=np.concatenate([_places(each) for each in some]),
    )


def _side(found: Detections, row: int) -> float:
    """The longer side of a box in pixels."""
    x0, y0, x1, y1 = found.xyxy[row]
    return float(max(x1 - x0, y1 - y0))


def _pose(landmarks: Floats) -> tuple[float, float]:
    """How far a face is turned (-1 to the picture's left, 1 to its right) and nods (-1 up, 1 down), by its nose.

    In a face that was turned upright, the nose lies off the middle by about the sine of the turn, in halves of the
    distance between the eyes of a frontal face.
    """
    eye, other, nose, corner, end = images.upright_places(landmarks)
    eyes, mouth = (eye + other) / 2, (corner + end) / 2
    yaw = float(nose[0] - (eyes[0] + mouth[0]) / 2) / 17.6
    high = float(mouth[1] - eyes[1])
    pitch = (float(nose[1] - eyes[1]) / high - _NOSE) / 0.25 if high > 1 else 1.0
    return min(max(yaw, -1.0), 1.0), min(max(pitch, -1.0), 1.0)


def _ramp(value: float, nothing: float, full: float) -> float:
    """0 at `nothing`, 1 at `full`, straight in between, whichever is larger."""
    return min(max((value - nothing) / (full - nothing), 0.0), 1.0)
