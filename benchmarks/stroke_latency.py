"""From a mouse move on the canvas to the repainted bars: p99 against the 16 ms of one picture on the screen.

Drives the real window, in its own event loop, with mouse events every 8 ms as a mouse sends them, tracing digits stroke
by stroke. A move's latency begins when it is due, also if the window is too busy to take it then, and ends when the
answer panel has painted a result of the drawing as it was at or after that move; a move overtaken by the next before
it could be read counts until the later result that includes it. The peer is the same road without a window: the same
drawings through `Classifier.predict` alone.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import application, mouse, report

LIMIT = 0.016
TICK = 0.008  # seconds between two moves
PULSE = 0.001  # how often the hand looks at its clock: what comes this late is no fault of the window
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
    application()
    from PySide6.QtCore import QEvent, QEventLoop, Qt, QTimer

    from engine import Result, model_card
    from engine.vision.classify import Classifier
    from gui.window import MainWindow

    window = MainWindow()
    window.resize(1280, 800)
    window.show()
    canvas = window.canvas
    painted: list[tuple[float, Result]] = []
    window.answer.painted.connect(lambda result: painted.append((time.perf_counter(), result)))
    loop = QEventLoop()
    moves: list[tuple[float, float, float]] = []  # when each was due, begun and done

    def play(actions: list[Callable[[float], None] | None]) -> None:
        """One action (or none) a tick; the window lives in between, and a late tick delays none of the next."""
        start = time.perf_counter() + TICK
        done = 0

        def beat() -> None:
            nonlocal done
            while done < len(actions) and (due := start + done * TICK) <= (now := time.perf_counter()):
                action = actions[done]
                done += 1
                if action is not None:
                    action(now if now - due <= PULSE else due + PULSE)
            if done == len(actions):
                loop.quit()

        pulse = QTimer()
        pulse.setTimerType(Qt.TimerType.PreciseTimer)
        pulse.timeout.connect(beat)
        pulse.start(round(PULSE * 1000))
        loop.exec()
        pulse.stop()

    def button(kind: QEvent.Type, x: float, y: float) -> Callable[[float], None]:
        return lambda due: mouse(canvas, kind, x, y)

    def move(x: float, y: float) -> Callable[[float], None]:
        def act(due: float) -> None:
            begun = time.perf_counter()
            mouse(canvas, QEvent.Type.MouseMove, x, y)
            moves.append((due, begun, time.perf_counter()))

        return act

    press, release = QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonRelease
    while not painted or painted[-1][1].classification is None:  # until the network is there and has read something
        play([button(press, 0.4, 0.3), move(0.6, 0.3), button(release, 0.45, 0.8), *[None] * 60])
    moves.clear()
    gc.freeze()  # as the program does after its start; and this list of results must not make collections long
    actions: list[Callable[[float], None] | None] = []
    for _ in range(ROUNDS):
        for number, strokes in enumerate(DIGITS.values()):
            actions += [lambda due: canvas.clear(), *[None] * 6]
            left, top, side = 0.15 + 0.1 * (number % 3), 0.1, 0.5
            for stroke in strokes:
                points = [(left + x * side * canvas.height() / canvas.width(), top + y * 0.8) for x, y in stroke]
                actions.append(button(press, *points[0]))
                for (x0, y0), (x1, y1) in itertools.pairwise(points):
                    for step in range(1, MOVES_PER_SEGMENT + 1):
                        share = step / MOVES_PER_SEGMENT
                        actions.append(move(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share))
                actions.append(button(release, *points[-1]))
            actions += [None] * 18
    painted.clear()
    play(actions)
    latencies: list[float] = []
    position = 0
    for due, begun, _ in moves:
        while position < len(painted) and painted[position][1].frame.time < begun:
            position += 1
        if position < len(painted):
            latencies.append(painted[position][0] - due)
    read = [(at, result) for at, result in painted if result.classification is not None]
    spent: dict[str, float] = {
        "move": float(np.mean([done - due for due, _, done in moves])),
        "waiting": _mean(read, "waiting"),
        "preprocess": _mean(read, "preprocess"),
        "network": _mean(read, "network"),
        "postprocess": _mean(read, "postprocess"),
        "paint": float(np.mean([at - r.frame.time - r.timings.total for at, r in read])),
    }
    alone = Classifier(model_card(read[-1][1].model))
    bare = []
    for _, result in read[-300:]:
        began = time.perf_counter()
        alone.predict(result.frame)
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
