"""OpenCV, imported here and nowhere else.

Importing it points Qt (by environment variables) at the plug-ins and fonts that OpenCV brings for windows of its own,
which would break this program's window, and changes where child processes look for libraries; both are undone. What
its decoders print about damaged files is switched off: such files are reported as `EngineError`.

Its own threads are few: the pictures here are small, and where there are as many threads as cores, a call waits for the
core that just paints the window.
"""

from __future__ import annotations

import os

_TOUCHED = ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR", "LD_LIBRARY_PATH")
_before = {name: os.environ.get(name) for name in _TOUCHED}

os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "3")  # seconds until an unplugged camera is noticed

import cv2 as cv2  # noqa: E402

for _name, _value in _before.items():
    if _value is None:
        os.environ.pop(_name, None)
    else:
        os.environ[_name] = _value

cv2.setNumThreads(max(1, (os.cpu_count() or 1) // 4))
