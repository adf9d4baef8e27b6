"""Rules that hold for every test: own data folder, no leaked threads, shared data only where it is there."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

if os.environ.get("CONVSCOPE_NO_QT"):  # `make test` runs the engine's tests this way: as if Qt were not installed
    sys.modules.update({"PySide6": None, "shiboken6": None, "pyqtgraph": None})  # type: ignore[dict-item]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# The tests' networks are tiny: a second thread would only wait for the first, and fight over a shared machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has its own folder for runs, settings and caches; the user's is never touched."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("CONVSCOPE_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def no_leaked_threads() -> Iterator[None]:
    """A thread of ours that outlives its test fails it, by name."""
    before = set(threading.enumerate())
    yield
    ours = [t for t in threading.enumerate() if t not in before and t.name.startswith("convscope")]
    for thread in ours:
        thread.join(20.0)  # on a busy machine a network that is being converted takes its time to hear of the end
    leaked = [thread.name for thread in ours if thread.is_alive()]
    assert not leaked, f"leaked threads: {', '.join(leaked)}"


@pytest.fixture(autouse=True)
def no_unexpected_warnings(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A log warning that a test does not ask for (by `caplog.clear()` after looking at it) fails it."""
    yield
    warnings = [
        record
        for when in ("setup", "call")
        for record in caplog.get_records(when)  # type: ignore[arg-type]
        if record.levelname in ("WARNING", "ERROR", "CRITICAL") and record.name.split(".")[0] in ("engine", "gui")
    ]
    assert not warnings, "unexpected log: " + "; ".join(record.getMessage() for record in warnings)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data sets; skips where there is none."""
    folder = Path(os.environ.get("CONVSCOPE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is absent (set CONVSCOPE_DATA)")
    return folder
