"""Detections on their way out: boxes of pictures and frames as a file that other programs read.

Two kinds: COCO's JSON, which labelling tools and trainers take, and CSV, one box a line, for a spreadsheet. Boxes are
written as they come, so an hour of video needs no memory; the file is in its place only once it is whole. Where the
disk becomes full it is completed with what was written until then.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from engine import store
from engine.errors import EngineError, WriteError
from engine.types import Detections, Frame

COLUMNS = ("file", "frame", "time", "label", "score", "x0", "y0", "x1", "y1", "track")
"""Of a CSV file: frame and time (seconds) are empty for a picture by itself, track where the box is not followed."""

RESERVE = 16 << 20  # bytes of the disk that stay free
_HELD = 64 << 10  # bytes that are kept for the end of a COCO file, with the names of its classes


class DetectionExport:
    """An open file of detections. Use it from one thread at a time, and end it with `close` or `discard`.

    In a `with` block it is closed at the end, or discarded where that ends with an error.

    Attributes:
        frames: how many pictures or frames have been added.
        boxes: how many boxes they had.
    """

    def __init__(
        self, path: Path, *, free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free
    ) -> None:
        """Begin a file; `path` itself is not touched before the file is whole.

        Args:
            path: ends in ".json" (COCO) or ".csv".
            free: bytes that are free on the disk of a folder.

        Raises:
            EngineError: it ends otherwise.
            WriteError: the folder cannot be written to.
        """
        if path.suffix.lower() not in (".json", ".csv"):
            raise EngineError(
                f"Detections cannot be written as “{path.name}”.", "Let the name end in .json (COCO) or in .csv."
            )
        self.frames = 0
        self.boxes = 0
        self._path = path
        self._free = free
        self._coco = path.suffix.lower() == ".json"
        self._categories: dict[str, int] = {}
        self._open: list[BinaryIO] = []
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._begin("boxes")
            if self._coco:
                # The list of pictures grows beside the list of boxes; it follows it when the file is closed. Deleting
                # it gives back the room that its copy needs, and that of the end: JSON allows for the spaces.
                self._pictures = self._begin("pictures")
                _write(self._pictures, " " * _HELD)
                _write(self._file, '{"annotations": [')
            else:
                _write(self._file, _lines([COLUMNS]))

    def add(self, frame: Frame, detections: Detections, *, file: str = "") -> None:
        """Write the boxes of one picture or frame.

        Args:
            file: what it is called in the file (default: the frame's source).

        Raises:
            WriteError: the disk is full or has gone. The file is closed with what was added before, if there was
                anything and it can be done.
        """
        file = file or frame.source
        make = self._in_coco if self._coco else self._in_csv
        texts = make(frame, detections, file)
        ends = [each.tell() for each in self._open]
        try:
            if self._free(self._path.parent) < RESERVE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            for each, text in zip(self._open, texts, strict=True):
                _write(each, text)
        except OSError as error:
            raise self._cut_short(ends, error) from error
        self.frames += 1
        self.boxes += len(detections)

    def close(self) -> None:
        """Finish the file and put it in its place.

        Raises:
            WriteError: the disk is full, or the folder may not be written to any more; `path` is as it was.
        """
        if not self._open:
            return
        with self._explained():
            if self._coco:
                self._pictures.seek(_HELD)
                pictures = self._pictures.read().decode()
                self._pictures.close()
                Path(self._pictures.name).unlink()
                names = [{"id": number, "name": name} for name, number in self._categories.items()]
                end = f'\n], "images": [{pictures}\n], "categories": {json.dumps(names)}}}\n'
                _write(self._file, end)
            written = Path(self._file.name)
            self._file.close()
            store.replace_file(self._path, written.replace)
        self.discard()

    def discard(self) -> None:
        """Throw away what was written; nothing is left. Does nothing once the file is closed."""
        for file in self._open:
            with contextlib.suppress(OSError):
                file.close()
            with contextlib.suppress(OSError):
                Path(file.name).unlink(missing_ok=True)
        self._open = []

    def __enter__(self) -> DetectionExport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    # ----------------------------------------------------------------------------------------------- inside

    def _begin(self, what: str) -> BinaryIO:
        path = self._path.with_name(f".{self._path.name}.{os.getpid()}.{what}.tmp")
        file = path.open("w+b", buffering=0)  # what fails is known at once, and is not tried again when it is closed
        self._open.append(file)
        return file

    def _cut_short(self, ends: list[int], error: OSError) -> WriteError:
        """Close the file with what it had when its parts were that long; what there is to say about it."""
        reason = store.write_error(self._path, error)
        if not self.frames:
            self.discard()
            return reason
        try:
            for file, end in zip(self._open, ends, strict=True):
                file.truncate(end)
                file.seek(end)
        except OSError:
            self.discard()
            return reason
        self.close()
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        frames = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        return WriteError(
            f"The disk is nearly full: {self._path.name} ends after {frames}." if full else reason.message,
            f"What was found until then is kept in it, {self.boxes} boxes. "
            + (f"Free some space in {self._path.parent} before the next one." if full else reason.hint),
        )

    def _in_coco(self, frame: Frame, detections: Detections, file: str) -> tuple[str, str]:
        """What is added to the list of boxes and to that of pictures."""
        for label in detections.labels:
            self._categories.setdefault(label, len(self._categories) + 1)
        height, width = frame.image.shape[:2]
        picture: dict[str, Any] = {"id": self.frames + 1, "file_name": file, "width": width, "height": height}
        if frame.clock is not None:
            picture |= {"frame": frame.index, "time": round(frame.clock, 3)}
        boxes = []
        for row in range(len(detections)):
            x0, y0, x1, y1 = (round(float(value), 2) for value in detections.xyxy[row])
            box: dict[str, Any] = {
                "id": self.boxes + row + 1,
                "image_id": self.frames + 1,
                "category_id": self._categories[detections.labels[detections.class_id[row]]],
                "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)],
                "area": round((x1 - x0) * (y1 - y0), 2),
                "iscrowd": 0,
                "score": round(float(detections.confidence[row]), 4),
            }
            if (track := _track(detections, row)) is not None:
                box["track_id"] = track
            boxes.append(f"{',' if self.boxes + row else ''}\n{json.dumps(box)}")
        return "".join(boxes), f"{',' if self.frames else ''}\n{json.dumps(picture)}"

    def _in_csv(self, frame: Frame, detections: Detections, file: str) -> tuple[str]:
        rows: list[tuple[Any, ...]] = []
        moving = frame.clock is not None
        when = (frame.index, f"{frame.clock:.3f}") if moving else ("", "")
        for row in range(len(detections)):
            label = detections.labels[detections.class_id[row]]
            places = (f"{value:.1f}" for value in detections.xyxy[row])
            score = f"{detections.confidence[row]:.4f}"
            track = _track(detections, row)
            rows.append((file, *when, label, score, *places, "" if track is None else track))
        return (_lines(rows),)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """What fails is discarded and said in plain words."""
        try:
            yield
        except OSError as error:
            self.discard()
            raise store.write_error(self._path, error) from error
        except BaseException:
            self.discard()
            raise


def _write(file: BinaryIO, text: str) -> None:
    rest = memoryview(text.encode())
    while rest:
        rest = rest[file.write(rest) :]


def _lines(rows: Iterable[tuple[Any, ...]]) -> str:
    """Rows of a CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _track(detections: Detections, row: int) -> int | None:
    if detections.track_id is None or detections.track_id[row] < 0:
        return None
    return int(detections.track_id[row])
