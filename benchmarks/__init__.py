"""Every speed claim of ConvScope as a ratio against a named peer or limit, measured in the same run.

`python -m benchmarks.NAME` runs one and ends with a JSON line; `python -m benchmarks` (make bench) runs them all.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def report(name: str, *, ratio: float, **figures: Any) -> None:
    """The last line of a benchmark: its figures and its ratio."""
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps({"benchmark": name, "ratio": round(ratio, 3), **rounded}), flush=True)


def real_data() -> Path | None:
    """The folder with real data sets, if this machine has one."""
    folder = Path(os.environ.get("CONVSCOPE_DATA", ROOT.parent / "shared" / "data"))
    return folder if folder.is_dir() else None
