from __future__ import annotations

import threading

from engine.concurrency import Flag, Latest, Worker


def test_latest_keeps_only_the_newest_and_notifies_on_empty_to_full() -> None:
    notified: list[int] = []
    slot: Latest[int] = Latest(lambda: notified.append(1))
    for item in (1, 2, 3):
        slot.put(item)
    assert notified == [1]
    assert slot.dropped == 2
    assert slot.take() == 3
    assert slot.take() is None
    slot.put(4)
    assert notified == [1, 1]


def test_a_waiting_take_gets_the_item_and_can_be_woken() -> None:
    slot: Latest[str] = Latest()
    got: list[str | None] = []
    waiting = Flag()

    def body(stop: threading.Event) -> None:
        waiting.set()
        got.append(slot.take(timeout=30))
        waiting.set()
        got.append(slot.take(timeout=None))

    worker = Worker("taker", body).start()
    waiting.wait(5)
    waiting.clear()
    slot.put("frame")
    waiting.wait(5)
    while worker.alive:
        slot.wake()
    assert got == ["frame", None]


def test_a_worker_ends_when_asked() -> None:
    worker = Worker("waiter", lambda stop: stop.wait(30) and None).start()
    assert worker.alive
    assert worker.stop()
    assert not worker.alive
