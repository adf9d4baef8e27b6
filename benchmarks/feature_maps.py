"""Watching feature maps: refreshes a second of paint time against 60, and what watching costs the prediction.

Two layers of the real panel at the size it has in a window of 1280 × 800: one of 64 maps of the digit network and
one of 256 maps (56 × 56) of a ResNet-50 with random weights. A refresh is handing the panel a new result and painting
it, until the event queue is empty. The cost of watching is the median of `Classifier.predict` with the layer over
that without it, in pairs; its limit is 1.3.
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from benchmarks import application, report

REFRESHES = 200
LIMIT_PER_SECOND = 60
LIMIT_COST = 1.3


def main() -> None:
    app = application()
    from engine import Frame, ModelCard, ModelState, Preprocess, Result, model_card
    from engine.vision.classify import Classifier
    from gui.panels.inside import InsidePanel

    resnet = ModelCard(
        name="resnet50",
        title="ResNet-50",
        task="classification",
        architecture="resnet50",
        classes=tuple(f"class {number}" for number in range(1000)),
        preprocess=Preprocess("picture", 224, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize=256),
        origin="random",
    )
    random = np.random.default_rng(0)
    paper = np.full((560, 560, 3), 255, np.uint8)
    paper[150:400, 270:300] = 20
    photo = random.integers(0, 256, (480, 640, 3), np.uint8)
    figures: dict[str, float] = {}
    for name, card, picture, maps in (
        ("digits_64", model_card("digits"), paper, (64, 0)),
        ("resnet50_256", resnet, photo, (256, 56)),
    ):
        classifier = Classifier(card)
        card = classifier.card
        layer = next(one for one in card.layers if one.shape[0] == maps[0] and one.shape[1] >= maps[1])
        panel = InsidePanel()
        panel.resize(1264, 250)
        panel.show()
        panel.set_model(ModelState(card.name, "ready", card, generation=1))
        panel.show_layer_named(layer.name)
        frame = Frame(picture, "benchmark", 0, time.perf_counter(), drawing=card.preprocess.kind == "drawing")
        seen = classifier.predict(frame, layer=layer.name, generation=1)
        assert seen.activations is not None
        results: list[Result] = []
        for _ in range(8):
            changed = seen.activations.maps * random.uniform(0.5, 1.5, seen.activations.maps.shape).astype(np.float32)
            results.append(dataclasses.replace(seen, activations=dataclasses.replace(seen.activations, maps=changed)))
        for result in results:
            panel.set_result(result)
            app.processEvents()
        took: list[float] = []
        for number in range(REFRESHES):
            began = time.perf_counter()
            panel.set_result(results[number % len(results)])
            app.processEvents()
            took.append(time.perf_counter() - began)
        panel.close()
        pairs: list[float] = []
        for number in range(120 if maps[0] == 64 else 24):
            times: dict[bool, float] = {}
            for watched in (True, False) if number % 2 else (False, True):
                began = time.perf_counter()
                classifier.predict(frame, layer=layer.name if watched else None)
                times[watched] = time.perf_counter() - began
            pairs.append(times[True] / times[False])
        figures[f"{name}_per_second"] = 1 / float(np.median(took))
        figures[f"{name}_paint_p99_ms"] = float(np.percentile(took, 99)) * 1e3
        figures[f"{name}_watching_cost"] = float(np.median(pairs))
        print(
            f"{card.title}, {layer.title} {layer.shape}: {1 / np.median(took):.0f} refreshes a second, "
            f"watching costs × {np.median(pairs):.2f}",
            flush=True,
        )
    slowest = min(value for key, value in figures.items() if key.endswith("per_second"))
    cost = max(value for key, value in figures.items() if key.endswith("watching_cost"))
    report(
        "feature_maps",
        ratio=slowest / LIMIT_PER_SECOND,
        peer="60 refreshes a second",
        limit_watching_cost=LIMIT_COST,
        within_limits=bool(slowest >= LIMIT_PER_SECOND and cost <= LIMIT_COST),
        **figures,
    )


if __name__ == "__main__":
    main()
