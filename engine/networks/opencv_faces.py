"""OpenCV's own networks for faces, run by OpenCV: YuNet, which finds them, and SFace, which tells them apart.

A card and its ONNX file enter; what leaves answers as every other network does (`engine.runtime.Network`), so that
nothing else need know who runs it. YuNet (Wu et al. 2023, “YuNet: A Tiny Millisecond-level Face Detector”) goes through
`cv2.FaceDetectorYN`, SFace (Zhong et al. 2021) through `cv2.FaceRecognizerSF`. Neither shows its layers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine import runtime
from engine.errors import EngineError
from engine.opencv import cv2
from engine.types import Floats, Image, Layer, ModelCard

YUNET = "opencv-yunet"
SFACE = "opencv-sface"
ARCHITECTURES = (YUNET, SFACE)
"""What the architecture of these is called on their cards."""

_FLOOR = 0.02  # least probability that is reported at all
_SAME = 0.3  # IoU from which two boxes are one face, as YuNet's own programs have it
_MOST = 5000  # candidates that are looked through for such


def open_network(card: ModelCard) -> runtime.Network:
    """The network of a card whose architecture is one of `ARCHITECTURES`, ready to run.

    Raises:
        EngineError: this OpenCV cannot read the file, or it holds another network.
    """
    assert card.weights is not None
    network = _YuNet(card.weights, card) if card.architecture == YUNET else _SFace(card.weights, card)
    size, channels = card.preprocess.size, card.preprocess.channels
    network.run(np.zeros((1, size, size, channels), np.uint8))
    return network


class _OpenCVNetwork:
    """What both have in common.

    Attributes:
        device, layers, parameters: as `engine.runtime.Network`.
    """

    def __init__(self, card: ModelCard) -> None:
        self.device = runtime.Device("opencv", "CPU · OpenCV", "OpenCV runs its own networks for faces itself")
        self.layers: tuple[Layer, ...] = ()
        self.parameters = card.parameters
        self._title = card.title

    def _unreadable(self, error: Exception) -> EngineError:
        return EngineError(
            f"OpenCV {cv2.__version__} cannot run the file of “{self._title}”.",
            "Load it again, or update OpenCV (the package opencv-python).",
        )

    @staticmethod
    def _pictures(batch: Floats | Image) -> Image:
        """(N, S, S, 3) in the order of colours that OpenCV has."""
        if batch.dtype != np.uint8:
            raise ValueError("these networks take pictures as they are")
        return np.ascontiguousarray(batch[..., ::-1])


class _YuNet(_OpenCVNetwork):
    """(N, S, S, 3) uint8 in; (N, A, 15) out: corners, the probability of a face, five landmarks, all in pixels."""

    def __init__(self, path: Path, card: ModelCard) -> None:
        super().__init__(card)
        side = (card.preprocess.size, card.preprocess.size)
        try:
            self._net = cv2.FaceDetectorYN.create(str(path), "", side, _FLOOR, _SAME, _MOST)
        except cv2.error as error:
            raise self._unreadable(error) from error

    def run(self, batch: Floats | Image, layer: str | None = None) -> tuple[Floats, Floats | None]:
        try:
            answers = [self._net.detect(picture)[1] for picture in self._pictures(batch)]
        except cv2.error as error:
            raise self._unreadable(error) from error
        most = max((0 if each is None else len(each) for each in answers), default=0)
        output = np.zeros((len(batch), most, 15), np.float32)  # of pictures with fewer faces the last ones are none
        for row, each in enumerate(answers):
            if each is not None:
                box, places, score = each[:, :4], each[:, 4:14], each[:, 14:]
                output[row, : len(each)] = np.concatenate([box[:, :2], box[:, :2] + box[:, 2:], score, places], axis=1)
        return output, None


class _SFace(_OpenCVNetwork):
    """(N, S, S, 3) uint8 faces that are upright in; (N, 128) out."""

    def __init__(self, path: Path, card: ModelCard) -> None:
        super().__init__(card)
        try:
            self._net = cv2.FaceRecognizerSF.create(str(path), "")
        except cv2.error as error:
            raise self._unreadable(error) from error

    def run(self, batch: Floats | Image, layer: str | None = None) -> tuple[Floats, Floats | None]:
        try:
            found = [np.array(self._net.feature(face), np.float32).reshape(-1) for face in self._pictures(batch)]
        except cv2.error as error:
            raise self._unreadable(error) from error
        return np.stack(found), None
