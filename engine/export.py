"""Detections on their way out: boxes of pictures and frames as a file that other programs read.

Two kinds: COCO's JSON, which labelling tools and trainers take, and CSV, one box a line, for a spreadsheet. Boxes are
written as they come, so an hour of video needs no memory; the file is in its place only once it is whole.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from engine import store
from engine.errors import EngineError
from engine.types import Detections, Frame

COLUMNS = ("file", "frame", "time", "label", "score", "x0", "y0", "x1", "y1", "track")
"""Of a CSV file: frame and time (seconds) are empty for a picture by itself, track where the box is not followed."""


class DetectionExport:
    """An open file of detections. Use it from one thread at a time, and end it with `close` or `discard`.

    In a `with` block it is closed at the end, or discarded where that ends with an error.

    Attributes:
        frames: how many pictures or frames have been added.
        boxes: how many boxes they had.
    """

    def __init__(self, path: Path) -> None:
        """Begin a file; `path` itself is not touched before `close`.

        Args:
            path: ends in ".json" (COCO) or ".csv".

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
        self._coco = path.suffix.lower() == ".json"
        self._categories: dict[str, int] = {}
        self._open: list[TextIO] = []
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._begin("boxes")
            if self._coco:
                # The list of pictures grows beside the list of boxes; it follows it when the file is closed.
                self._pictures = self._begin("pictures")
                self._file.write('{"annotations": [')
            else:
                self._rows = csv.writer(self._file)
                self._rows.writerow(COLUMNS)

    def add(self, frame: Frame, detections: Detections, *, file: str = "") -> None:
        """Write the boxes of one picture or frame.

        Args:
            file: what it is called in the file (default: the frame's source).

        Raises:
            WriteError: the disk is full; the export is discarded.
        """
        file = file or frame.source
        with self._explained():
            if self._coco:
                self._add_to_coco(frame, detections, file)
            else:
                self._add_to_csv(frame, detections, file)
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
                self._file.write('\n], "images": [')
                self._pictures.seek(0)
                shutil.copyfileobj(self._pictures, self._file)
                names = [{"id": number, "name": name} for name, number in self._categories.items()]
                self._file.write(f'\n], "categories": {json.dumps(names)}}}\n')
            written = Path(self._file.name)
            self._file.close()
            store.replace_file(self._path, written.replace)
        self.discard()

    def discard(self) -> None:
        """Throw away what was written; nothing is left. Does nothing once the file is closed."""
        for file in self._open:
            with contextlib.suppress(OSError):
                file.close()  # on a full disk, what is left in memory fails again
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

    def _begin(self, what: str) -> TextIO:
        path = self._path.with_name(f".{self._path.name}.{os.getpid()}.{what}.tmp")
        file = path.open("w+", encoding="utf-8", newline="")
        self._open.append(file)
        return file

    def _add_to_coco(self, frame: Frame, detections: Detections, file: str) -> None:
        for label in detections.labels:
            self._categories.setdefault(label, len(self._categories) + 1)
        height, width = frame.image.shape[:2]
        picture: dict[str, Any] = {"id": self.frames + 1, "file_name": file, "width": width, "height": height}
        if frame.clock is not None:
            picture |= {"frame": frame.index, "time": round(frame.clock, 3)}
        self._pictures.write(f"{',' if self.frames else ''}\n{json.dumps(picture)}")
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
            self._file.write(f"{',' if self.boxes + row else ''}\n{json.dumps(box)}")

    def _add_to_csv(self, frame: Frame, detections: Detections, file: str) -> None:
        moving = frame.clock is not None
        when = (frame.index, f"{frame.clock:.3f}") if moving else ("", "")
        for row in range(len(detections)):
            label = detections.labels[detections.class_id[row]]
            places = (f"{value:.1f}" for value in detections.xyxy[row])
            score = f"{detections.confidence[row]:.4f}"
            track = _track(detections, row)
            self._rows.writerow((file, *when, label, score, *places, "" if track is None else track))

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


def _track(detections: Detections, row: int) -> int | None:
    if detections.track_id is None or detections.track_id[row] < 0:
        return None
    return int(detections.track_id[row])
