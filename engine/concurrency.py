"""The only room with threads: a slot of one, a worker, and a lock.

Frames and results pass through a `Latest`, which never holds more than one item: whoever is slow misses items
and latency stays constant. A `Worker` owns one thread, ends cooperatively, and hands what it did not expect to a
single place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

Lock = threading.Lock
Flag = threading.Event


def on_thread_failure(report: Callable[[BaseException], None]) -> None:
    """Hand every exception that leaves a thread to `report` (called in that thread)."""

    def hook(failure: threading.ExceptHookArgs) -> None:
        if failure.exc_value is not None and not isinstance(failure.exc_value, SystemExit):
            report(failure.exc_value)

    threading.excepthook = hook


class Latest(Generic[T]):
    """A slot of one: `put` overwrites, `take` empties.

    `on_filled` is called (in the putting thread) only when the slot goes from empty to full, so however fast the
    producer, at most one notification is under way.
    """

    def __init__(self, on_filled: Callable[[], None] | None = None) -> None:
        self._item: T | None = None
        self._condition = threading.Condition()
        self._on_filled = on_filled
        self._woken = False  # a wake that comes before the wait must not be lost
        self.dropped = 0  # items overwritten before anybody took them

    def put(self, item: T) -> None:
        """Place `item`, replacing one that nobody has taken."""
        with self._condition:
            was_empty = self._item is None
            self.dropped += not was_empty
            self._item = item
            self._condition.notify()
        if was_empty and self._on_filled is not None:
            self._on_filled()

    def take(self, timeout: float | None = 0.0) -> T | None:
        """The item, or None if there is none within `timeout` seconds (None: wait until woken)."""
        with self._condition:
            if timeout != 0.0:
                if self._item is None and not self._woken:
                    self._condition.wait(timeout)
                self._woken = False
            item, self._item = self._item, None
            return item

    def rest(self, timeout: float) -> None:
        """Wait `timeout` seconds or until woken; what is put meanwhile stays, the newest of it."""
        with self._condition:
            self._condition.wait_for(lambda: self._woken, timeout)

    def wake(self) -> None:
        """Let a waiting `take` or `rest` return now, or the next one at once, with an item only if there is one."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()


class Worker:
    """One named thread that runs `body(stop)` until it returns.

    `body` looks at `stop.is_set()` between units of work. An exception that leaves `body` reaches
    `threading.excepthook`, which the window turns into a notice. Nothing is ever killed.
    """

    def __init__(self, name: str, body: Callable[[threading.Event], None]) -> None:
        self._stop = threading.Event()
        self._body = body
        self._thread = threading.Thread(target=self._run, name=f"convscope-{name}", daemon=True)

    def start(self) -> Worker:
        self._thread.start()
        return self

    def stop(self, timeout: float = 5.0) -> bool:
        """Ask the thread to end and wait up to `timeout` seconds; True if it has ended."""
        self._stop.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        self._body(self._stop)
