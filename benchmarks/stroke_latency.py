"""From a mouse move on the canvas to the repainted bars: p99 against the 16 ms of one picture on the screen.

Drives the real window with mouse events, a move every 8 ms as a mouse sends them, tracing digits stroke by stroke. A
move's latency ends when the answer panel has painted a result of the drawing as it was at or after that move; a move
overtaken by the next before it could be read counts until the later result that includes it. The peer is the same
road without a window: the same drawings through `Classifier.predict` alone.
"""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np

from benchmarks import application, mouse, report

LIMIT = 0.016
DIGITS = {  # strokes in a unit square
    "7": [[(0.2, 0.2), (0.8, 0.2), (0.4, 0.85)]],
    "4": [[(0.6, 0.15), (0.2, 0.6), (0.85, 0.6)], [(0.65, 0.4), (0.62, 0.9)]],
    "3": [[(0.25, 0.2), (0.7, 0.2), (0.45, 0.45), (0.75, 0.65), (0.5, 0.85), (0.22, 0.75)]],
    "1": [[(0.5, 0.15), (0.5, 0.85)]],
    "0": [[(0.5, 0.15), (0.25, 0.5), (0.5, 0.85), (0.75, 0.5), (0.5, 0.16)]],
}
MOVES_PER_SEGMENT = 12
ROUNDS = 12


def main() -> None:
    app = application()
    from PySide6.QtCore import QEvent

    from engine import Result, model_card
    from engine.vision.classify import Classifier
    from gui.window import MainWindow

    window = MainWindow()
    window.resize(1280, 800)
    window.show()
    canvas = window.canvas
    results: list[tuple[float, Result]] = []
    window.answer.painted.connect(lambda result: results.append((time.perf_counter(), result)))

    def live(seconds: float) -> None:
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            app.processEvents()
            if left > 0.0005:
                time.sleep(0.0002)  # what an idle event loop does; the other threads need the interpreter

    while not results:  # until the network is there and has read something
        mouse(canvas, QEvent.Type.MouseButtonPress, 0.4, 0.3)
        mouse(canvas, QEvent.Type.MouseMove, 0.6, 0.3)
        mouse(canvas, QEvent.Type.MouseButtonRelease, 0.45, 0.8)
        live(0.5)
    moves: list[float] = []
    handled: list[float] = []
    paint_of: list[tuple[float, Result]] = []
    for _ in range(ROUNDS):
        for number, strokes in enumerate(DIGITS.values()):
            canvas.clear()
            live(0.05)
            results.clear()
            left, top, side = 0.15 + 0.1 * (number % 3), 0.1, 0.5
            for stroke in strokes:
                points = [(left + x * side * canvas.height() / canvas.width(), top + y * 0.8) for x, y in stroke]
                mouse(canvas, QEvent.Type.MouseButtonPress, *points[0])
                for (x0, y0), (x1, y1) in itertools.pairwise(points):
                    for step in range(1, MOVES_PER_SEGMENT + 1):
                        share = step / MOVES_PER_SEGMENT
                        began = time.perf_counter()
                        mouse(canvas, QEvent.Type.MouseMove, x0 + (x1 - x0) * share, y0 + (y1 - y0) * share)
                        moves.append(began)
                        handled.append(time.perf_counter() - began)
                        live(max(0.0, 0.008 - (time.perf_counter() - began)))
                mouse(canvas, QEvent.Type.MouseButtonRelease, *points[-1])
            live(0.15)
            paint_of += results
    latencies: list[float] = []
    position = 0
    for began in moves:
        while position < len(paint_of) and paint_of[position][1].frame.time < began:
            position += 1
        if position < len(paint_of):
            latencies.append(paint_of[position][0] - began)
    spent: dict[str, float] = {
        "move": float(np.mean(handled)),
        "waiting": _mean(paint_of, "waiting"),
        "preprocess": _mean(paint_of, "preprocess"),
        "network": _mean(paint_of, "network"),
        "postprocess": _mean(paint_of, "postprocess"),
        "paint": float(np.mean([at - r.frame.time - r.timings.total for at, r in paint_of])),
    }
    alone = Classifier(model_card(paint_of[-1][1].model))
    frames = [result.frame for _, result in paint_of[-300:]]
    bare = []
    for frame in frames:
        began = time.perf_counter()
        alone.predict(frame)
        bare.append(time.perf_counter() - began)
    window.close()
    p50, p99 = np.percentile(latencies, [50, 99])
    peer = float(np.median(bare))
    print(f"{len(moves)} moves, {len(latencies)} seen to the end; p50 {p50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms")
    for name, seconds in spent.items():
        print(f"  {name:12} {seconds * 1e3:6.2f} ms  {seconds / sum(spent.values()):5.1%}")
    report(
        "stroke_latency",
        ratio=float(p50) / peer,
        peer="Classifier.predict of the same drawings, without a window",
        peer_p50_ms=peer * 1e3,
        limit_ms=LIMIT * 1e3,
        p50_ms=float(p50) * 1e3,
        p99_ms=float(p99) * 1e3,
        within_limit=bool(p99 <= LIMIT),
        moves=len(moves),
        unread=len(moves) - len(latencies),
        shares={name: round(seconds / sum(spent.values()), 3) for name, seconds in spent.items()},
    )


def _mean(results: list[tuple[float, Any]], part: str) -> float:
    return float(np.mean([getattr(result.timings, part) for _, result in results]))


if __name__ == "__main__":
    main()
