"""A bundled network's multiplications in 8 bits (needs ``pip install -e '.[packaging]'``).

NNCF, which OpenVINO's makers keep, looks at what the layers give for some pictures, chooses ranges for their bytes from
that, and corrects the biases for what rounding moves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from shipped import MODELS

from engine import images, runtime, zoo
from engine.types import Image, ModelCard


def quantise(card: ModelCard, pictures: Iterable[Image]) -> ModelCard:
    """Write the quantised form of a detector beside its weights; returns the card that names it.

    Args:
        pictures: some hundred of those that the network has learnt from.
    """
    openvino, digest = runtime.import_openvino(), zoo.weights_digest(card)
    converted = runtime.convert(card, digest=digest, build=lambda: zoo.network(card))
    kind = card.preprocess
    mean, deviation = (np.array(each, np.float32)[:, None, None] for each in (kind.mean, kind.std))

    def entering(picture: Image) -> np.ndarray:
        square = images.letterbox(picture, kind.size)[0].transpose(2, 0, 1).astype(np.float32) / 255
        return ((square - mean) / deviation)[None]

    import nncf

    inputs = [entering(picture) for picture in pictures]
    model = nncf.quantize(
        openvino.Core().read_model(converted / "model.xml"),
        nncf.Dataset(inputs),
        subset_size=len(inputs),
        preset=nncf.QuantizationPreset.MIXED,
        target_device=nncf.TargetDevice.CPU,
    )
    model.set_rt_info(digest, list(runtime.WEIGHTS_OF))
    file = MODELS / f"{card.name}-int8.xml"
    openvino.save_model(model, file)
    for path in (file, file.with_suffix(".bin")):
        path.chmod(0o644)
    return dataclasses.replace(card, quantised=file)


def check(network: runtime.Network) -> None:
    """End the program where what is about to be measured as being in 8 bits is not."""
    if not network.device.title.endswith("int8"):
        raise SystemExit(f"It runs on {network.device.title}: measure it on a processor with VNNI, without a GPU.")
