"""Work in a process of its own: what needs torch, or reads a file that may be anything, is kept out of the window's.

A function of the engine is named and given values that JSON can hold; its answer, or its `EngineError`, comes back. A
crash there is an error here, and whoever cancels ends that process.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.errors import Cancelled, EngineError

_log = logging.getLogger(__name__)
_ROOT = Path(__file__).resolve().parents[1]


def call(
    function: str, *, what: str, cancelled: Callable[[], bool] = lambda: False, hint: str = "", **arguments: Any
) -> Any:
    """The answer of `function` ("engine.zoo:_convert") to `arguments`, computed in another process.

    Args:
        what: names the work, for the sentence that it was cancelled or failed ("Loading the model").
        cancelled: asked ten times a second; that process is ended if so.
        hint: what to do if that process dies.

    Raises:
        EngineError: the function raised one, or the process could not be started or died; `Cancelled`.
    """
    request = json.dumps({"function": function, "arguments": arguments})
    others = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    try:
        process = subprocess.Popen(
            # -P, and no empty part in the path: what lies in the folder that this program was started from is not ours.
            [sys.executable, "-P", "-c", "from engine import elsewhere; elsewhere._serve()"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *others])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
    except OSError as error:
        raise EngineError(f"{what} failed: no process could be started ({error.strerror or error}).", hint) from error
    with process:
        to_send: str | None = request
        while True:
            try:
                said, _ = process.communicate(to_send, timeout=0.1)
                break
            except subprocess.TimeoutExpired:
                to_send = None
                if cancelled():
                    process.kill()
                    process.communicate()
                    raise Cancelled(what) from None
    try:
        answer = json.loads(said.strip().splitlines()[-1])
    except (ValueError, IndexError):
        _log.info("%s: the process ended with %s", function, process.returncode)
        raise EngineError(f"{what} failed: the process that did it ended unexpectedly.", hint) from None
    if "message" in answer:
        raise EngineError(answer["message"], answer["hint"])
    return answer["value"]


_MEMORY = 0.75  # share of this computer's memory that such a process may fill


def _limit_memory() -> None:
    """A file that asks for more memory than there is ends this process, not the computer's patience."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # no such limit on this system
        import resource

        most = int(_MEMORY * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _serve() -> None:
    """The other process: one request on stdin, one answer as the last line of stdout."""
    _limit_memory()
    request = json.loads(sys.stdin.buffer.read())
    module, _, name = request["function"].partition(":")
    try:
        value = getattr(importlib.import_module(module), name)(**request["arguments"])
        answer = {"value": value}
    except EngineError as error:
        answer = {"message": error.message, "hint": error.hint}
    except MemoryError:
        answer = {"message": "There is not enough memory for this.", "hint": "Close other programs, or choose less."}
    sys.stdout.buffer.write(b"\n" + json.dumps(answer).encode() + b"\n")
    sys.stdout.flush()
