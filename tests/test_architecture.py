"""The rules of the house that import-linter cannot see; `lint-imports` holds the others."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import engine

ROOT = Path(__file__).resolve().parents[1]


def sources(folder: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> Iterator[tuple[str, tuple[str, ...]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, ()
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, tuple(name.name for name in node.names)


def test_the_window_takes_from_the_engine_only_what_it_offers() -> None:
    for path, tree in sources("gui"):
        for module, names in imported(tree):
            assert not module.startswith("engine."), f"{path} reaches into {module}"
            if module == "engine":
                assert set(names) <= set(engine.__all__), f"{path}: {set(names) - set(engine.__all__)}"


def test_everything_the_engine_offers_is_there() -> None:
    for name in engine.__all__:
        assert getattr(engine, name) is not None


def test_threads_are_made_in_one_room() -> None:
    for folder in ("engine", "gui"):
        for path, tree in sources(folder):
            if path != Path("engine/concurrency.py"):
                modules = {module.split(".")[0] for module, _ in imported(tree)}
                assert not modules & {"threading", "multiprocessing", "_thread", "concurrent"}, path


def test_no_room_is_called_after_nothing() -> None:
    for folder in ("engine", "gui", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "manager"}, path


def test_importing_the_window_loads_nothing_heavy() -> None:
    """What the window shows within a second must not wait for torch, OpenVINO, OpenCV or pyqtgraph."""
    heavy = "{'torch', 'torchvision', 'openvino', 'cv2', 'pyqtgraph'}"
    code = f"import sys, gui.window; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_engine_imports_without_qt() -> None:
    code = (
        "import sys\n"
        "sys.modules.update({'PySide6': None, 'shiboken6': None, 'pyqtgraph': None})\n"
        "import importlib, pkgutil, engine\n"
        "for found in pkgutil.walk_packages(engine.__path__, 'engine.'):\n"
        "    if not found.name.endswith('__main__'):\n"
        "        importlib.import_module(found.name)\n"
        "print('whole')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "whole", done.stderr
