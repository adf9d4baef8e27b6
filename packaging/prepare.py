"""Make a fresh checkout ready: virtual environment, dependencies, Qt's system libraries. Quick the second time.

    python3 packaging/prepare.py            what the program needs
    python3 packaging/prepare.py test       what its tests need as well

Runs on the system's Python with nothing installed, so it uses the standard library alone.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

# Converting the bundled network takes a few seconds once; done here, the window's first drawing is read at once.
CONVERT = "from engine import zoo; zoo.open_network(zoo.model_card('digits'))"

# Shared objects that Qt's xcb platform plugin and OpenCV load, and the Debian packages that hold them.
LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libfontconfig.so.1": "libfontconfig1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
}


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036  (this file alone runs before anything checks)
        print(f"ConvScope needs Python 3.11 or newer; this is {sys.version.split()[0]}.", file=sys.stderr)
        print("Install a newer one and name it: make run PYTHON=python3.12", file=sys.stderr)
        return 1
    extra = "[test]" if "test" in arguments else ""
    return make_environment() or install(extra) or check_libraries()


def make_environment() -> int:
    """Create .venv; on Debian the module for that is a package of its own."""
    if works():
        return 0
    shutil.rmtree(VENV, ignore_errors=True)
    print("Creating .venv …", flush=True)
    if subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True).returncode == 0:
        return 0
    package = f"python3.{sys.version_info.minor}-venv"
    if apt_install([package]) != 0:
        return 1
    return subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)]).returncode


def works() -> bool:
    if not PYTHON.exists():
        return False
    probe = subprocess.run([str(PYTHON), "-c", "import pip"], capture_output=True)
    return probe.returncode == 0


def install(extra: str) -> int:
    """Install the project and what it needs, unless pyproject.toml is the one installed last."""
    stamp = VENV / f".installed{'-test' if extra else ''}"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + str(ROOT).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return 0
    print("Installing ConvScope and what it needs (a few minutes the first time) …", flush=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    code = subprocess.run([*pip, "--editable", f"{ROOT}{extra}"]).returncode
    if code == 0:
        stamp.write_text(wanted)
        subprocess.run([str(PYTHON), "-c", CONVERT], cwd=ROOT, capture_output=True)  # or at the first start
    else:
        print("The installation did not finish; the lines above say why. Run the command again.", file=sys.stderr)
    return code


def check_libraries() -> int:
    """See that Qt's system libraries can be loaded; on Debian, as root, install those that are missing."""
    if not sys.platform.startswith("linux"):
        return 0
    missing = []
    for library, package in LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(package)
    return apt_install(missing) if missing else 0


def apt_install(packages: list[str]) -> int:
    line = f"apt-get install -y {' '.join(packages)}"
    if not shutil.which("apt-get"):
        print(f"These system libraries are missing (Debian's names): {' '.join(packages)}", file=sys.stderr)
        return 1
    if os.geteuid() != 0:
        print(
            f"System libraries are missing. Type this once, then run the command again:\n  sudo {line}", file=sys.stderr
        )
        return 1
    print(f"Installing system libraries: {' '.join(packages)} …", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=environment, stdout=subprocess.DEVNULL)
    return subprocess.run([*line.split(), "-qq"], env=environment, stdout=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
