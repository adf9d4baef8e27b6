"""ConvScope: `python main.py` opens the window, a verb after it runs the same engine from the command line."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Run the window, or the verb that `arguments` name; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments:
        from engine.commands import run

        return run(arguments, demo=_demo)
    from gui.application import show

    return show()


def _demo(out: Path) -> int:
    code: int = importlib.import_module("gui.demo").run(out)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
