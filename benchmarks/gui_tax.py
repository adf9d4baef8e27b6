"""What the window and a training run cost each other on the same machine.

Several rounds, each: the training program by itself; then the same program started from the form of the real window,
which draws its curves meanwhile. The ratio is the speed of training with the window over the speed without, in pairs
(limit 0.9). Then strokes are drawn on the canvas while the run goes on. All through the window's part a timer asks to
be called every millisecond; how much later it is called is how long the event loop stalled (p99, limit 16 ms).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks import application, mouse, report

ROUNDS = 3
SECONDS = 12.0  # of training watched in each half of a round
DRAWING_SECONDS = 5.0
LIMIT_STALL = 0.016
LIMIT_SPEED = 0.9


def main() -> None:
    application()
    from PySide6.QtCore import QEvent, QEventLoop, Qt, QTimer

    from engine import Run, TrainingConfig, new_run
    from gui.canvas import Canvas
    from gui.panels.train import TrainPanel
    from gui.window import MainWindow

    config = TrainingConfig(data="synthetic-digits", epochs=1000, schedule="constant")

    def speed(run: Run, since: int) -> float:
        """Pictures a second of the run's own clock, after step `since`."""
        steps = [step for step in run.history.steps if step.step > since]
        return (steps[-1].step - steps[0].step) * config.batch_size / (steps[-1].time - steps[0].time)

    def trained(run: Run, since: int, seconds: float) -> bool:
        steps = [step for step in run.history.steps if step.step > since]
        return len(steps) > 1 and steps[-1].time - steps[0].time >= seconds

    def cancel(run: Run) -> None:
        run.command("cancel")
        while run.alive:
            time.sleep(0.05)

    alone: list[float] = []
    beside: list[float] = []
    watching: list[float] = []
    drawing: list[float] = []
    for number in range(ROUNDS):
        run = new_run(config, name=f"alone-{number}")
        run.start()  # as the window starts it: considerate of others, of whom there are none here
        while not trained(run, 40, SECONDS):
            time.sleep(0.5)
            run.poll()
        alone.append(speed(run, 40))
        cancel(run)

        window = MainWindow()
        window.resize(1280, 800)
        window.show()
        window.begin()
        window.set_mode("train")
        panel = window.findChild(TrainPanel)
        assert panel is not None
        panel.form.set_value(config)
        panel.start()
        loop = QEventLoop()

        def until(condition: Callable[[], bool], stalls: list[float] | None, loop: QEventLoop = loop) -> None:
            """Run the event loop as `exec` does until the condition holds; notes how late a pulse is."""
            last = time.perf_counter()

            def beat() -> None:
                nonlocal last
                now = time.perf_counter()
                if stalls is not None:
                    stalls.append(max(0.0, now - last - 0.001))
                last = now

            pulse, asking = QTimer(), QTimer()
            pulse.setTimerType(Qt.TimerType.PreciseTimer)
            pulse.timeout.connect(beat)
            pulse.start(1)
            asking.timeout.connect(lambda: loop.quit() if condition() else None)
            asking.start(200)
            loop.exec()
            pulse.stop()
            asking.stop()

        until(lambda panel=panel: panel.shown is not None and trained(panel.shown, 40, 0.1), None)  # type: ignore[misc]
        assert panel.shown is not None
        run = panel.shown
        first = run.history.steps[-1].step
        until(lambda run=run, first=first: trained(run, first, SECONDS), watching)  # type: ignore[misc]
        beside.append(speed(run, first))

        window.set_mode("draw")

        begun = time.perf_counter()
        moves = 0

        def move(canvas: Canvas = window.canvas) -> None:
            nonlocal moves
            angle = moves * 0.05
            x, y = 0.5 + 0.15 * np.cos(angle), 0.5 + 0.3 * np.sin(angle)
            if moves % 120 == 0:
                mouse(canvas, QEvent.Type.MouseButtonPress, x, y)
            mouse(canvas, QEvent.Type.MouseMove, x, y)
            moves += 1
            if moves % 120 == 0:
                mouse(canvas, QEvent.Type.MouseButtonRelease, x, y)
                canvas.clear()

        hand = QTimer()
        hand.setTimerType(Qt.TimerType.PreciseTimer)
        hand.timeout.connect(lambda move=move: move())
        hand.start(8)
        until(lambda begun=begun: time.perf_counter() - begun > DRAWING_SECONDS, drawing)  # type: ignore[misc]
        hand.stop()
        cancel(run)
        window.close()
        print(f"round {number + 1}: alone {alone[-1]:.0f}/s, with the window {beside[-1]:.0f}/s", flush=True)
    ratio = statistics.median(mine / other for mine, other in zip(beside, alone, strict=True))
    figures = {
        name: float(np.percentile(stalls, share)) * 1e3
        for kind, stalls in (("watching", watching), ("drawing", drawing))
        for name, share in ((f"{kind}_stall_p50_ms", 50), (f"{kind}_stall_p99_ms", 99))
    }
    worst = max(figures["watching_stall_p99_ms"], figures["drawing_stall_p99_ms"])
    report(
        "gui_tax",
        ratio=ratio,
        peer="the same training program without a window",
        limit_ratio=LIMIT_SPEED,
        limit_stall_ms=LIMIT_STALL * 1e3,
        within_limits=bool(ratio >= LIMIT_SPEED and worst <= LIMIT_STALL * 1e3),
        images_per_second_alone=statistics.median(alone),
        images_per_second_with_window=statistics.median(beside),
        **figures,
    )


if __name__ == "__main__":
    main()
