"""Run every benchmark in turn, each in a process of its own, and repeat their last lines together.

`python -m benchmarks NAME …` runs one, with what it is told.
"""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

from benchmarks import ROOT

BRIEFLY = {"soak": ["8"]}  # its full hour is run by name


def main() -> int:
    if sys.argv[1:]:
        name = sys.argv.pop(1)
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
        return 0
    failed = False
    last_lines: list[str] = []
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        print(f"\n── {path.stem}", flush=True)
        process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{path.stem}", *BRIEFLY.get(path.stem, [])],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        line = ""
        for line in process.stdout:
            print(line, end="", flush=True)
        failed |= process.wait() != 0
        last_lines.append(line.strip())
    print("\n" + "\n".join(last_lines))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
