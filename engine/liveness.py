"""Is somebody really there? A head moved on request, and a look for the pattern of a screen.

Frames of one face go in, a state comes out: what is asked for next, passed, or failed and why. It is pure geometry and
one Fourier transform; no network judges.

The request works because a nose lies in front of the eyes. When a head turns or nods, the nose moves against eyes and
mouth; when a picture of a head is tilted or waved about, everything on it moves together, and the turn that is read
from the landmarks (`FaceQuality.yaw`, `.pitch`) hardly changes.

What this cannot stop: a video or a computed face that does what is asked at the right moment, a mask or a printed face
that has been given a nose, a twin, and whoever controls the camera's picture. A recording of somebody who looks about
fits two requests by chance about once in twelve attempts, and three are given. A screen shows its pattern only where
the camera sees it sharply: one that is small, far away or out of focus shows none. It is an example of how such a check
is made, not a lock. There is no test for blinking: in a face of 100 pixels an eye is some 20 wide and 8 high, and
glasses, shadows or looking down change it as much as closing it does.
"""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from engine.opencv import cv2
from engine.types import Box, FaceMatch, Image

Move: TypeAlias = Literal["left", "right", "up", "down"]
"""Where the nose shall go in the picture as the camera gives it; whoever shows it mirrored mirrors this, too."""

_MOVES: dict[Move, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_WORDS: dict[Move, str] = {
    "left": "Turn your head to the left edge of the picture.",
    "right": "Turn your head to the right edge of the picture.",
    "up": "Lift your chin.",
    "down": "Lower your chin.",
}

# How far a head must go in yaw and in pitch: about 20 degrees of turning and 14 of nodding. Photographs of 130 faces,
# three of their widths away and tilted by up to 50 degrees both ways, change yaw by at most 0.22 and pitch by 0.43.
_FAR = (0.4, 0.55)
_BACK = 0.15  # as near as this to where it began is back again
_WRONG = 0.05  # as much farther than that in another direction is another move
_BETWEEN = 1  # frames on the way there; a picture that is swapped for another has none
_TWICE = 2  # frames in which a place must be seen: one may be a mistake of the detector
_STILL = 0.5  # seconds of looking straight ahead before anything is asked
_REACTION = 0.2  # seconds in which nobody can have heard and moved
_GONE = 1.0  # seconds without the face after which it is somebody else
_ATTEMPTS = 3
_SMALLEST = 0.3  # quality of size from which landmarks are exact enough


@dataclass(frozen=True)
class LivenessState:
    """How the check is getting on.

    Attributes:
        phase: "still": look into the camera; "move": do `move`; "back": look into the camera again; "passed"; "failed".
        said: what to do, or why it failed, for people.
        move: that is asked for.
        progress: 0 to 1, of the whole check.
        pattern: how much the face looks like one on a screen, 0 to 1 (`screen_pattern`); None: it cannot be said.
    """

    phase: Literal["still", "move", "back", "passed", "failed"]
    said: str
    move: Move | None = None
    progress: float = 0.0
    pattern: float | None = None

    @property
    def over(self) -> bool:
        return self.phase in ("passed", "failed")


class Liveness:
    """One check of one face. Frame by frame it is told what is seen; when it is over, it stays so."""

    def __init__(
        self,
        *,
        moves: int = 2,
        patience: float = 8.0,
        alike: float | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """
        Args:
            moves: how many are asked for, one after the other; no two alike that follow each other.
            patience: seconds for each of them.
            alike: similarity of two embeddings from which they are the same person (a card's threshold): who looks
                into the camera after a move must be the one of before; None: that is not compared.
            chance: chooses the moves (default: the system's own, which nobody can foretell).
        """
        if moves < 1:
            raise ValueError("at least one move is asked for")
        self._count = moves
        self._patience = patience
        self._alike = alike
        self._chance = chance if chance is not None else random.SystemRandom()
        self._attempts = 0
        self._patterns: list[float] = []
        self._over: LivenessState | None = None
        # What follows is of one attempt, see `_begin`.
        self._phase: Literal["still", "move", "back"] = "still"
        self._said = ""
        self._moves: list[Move] = []
        self._done = 0  # moves
        self._seen: float | None = None  # when the face was seen last
        self._track = 0
        self._name: str | None = None
        self._poses: list[tuple[float, float, float]] = []  # time, yaw, pitch, of a face that looks straight ahead
        self._straight = (0.0, 0.0)  # the middle of them
        self._face: FaceMatch | None = None  # the last of them
        self._asked = 0.0  # when what is to be done now was said
        self._between = self._there = self._astray = 0  # frames
        self._begin("Look into the camera.")

    def see(self, face: FaceMatch | None, track: int = 0, *, time: float, image: Image | None = None) -> LivenessState:
        """Take in one frame.

        Args:
            face: the one that is checked, with its quality; None: it is not in this frame.
            track: its number (`Detections.track_id`): a face of another number is another face.
            time: of the frame, in seconds on any clock that goes on.
            image: (H, W, 3) the frame, to look for the pattern of a screen; None: that is not done.
        """
        if self._over is not None:
            return self._over
        if face is None or face.quality is None:
            if self._seen is not None and time - self._seen > _GONE:
                return self._again("Your face was not to be seen.")
            return self._state()
        if image is not None and (found := screen_pattern(image, face.box)) is not None:
            self._patterns.append(found)
        if self._seen is not None and (track != self._track or time - self._seen > _GONE or self._somebody_else(face)):
            self._again("Somebody else was in the picture.")
            if self._over is not None:
                return self._over
        self._track, self._seen, self._name = track, time, face.name or self._name
        if face.quality.size < _SMALLEST:
            self._said = "Come closer."
            return self._state()
        if self._phase == "still":
            return self._look(face, time)
        if time - self._asked > self._patience:
            return self._again("That took too long.")
        return self._follow(face, time)

    # ----------------------------------------------------------------------------------------------- inside

    def _begin(self, said: str) -> None:
        self._phase, self._said, self._done = "still", said, 0
        self._seen, self._name, self._face = None, None, None
        self._poses.clear()
        self._moves.clear()
        for _ in range(self._count):
            self._moves.append(self._chance.choice([move for move in _MOVES if move not in self._moves[-1:]]))

    def _again(self, why: str) -> LivenessState:
        self._attempts += 1
        if self._attempts >= _ATTEMPTS:
            return self._end("failed", why)
        self._begin(f"{why} Once more: look into the camera.")
        return self._state()

    def _end(self, phase: Literal["passed", "failed"], said: str) -> LivenessState:
        progress = 1.0 if phase == "passed" else self._progress()
        self._over = LivenessState(phase, said, None, progress, self._pattern())
        return self._over

    def _state(self) -> LivenessState:
        move = self._moves[self._done] if self._phase == "move" else None
        return LivenessState(self._phase, self._said, move, self._progress(), self._pattern())

    def _progress(self) -> float:
        steps = {"still": 0, "move": 1, "back": 2}[self._phase]
        return (2 * self._done + steps) / (2 * self._count + 2)

    def _pattern(self) -> float | None:
        return statistics.median(self._patterns) if len(self._patterns) >= 3 else None

    def _somebody_else(self, face: FaceMatch) -> bool:
        return self._name is not None and face.name is not None and face.name != self._name

    def _look(self, face: FaceMatch, time: float) -> LivenessState:
        """Wait until the head has been straight and still for a moment."""
        assert face.quality is not None
        self._poses.append((time, face.quality.yaw, face.quality.pitch))
        poses = np.array(self._poses)[:, 1:]
        if np.abs(poses[-1]).max() > 0.5 or np.ptp(poses, axis=0).max() > 0.25:
            self._poses.clear()
            return self._state()
        if len(self._poses) >= 3 and time - self._poses[0][0] >= _STILL:
            middle = np.median(poses, axis=0)
            self._straight = (float(middle[0]), float(middle[1]))
            self._face = face
            self._ask(time)
        return self._state()

    def _ask(self, time: float) -> None:
        self._phase, self._asked = "move", time
        self._said = _WORDS[self._moves[self._done]]
        self._between = self._there = self._astray = 0

    def _follow(self, face: FaceMatch, time: float) -> LivenessState:
        assert face.quality is not None
        turn = (face.quality.yaw - self._straight[0], face.quality.pitch - self._straight[1])
        across, down = _MOVES[self._moves[self._done]]
        towards = turn[0] * across + turn[1] * down
        far, away = (_FAR[0], _FAR[1]) if across else (_FAR[1], _FAR[0])
        aside = abs(turn[1] if across else turn[0])
        if self._phase == "back":
            self._there = self._there + 1 if max(abs(turn[0]), abs(turn[1])) <= _BACK else 0
            return self._came_back(face, time) if self._there >= _TWICE else self._state()
        self._astray = self._astray + 1 if aside >= away + _WRONG or -towards >= far + _WRONG else 0
        if self._astray >= _TWICE:
            return self._again("That was another move.")
        if towards < far:
            self._between += towards > _BACK
            self._there = 0
            return self._state()
        self._there += 1
        if self._there >= _TWICE:
            if self._between < _BETWEEN or time - self._asked < _REACTION:
                return self._again("That was too sudden.")
            self._phase, self._said = "back", "Look into the camera again."
            self._asked, self._there = time, 0
        return self._state()

    def _came_back(self, face: FaceMatch, time: float) -> LivenessState:
        assert self._face is not None
        before, now = self._face.embedding, face.embedding
        if self._alike is not None and (before is None or now is None or float(before @ now) < self._alike):
            return self._again("Somebody else was in the picture.")
        self._done += 1
        if self._done < self._count:
            self._ask(time)
            return self._state()
        self._done -= 1
        if (self._pattern() or 0.0) > 0.5:
            return self._end("failed", "The face has the pattern of a screen.")
        return self._end("passed", "Somebody is there.")


def screen_pattern(image: Image, box: Box) -> float | None:
    """How much a face looks like one that is shown on a screen, by its moiré: 0 not at all, 1 clearly.

    A screen's dots and a camera's meet in a regular pattern, so the spectrum of the face has a narrow peak far above
    what lies around it; skin and hair have none. Peaks on the axes are left out: blocks of a compressed picture and
    lines of a sensor make those. Striped cloth before a face gives a pattern as well. Above 0.5 it is taken for a
    screen: so were none of 968 photographs of faces, and most simulated screens in sharp focus.

    Args:
        image: (H, W, 3) the frame as the camera gave it: one that has been made smaller shows no pattern any more.
        box: of the face.

    Returns:
        None where it cannot be said: the face is smaller than 80 pixels or goes beyond the picture.
    """
    x0, y0, x1, y1 = box
    side = int(min(0.8 * min(x1 - x0, y1 - y0), 256)) // 2 * 2
    left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
    if side < 64 or left < 0 or top < 0 or left + side > image.shape[1] or top + side > image.shape[0]:
        return None
    plane = cv2.cvtColor(image[top : top + side, left : left + side], cv2.COLOR_RGB2GRAY).astype(np.float32)
    plane -= cv2.GaussianBlur(plane, (0, 0), 3)
    plane /= np.sqrt(cv2.GaussianBlur(plane * plane, (0, 0), 12)) + 2  # faint and strong texture count alike
    window = np.hanning(side)
    power = np.abs(np.fft.fftshift(np.fft.fft2(plane * window[:, None] * window))) ** 2
    peaks = cv2.GaussianBlur(power, (0, 0), 0.7)
    around = cv2.GaussianBlur(power, (0, 0), (max(7, 0.09 * side) // 2 * 2 + 1) / 2.5)
    places = np.fft.fftshift(np.fft.fftfreq(side))
    far = np.hypot(places, places[:, None])
    off = np.minimum(np.abs(places), np.abs(places)[:, None]) > 2.5 / side
    ratio = np.log(peaks + 1e-3) - np.log(around + 1e-3)
    strongest = float(ratio[(far > 0.1) & (far < 0.5) & off].max())
    # A larger face has more places to look at, and a peak in it stands out more: photographs stay below 1.4, 1.5 and
    # 1.8 for sides of 80, 96 and 160 pixels, screens reach 2.4 and 3.4 for the latter two.
    limit = 1.75 + 0.9 * float(np.log(side / 80))
    return min(max((strongest - limit) / 0.8 + 0.5, 0.0), 1.0)
