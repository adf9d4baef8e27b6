"""What a network that looks along costs the one that answers: its frames a second with and without, in turn.

Both read a video of 640 × 480 as fast as they can, on two cores; the one that looks along has a quarter of the time.
The one that answers may lose no more than that quarter. Each figure is the median of several rounds.
"""

from __future__ import annotations

import os
import tempfile
import time

import numpy as np

from benchmarks import report
from benchmarks.live_detection import on_two_cores, pictures

MAIN, BESIDE = "face-detector", "faces"
SHARE = 0.25
LIMIT = 1 - SHARE
ROUNDS = 8
PATIENCE = 300.0  # seconds until a network is ready, or a frame is read; then something is wrong


def main() -> None:
    cores = on_two_cores()
    os.environ.setdefault("CONVSCOPE_HOME", tempfile.mkdtemp())
    from engine import Frame, LiveSession, ModelState
    from engine.concurrency import Flag

    class Flow:
        """A session, and ways to wait for it."""

        def __init__(self, name: str, share: float) -> None:
            self._news = Flag()
            self._ready = Flag()
            self.session = LiveSession(
                on_result=self._news.set, on_model=self._take_model, on_error=self._fail, share=share
            )
            self.session.start()
            self.session.use(name)
            if not self._ready.wait(PATIENCE):
                raise SystemExit(f"{name} does not get ready")

        def _take_model(self, state: ModelState) -> None:
            if state.error is not None:
                self._fail(state.error)
            if state.phase == "ready":
                self._ready.set()

        def _fail(self, error: BaseException) -> None:
            raise SystemExit(str(error))

        def read(self, frame: Frame) -> None:
            self._news.clear()
            self.session.submit(frame)
            while self.session.results.take() is None:
                if not self._news.wait(PATIENCE):
                    raise SystemExit("no frame is read")
                self._news.clear()

    images = pictures()
    answers, along = Flow(MAIN, 1.0), Flow(BESIDE, SHARE)
    number = 0

    def pace(beside: bool) -> float:
        """Frames a second of the network that answers, over all images."""
        nonlocal number
        began = time.perf_counter()
        for image in images:
            frame = Frame(image, "benchmark", number, time.perf_counter(), clock=number / 30)
            number += 1
            if beside:
                along.session.submit(frame)
            answers.read(frame)
        return len(images) / (time.perf_counter() - began)

    paces: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(ROUNDS + 1):
        for beside in (False, True) if turn % 2 else (True, False):
            measured = pace(beside)
            if turn:  # the first round only warms up
                paces[beside].append(measured)
    for flow in (answers, along):
        flow.session.stop()
    alone, accompanied = float(np.median(paces[False])), float(np.median(paces[True]))
    print(f"{MAIN}: {alone:.1f} frames a second alone, {accompanied:.1f} while {BESIDE} looks along")
    report(
        "companion",
        ratio=accompanied / alone,
        peer="the same network alone",
        limit=LIMIT,
        frames_per_second=accompanied,
        frames_per_second_alone=alone,
        share=SHARE,
        cores=cores,
        within_limits=bool(accompanied / alone >= LIMIT),
    )


if __name__ == "__main__":
    main()
