"""The vision tasks, one file each; `open_reader` knows which one belongs to a card.

Nothing heavy is imported before a network is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from engine.types import Frame, ModelCard, Result

if TYPE_CHECKING:
    from engine.runtime import Network


class Reader(Protocol):
    """A network that reads frames, whatever its task. Use it from one thread at a time.

    Attributes:
        card: with its layers filled.
        network: what runs it; knows its device.
    """

    card: ModelCard
    network: Network

    def predict(self, frame: Frame, *, layer: str | None = None, region: int = 0, generation: int = 0) -> Result:
        """Read one frame.

        Args:
            layer: look into this layer as well (unknown to this network: no activations).
            region: of which of the regions, where the task has several.
            generation: entered in the result.
        """
        ...


def open_reader(card: ModelCard, *, interactive: bool = True, cancelled: Callable[[], bool] = lambda: False) -> Reader:
    """The network of `card`, loaded, converted where needed, and run once, with what its task does around it.

    Args:
        interactive: leave a core to the window.
        cancelled: asked while a conversion runs whether it is still wanted.

    Raises:
        EngineError: the weights are missing, damaged or belong to another network, or the detector that a network for
            faces needs is not there; `Cancelled`.
    """
    if card.task == "classification":
        from engine.vision.classify import Classifier

        return Classifier(card, interactive=interactive, cancelled=cancelled)
    if card.task == "detection":
        from engine.vision.detect import Detector

        return Detector(card, interactive=interactive, cancelled=cancelled)
    from engine.vision.faces import FaceReader

    return FaceReader(card, interactive=interactive, cancelled=cancelled)
