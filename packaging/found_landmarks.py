"""Give the crops that the face network learns from landmarks where they have none of their own:
`python packaging/found_landmarks.py FOLDER OUT`.

FOLDER holds `identities.csv.gz` and the archives that it names; OUT gets the same list and links to everything else, so
it can be named as the folder of a recipe. In two thirds of the crops the landmarks lie where a template has them; here
our own face detector looks for them, as it does wherever the network is used. Where it finds no face they stay, and
where it finds one that is elsewhere, too: that is another one.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import shipped  # noqa: F401  (lets the engine be found)

from engine import zoo
from engine.data.faces import _PARTS, _crops_of, _Row, _rows
from engine.types import Floats, Image
from engine.vision.evaluate import face_of_crop
from engine.vision.faces import FaceReader

LIST = "identities.csv.gz"
TOGETHER = 64  # crops that are handed to a process at a time
ELSEWHERE = 0.3  # of the distance between the eyes, from where the template has them: 2 to 3 % of what is found

_readers: list[FaceReader] = []


def look(crops: list[tuple[str, Image]]) -> list[tuple[str, Floats | None]]:
    """Where the landmarks (5, 2) of each of some crops are; None: no face was found."""
    if not _readers:
        _readers.append(FaceReader(zoo.model_card("faces")))
    found = []
    for file, image in crops:
        face = face_of_crop(_readers[0], image)
        found.append((file, None if face is None or face.landmarks is None else face.landmarks[0]))
    return found


def together(root: Path, rows: list[_Row]) -> Iterator[list[tuple[str, Image]]]:
    """The crops, some at a time."""
    some: list[tuple[str, Image]] = []
    for row, image in _crops_of(root, rows, print):
        some.append((row.file, image))
        if len(some) == TOGETHER:
            yield some
            some = []
    if some:
        yield some


def distance(landmarks: Floats, others: Floats) -> float:
    """Between landmarks (5, 2) on the average, in distances between the eyes of the others."""
    apart = np.linalg.norm(landmarks - others, axis=1).mean()
    return float(apart / np.linalg.norm(others[0] - others[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    root, out = arguments.folder.resolve(), arguments.out
    rows = [row for row in _rows(root) if row.split.startswith("train") and not row.detected]
    template = {row.file: row.landmarks for row in rows}
    places: dict[str, Floats] = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(look, together(root, rows)):
            places.update(
                (file, landmarks)
                for file, landmarks in found
                if landmarks is not None and distance(landmarks, template[file]) < ELSEWHERE
            )
            print(f"\r{len(places)} of {len(rows)}", end="", flush=True)
    print()
    out.mkdir(parents=True, exist_ok=True)
    for path in root.iterdir():
        if path.name != LIST and not (out / path.name).exists():
            (out / path.name).symlink_to(path)
    with (
        gzip.open(root / LIST, "rt", encoding="utf-8", newline="") as before,
        gzip.open(out / LIST, "wt", encoding="utf-8", newline="") as after,
    ):
        lines = csv.DictReader(before)
        writer = csv.DictWriter(after, lines.fieldnames or ())
        writer.writeheader()
        for line in lines:
            landmarks = places.get(line["file"])
            if landmarks is not None:
                for part, (x, y) in zip(_PARTS, landmarks, strict=True):
                    line |= {f"{part}_x": f"{x:.2f}", f"{part}_y": f"{y:.2f}", "landmarks_source": "found"}
            writer.writerow(line)


if __name__ == "__main__":
    main()
