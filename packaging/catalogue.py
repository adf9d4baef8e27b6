"""Writes resources/catalogue.json: the well-known networks that are a click away, from torchvision's own metadata.

    python packaging/catalogue.py

Addresses, checksums, sizes, classes, published figures and normalisation are torchvision's; what it says in prose, and
the square that each detector sees here, are ours. The window reads the file without torch. A test holds the two to
agree, so run this again after an update of torchvision that changes its weights.

The networks for faces are OpenCV's, of its collection of models (github.com/opencv/opencv_zoo); checksums and sizes are
those that Git LFS has for the files there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CATALOGUE = Path(__file__).resolve().parents[1] / "resources" / "catalogue.json"

IMAGENET_LICENCE = (
    "torchvision, BSD 3-Clause. The weights were learned from ImageNet, whose pictures are for research that is not "
    "commercial; whether your use is permitted is yours to judge."
)
COCO_LICENCE = (
    "torchvision, BSD 3-Clause. The weights were learned from COCO, whose annotations are CC BY 4.0 and whose "
    "photographs are their owners'; whether your use is permitted is yours to judge."
)
CLASSIFIERS = {
    "efficientnet_b0": ("EfficientNet-B0", "Small and accurate: depth, width and picture size were grown together."),
    "inception_v3": ("Inception v3", "Looks with several sizes of kernel side by side; one can see them in its maps."),
    "mobilenet_v3_large": ("MobileNetV3", "Made for telephones, so the quickest of the well-known classifiers here."),
    "resnet50": ("ResNet-50", "The network that most others are compared with: 50 layers and shortcuts around them."),
    "vgg16": ("VGG-16", "Large and slow, but its sixteen plain layers are the easiest to look into."),
}
SQUARE = "The whole picture is fitted into a square of {size} pixels, the rest of it grey; "
# title, side of the square, least score shown, prose, further arguments of the builder
DETECTORS: dict[str, tuple[str, int, float, str, dict[str, Any]]] = {
    "ssdlite320_mobilenet_v3_large": (
        "SSDlite 320 · MobileNetV3",
        320,
        0.4,
        "The lightest of torchvision's detectors. "
        + SQUARE
        + "torchvision stretches it to the same square instead, and its published figure was measured so.",
        {},
    ),
    "fasterrcnn_mobilenet_v3_large_320_fpn": (
        "Faster R-CNN 320 · MobileNetV3",
        416,
        0.5,
        "Looks for places first, then at each of them. "
        + SQUARE
        + "torchvision makes the shorter side 320 pixels, which is nearly the same for most photographs.",
        {},
    ),
    "fasterrcnn_resnet50_fpn_v2": (
        "Faster R-CNN · ResNet-50 v2",
        640,
        0.5,
        "The most accurate of torchvision's detectors, and a slow one. "
        + SQUARE
        + "torchvision makes the shorter side 800 pixels and looks at 1000 places instead of 300, so it finds small "
        "things somewhat better than here, and takes several times as long.",
        {"proposals": 300},
    ),
    "retinanet_resnet50_fpn_v2": (
        "RetinaNet · ResNet-50 v2",
        640,
        0.4,
        "One stage with anchors: a box and its probabilities for every place and shape. "
        + SQUARE
        + "torchvision makes the shorter side 800 pixels, so it finds small things somewhat better than here, and "
        "takes longer.",
        {},
    ),
    "fcos_resnet50_fpn": (
        "FCOS · ResNet-50",
        640,
        0.4,
        "One stage without anchors: every place says how far the sides of its box are. "
        + SQUARE
        + "torchvision makes the shorter side 800 pixels, so it finds small things somewhat better than here, and "
        "takes longer.",
        {},
    ),
}

OPENCV_ZOO = (  # a fixed state of it, so that the files stay those of the checksums
    "https://media.githubusercontent.com/media/opencv/opencv_zoo/47534e27c9851bb1128ccc0102f1145e27f23f98/models"
)
FACES: list[dict[str, Any]] = [
    {
        "name": "yunet",
        "title": "YuNet · OpenCV",
        "task": "detection",
        "architecture": "opencv-yunet",
        "classes": "face",
        "preprocess": {
            "kind": "letterbox",
            "size": 640,
            "channels": 3,
            "mean": [0.0, 0.0, 0.0],
            "std": [1.0, 1.0, 1.0],
        },
        "boxes": "corners",
        "min_score": 0.7,
        "landmarks": 5,
        "parameters": 53_100,  # counted in that very file
        "published": {"WIDER FACE AP, easy": 0.8844, "WIDER FACE AP, medium": 0.8656, "WIDER FACE AP, hard": 0.7503},
        "download": {
            "url": f"{OPENCV_ZOO}/face_detection_yunet/face_detection_yunet_2026may.onnx",
            "size": 229_738,
            "sha256": "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
        },
        "notes": "Finds faces of 10 to 300 pixels with five landmarks, and is run by OpenCV itself, so its layers "
        "cannot be looked into. The whole picture is fitted into a square of 640 pixels; its published figures were "
        "measured on pictures of any size.",
        "licence": "OpenCV's collection of models, MIT (Shiqi Yu). The weights were learned from WIDER FACE, whose "
        "pictures are for research that is not commercial; whether your use is permitted is yours to judge.",
        "origin": "downloaded",
    },
    {
        "name": "sface",
        "title": "SFace · OpenCV",
        "task": "faces",
        "architecture": "opencv-sface",
        "classes": "face",
        "preprocess": {
            "kind": "face",
            "size": 112,
            "channels": 3,
            "mean": [0.0, 0.0, 0.0],
            "std": [1.0, 1.0, 1.0],
        },
        "finder": "face-detector",
        "calibration": [25.0, -9.075],
        "threshold": 0.5,
        "published": {"LFW pairs judged rightly": 0.996},
        "download": {
            "url": f"{OPENCV_ZOO}/face_recognition_sface/face_recognition_sface_2021dec.onnx",
            "size": 38_696_353,
            "sha256": "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
        },
        "notes": "Tells faces apart by 128 numbers, and is run by OpenCV itself, so its layers cannot be looked into. "
        "OpenCV takes two faces for one person from a cosine of 0.363; the probabilities shown here are drawn around "
        "that as a first guess, and a name needs 0.5, since a stranger may resemble any of several people.",
        "licence": "OpenCV's collection of models, Apache 2.0. Which pictures the weights were learned from is not "
        "said there; whether your use is permitted is yours to judge.",
        "origin": "downloaded",
    },
]


def catalogue() -> dict[str, Any]:
    """What the file holds."""
    from torchvision.models import get_model_weights

    imagenet = list(get_model_weights("resnet50").DEFAULT.meta["categories"])
    coco = get_model_weights("fcos_resnet50_fpn").DEFAULT.meta["categories"]
    columns = [number for number, name in enumerate(coco) if name not in ("__background__", "N/A")]
    classes = {"imagenet": imagenet, "coco": [coco[number] for number in columns], "face": ["face"]}
    arguments = {"outputs": len(coco), "columns": columns}
    return {
        "about": "Made by packaging/catalogue.py from torchvision's metadata, and from OpenCV's collection of models.",
        "classes": classes,
        "models": [*map(classifier, CLASSIFIERS), *(detector(name, arguments) for name in DETECTORS), *FACES],
    }


def classifier(name: str) -> dict[str, Any]:
    from torchvision.models import get_model_weights

    weights = get_model_weights(name).DEFAULT
    sees = weights.transforms()
    mean, deviation = list(sees.mean), list(sees.std)
    if name == "inception_v3":  # with its official weights torchvision normalises a second time, inside the network
        mean, deviation = [0.5] * 3, [0.5] * 3
    title, prose = CLASSIFIERS[name]
    figures = weights.meta["_metrics"]["ImageNet-1K"]
    return {
        **common(name, title, weights, IMAGENET_LICENCE),
        "task": "classification",
        "classes": "imagenet",
        "preprocess": {
            "kind": "picture",
            "size": sees.crop_size[0],
            "resize": sees.resize_size[0],
            "channels": 3,
            "mean": mean,
            "std": deviation,
        },
        "published": {
            "ImageNet accuracy": share(figures["acc@1"]),
            "ImageNet accuracy, top five": share(figures["acc@5"]),
        },
        "notes": prose,
    }


def detector(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    from torchvision.models import detection, get_model_weights

    weights = get_model_weights(name).DEFAULT
    sees = getattr(detection, name)(weights=None, weights_backbone=None).transform
    title, size, least, prose, more = DETECTORS[name]
    return {
        **common(name, title, weights, COCO_LICENCE),
        "task": "detection",
        "classes": "coco",
        "boxes": "corners",
        "min_score": least,
        "arguments": {**arguments, **more},
        "preprocess": {
            "kind": "letterbox",
            "size": size,
            "channels": 3,
            "mean": list(sees.image_mean),
            "std": list(sees.image_std),
        },
        "published": {"COCO mAP@[.5:.95]": share(weights.meta["_metrics"]["COCO-val2017"]["box_map"])},
        "notes": prose.format(size=size),
    }


def common(name: str, title: str, weights: Any, licence: str) -> dict[str, Any]:
    file = weights.url.rsplit("/", 1)[-1]
    return {
        "name": name,
        "title": title,
        "architecture": name,
        "parameters": weights.meta["num_params"],
        "operations": weights.meta["_ops"],
        "download": {
            "url": weights.url,
            "size": round(weights.meta["_file_size"] * 2**20),
            "sha256": file.removesuffix(".pth").rsplit("-", 1)[-1],
        },
        "licence": licence,
        "origin": "downloaded",
    }


def share(percent: float) -> float:
    return round(percent / 100, 6)


def main() -> None:
    found = catalogue()
    CATALOGUE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{CATALOGUE}: {len(found['models'])} models")


if __name__ == "__main__":
    main()
