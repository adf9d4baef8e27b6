"""From the command to a window that takes strokes, as a multiple of a bare Qt + pyqtgraph window.

Each process is started afresh, and its clock is the birth of the process as the system tells it. ConvScope counts as
up when its real `main()` has painted the canvas and a stroke drawn on it with mouse events is on the paper; the bare
window when its empty plot has been painted. Then, unhurried, the time until that stroke has been read.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks import ROOT, mouse, on_screen, report

RUNS = 7

BARE = """
import sys, time, psutil
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QMainWindow
import pyqtgraph
app = QApplication(sys.argv)
window = QMainWindow()
plot = pyqtgraph.PlotWidget()
window.setCentralWidget(plot)
window.show()
while not window.windowHandle().isExposed():
    app.processEvents()
plot.repaint()
print(time.time() - psutil.Process().create_time(), flush=True)
"""


def probe() -> None:
    """Runs inside the measured process: `main()` with a hand at its mouse."""
    import psutil
    from PySide6.QtCore import QEvent, QTimer
    from PySide6.QtWidgets import QApplication

    born = psutil.Process().create_time()
    original = QApplication.exec

    def with_a_hand(*_: object) -> int:
        from gui.window import MainWindow  # loaded by the program itself by now

        window = next(w for w in QApplication.topLevelWidgets() if isinstance(w, MainWindow))
        canvas = window.canvas

        def draw() -> None:
            if not window.windowHandle() or not window.windowHandle().isExposed():
                QTimer.singleShot(0, draw)
                return
            mouse(canvas, QEvent.Type.MouseButtonPress, 0.5, 0.25)
            for step in range(11):
                mouse(canvas, QEvent.Type.MouseMove, 0.5, 0.25 + step * 0.05)
            mouse(canvas, QEvent.Type.MouseButtonRelease, 0.5, 0.75)
            canvas.repaint()
            print(time.time() - born, flush=True)

        def read(result: object) -> None:
            if getattr(result, "regions", ()):
                print(time.time() - born, flush=True)
                QTimer.singleShot(0, window.close)

        window.answer.painted.connect(read)
        QTimer.singleShot(0, draw)
        return original()

    QApplication.exec = with_a_hand  # type: ignore[method-assign]
    import main

    raise SystemExit(main.main([]))


def times(command: list[str], home: str) -> list[float]:
    environment = {**os.environ, "CONVSCOPE_HOME": home}
    if not on_screen():
        environment["QT_QPA_PLATFORM"] = "offscreen"
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [float(line) for line in done.stdout.split()]


def main() -> None:
    if sys.argv[1:] == ["--probe"]:
        probe()
    with tempfile.TemporaryDirectory() as home:
        ours_command = [sys.executable, "-m", "benchmarks.startup", "--probe"]
        bare_command = [sys.executable, "-c", BARE]
        first = times(ours_command, home)
        print(f"the very first time: window {first[0]:.2f} s, stroke read {first[1]:.2f} s (the network is converted)")
        times(bare_command, home)
        bare: list[float] = []
        ours: list[list[float]] = []
        for _ in range(RUNS):
            bare += times(bare_command, home)
            ours.append(times(ours_command, home))
            print(f"bare window {bare[-1]:.2f} s   ConvScope {ours[-1][0]:.2f} s   stroke read {ours[-1][1]:.2f} s")
    seconds = statistics.median(run[0] for run in ours)
    report(
        "startup",
        ratio=statistics.median(mine[0] / other for mine, other in zip(ours, bare, strict=True)),
        peer="a bare Qt + pyqtgraph window",
        limit_seconds=1.0,
        seconds=seconds,
        slowest_seconds=max(run[0] for run in ours),
        peer_seconds=statistics.median(bare),
        stroke_read_seconds=statistics.median(run[1] for run in ours),
        first_time_seconds=first[0],
        first_time_stroke_read_seconds=first[1],
    )


if __name__ == "__main__":
    main()
