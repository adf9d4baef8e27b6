"""The coach of an enrolment: says what to do in front of the camera, and decides which faces are worth keeping.

It knows neither the window nor a network: what is in sight enters frame by frame with its time, an `Advice` leaves.
A face is taken when it is good enough and differs from those that have been taken already: another pose, another
distance, or simply a while later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from engine import FaceMatch, FaceQuality

FEWEST, MOST = 5, 8  # shots of a person
SECONDS = 10.0  # after which the fewest are enough
PAUSE = 0.5  # seconds between two shots: what comes at once shows nothing new
LONG = 1.6  # seconds after which a face is taken although it shows nothing new
GOOD = 0.35  # quality from which a face is worth keeping
POOR = 0.2  # what one side of the quality may be at worst; below it there is a hint
_TURNED = 0.2  # difference in yaw or pitch that makes another pose
_NEARER = 1.35  # ratio of sizes that makes another distance
_MAIN = 2.0  # a face this much larger (in area) than the others is the one in front of the camera


@dataclass(frozen=True)
class Advice:
    """What the coach says to one frame.

    Attributes:
        hint: what to do, in a few words.
        fine: nothing is wrong; the hint only asks for variety.
        take: index of the face to keep among those that were shown; -1: none.
        done: enough have been taken.
    """

    hint: str
    fine: bool = False
    take: int = -1
    done: bool = False


@dataclass
class Coach:
    """Looks at the faces of every frame in turn.

    Attributes:
        taken: how many shots there are; fewer once some are put away again.
    """

    taken: int = 0
    _begun: float | None = None
    _last: float = -1e9
    _poses: list[tuple[float, float, float]] = field(default_factory=list)  # yaw, pitch, side of the box

    def look(self, faces: Sequence[FaceMatch], time: float) -> Advice:
        """One frame.

        Args:
            faces: everyone in sight.
            time: of the frame, in seconds on any clock.
        """
        if self._begun is None or time < self._last - 5:
            self._begun, self._last = time, time - LONG
        if not faces:
            return Advice("Nobody is in sight. Come into the picture.")
        areas = [max(0.0, (f.box[2] - f.box[0]) * (f.box[3] - f.box[1])) for f in faces]
        main = int(np.argmax(areas))
        if len(faces) > 1 and max(area for i, area in enumerate(areas) if i != main) * _MAIN > areas[main]:
            return Advice("There are two faces or more. Only the one that is added may be in sight.")
        face = faces[main]
        if face.quality is None:
            return Advice("Hold still.")
        wrong = complaint(face.quality, face.network_input)
        if wrong:
            return Advice(wrong)
        if self.taken >= MOST:
            return Advice("That is enough.", fine=True, done=True)
        pose = (face.quality.yaw, face.quality.pitch, face.box[3] - face.box[1])
        passed = time - self._last
        take = face.quality.overall >= GOOD and (
            not self._poses or passed >= LONG or (passed >= PAUSE and all(_differ(pose, each) for each in self._poses))
        )
        if not take:
            return Advice(self._wish(), fine=True, done=self._enough(time))
        self._poses.append(pose)
        self._last = time
        self.taken += 1
        return Advice(self._wish(), fine=True, take=main, done=self._enough(time))

    def _enough(self, time: float) -> bool:
        begun = self._begun if self._begun is not None else time
        return self.taken >= MOST or (self.taken >= FEWEST and time - begun >= SECONDS)

    def _wish(self) -> str:
        """What has not been seen yet."""
        if not self._poses:
            return "Look at the camera."
        yaws, pitches = [pose[0] for pose in self._poses], [pose[1] for pose in self._poses]
        if max(yaws) - min(yaws) < _TURNED:
            return "Good. Turn your head a little to one side."
        if max(abs(max(yaws)), abs(min(yaws))) > 0 and (max(yaws) < 0.1 or min(yaws) > -0.1):
            return "Good. Now a little to the other side."
        if max(pitches) - min(pitches) < _TURNED:
            return "Good. Raise or lower your chin a little."
        return "Good. Smile, or come a little closer."


def complaint(quality: FaceQuality, picture: NDArray[np.uint8] | None = None) -> str:
    """What is wrong with a face, as a request; "": nothing.

    Args:
        picture: what the network saw of it, which tells dark from burnt out.
    """
    if quality.size < POOR:
        return "Too small. Come closer."
    if quality.light < POOR:
        bright = picture is not None and float(picture.mean()) > 140
        return "Too bright. Turn away from the light." if bright else "Too dark. Turn towards a light."
    if quality.sharpness < POOR:
        return "Blurred. Hold still."
    if quality.frontal < POOR:
        return "Turned too far. Look towards the camera."
    return ""


def quality_words(quality: FaceQuality | None) -> str:
    """How good a face is, in a word or two; what is worst about it where it is poor."""
    if quality is None:
        return ""
    if quality.overall >= 0.6:
        return "good"
    if quality.overall >= GOOD:
        return "fair"
    sides = {"small": quality.size, "badly lit": quality.light, "blurred": quality.sharpness, "turned": quality.frontal}
    return min(sides, key=lambda side: sides[side])


def misfits(embeddings: Sequence[NDArray[np.float32] | None], threshold: float) -> list[bool]:
    """Which shots do not look like the others of the same person: less alike, in the middle, than `threshold`.

    Of one or two nobody can say which is wrong.
    """
    known = [vector for vector in embeddings if vector is not None]
    if len(known) < 3:
        return [False] * len(embeddings)
    alike = np.stack(known) @ np.stack(known).T
    np.fill_diagonal(alike, np.nan)
    middle = iter(np.nanmedian(alike, axis=1))
    return [vector is not None and float(next(middle)) < threshold for vector in embeddings]


def _differ(one: tuple[float, float, float], other: tuple[float, float, float]) -> bool:
    low, high = sorted((max(one[2], 1.0), max(other[2], 1.0)))
    return abs(one[0] - other[0]) >= _TURNED or abs(one[1] - other[1]) >= _TURNED or high / low >= _NEARER
