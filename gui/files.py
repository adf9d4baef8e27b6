"""Questions for a file, which remember the folder of the last answer."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QStandardPaths
from PySide6.QtWidgets import QFileDialog, QWidget

from gui.settings import Settings

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".ogv", ".mjpeg")


def ask_for_picture_or_video(parent: QWidget, settings: Settings) -> Path | None:
    """A file that can be looked at; None: the person thought better of it."""
    patterns = " ".join(f"*{suffix}" for suffix in (*PICTURES, *VIDEOS))
    name, _ = QFileDialog.getOpenFileName(
        parent,
        "Open a picture or a video",
        settings.text("folder"),
        f"Pictures and videos ({patterns});;All files (*)",
    )
    return _remembered(settings, Path(name), Path(name).parent) if name else None


def ask_for_file(parent: QWidget, settings: Settings, *, title: str, kinds: str) -> Path | None:
    """A file with a network; `kinds` are Qt's filters."""
    name, _ = QFileDialog.getOpenFileName(parent, title, settings.text("model-folder", settings.text("folder")), kinds)
    if not name:
        return None
    settings.set("model-folder", str(Path(name).parent))
    return Path(name)


def ask_for_folder(parent: QWidget, settings: Settings) -> Path | None:
    """A folder of pictures."""
    name = QFileDialog.getExistingDirectory(parent, "Open a folder of pictures", settings.text("folder"))
    return _remembered(settings, Path(name), Path(name)) if name else None


def ask_where_to_sort(parent: QWidget, start: str) -> Path | None:
    """A folder in which folders of pictures are made; `start` need not be there yet."""
    place = Path(start) if start else Path.home()
    while not place.is_dir() and place != place.parent:
        place = place.parent
    name = QFileDialog.getExistingDirectory(parent, "Sort into this folder", str(place))
    return Path(name) if name else None


def ask_for_pictures(parent: QWidget, settings: Settings) -> list[Path]:
    """Some pictures; none: the person thought better of it."""
    patterns = " ".join(f"*{suffix}" for suffix in PICTURES)
    names, _ = QFileDialog.getOpenFileNames(
        parent, "Open pictures", settings.text("folder"), f"Pictures ({patterns});;All files (*)"
    )
    paths = [Path(name) for name in names]
    if paths:
        settings.set("folder", str(paths[0].parent))
    return paths


def ask_for_people_folder(parent: QWidget, settings: Settings) -> Path | None:
    """A folder in which every person has a folder."""
    name = QFileDialog.getExistingDirectory(
        parent, "Open a folder with a folder for each person", settings.text("folder")
    )
    return _remembered(settings, Path(name), Path(name)) if name else None


def ask_for_gallery(parent: QWidget, settings: Settings) -> Path | None:
    """An encrypted copy of a gallery."""
    start = settings.text("gallery-folder", settings.text("folder"))
    name, _ = QFileDialog.getOpenFileName(
        parent, "Take in a copy of a gallery", start, "Galleries of ConvScope (*.faces);;All files (*)"
    )
    return Path(name) if name else None


def ask_where_to_log(parent: QWidget, settings: Settings) -> Path | None:
    """A file that gets a line for every visit."""
    start = Path(settings.text("log-folder", str(Path.home()))) / "visits.csv"
    name, _ = QFileDialog.getSaveFileName(
        parent,
        "A line for every visit",
        str(start),
        "Tables (*.csv)",
        options=QFileDialog.Option.DontConfirmOverwrite,  # lines are added at its end
    )
    if not name:
        return None
    path = Path(name) if Path(name).suffix else Path(name).with_suffix(".csv")
    settings.set("log-folder", str(path.parent))
    return path


def ask_where_to_save_gallery(parent: QWidget, settings: Settings) -> Path | None:
    """A place for an encrypted copy of the gallery."""
    start = Path(settings.text("gallery-folder", str(Path.home()))) / "people.faces"
    name, _ = QFileDialog.getSaveFileName(
        parent, "Save an encrypted copy", str(start), "Galleries of ConvScope (*.faces)"
    )
    if not name:
        return None
    path = Path(name) if Path(name).suffix else Path(name).with_suffix(".faces")
    settings.set("gallery-folder", str(path.parent))
    return path


def ask_where_to_save(parent: QWidget, settings: Settings, *, title: str, name: str) -> Path | None:
    """A place for a PNG picture; `name` is what it would be called."""
    start = Path(settings.text("folder", str(Path.home()))) / name
    chosen, _ = QFileDialog.getSaveFileName(parent, title, str(start), "PNG pictures (*.png)")
    if not chosen:
        return None
    path = Path(chosen) if Path(chosen).suffix else Path(chosen).with_suffix(".png")
    return _remembered(settings, path, path.parent)


def ask_where_to_record(parent: QWidget, settings: Settings, *, name: str) -> Path | None:
    """A place for a video; `name` is what it would be called."""
    usual = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.MoviesLocation)
    start = Path(settings.text("video-folder", usual)) / name
    kinds = "MP4 videos (*.mp4);;Matroska videos (*.mkv);;AVI videos (*.avi)"
    chosen, kind = QFileDialog.getSaveFileName(parent, "Record to", str(start), kinds)
    if not chosen:
        return None
    path = Path(chosen)
    if path.suffix.lower() not in (".mp4", ".mkv", ".avi"):
        path = path.with_name(path.name + (".mkv" if "mkv" in kind else ".avi" if "avi" in kind else ".mp4"))
    settings.set("video-folder", str(path.parent))
    return path


def ask_where_to_export(parent: QWidget, settings: Settings, *, name: str) -> Path | None:
    """A place for a file of boxes; `name` is what it would be called."""
    start = Path(settings.text("video-folder", str(Path.home()))) / name
    kinds = "COCO, for labelling tools and training (*.json);;Table, one box a line (*.csv)"
    chosen, kind = QFileDialog.getSaveFileName(parent, "Write the boxes to", str(start), kinds)
    if not chosen:
        return None
    path = Path(chosen)
    if path.suffix.lower() not in (".json", ".csv"):
        path = path.with_name(path.name + (".csv" if "csv" in kind else ".json"))
    settings.set("video-folder", str(path.parent))
    return path


def ask_where_to_write_table(parent: QWidget, settings: Settings, *, title: str, name: str) -> Path | None:
    """A place for a table; `name` is what it would be called."""
    start = Path(settings.text("log-folder", str(Path.home()))) / name
    chosen, _ = QFileDialog.getSaveFileName(parent, title, str(start), "Tables (*.csv)")
    if not chosen:
        return None
    path = Path(chosen) if Path(chosen).suffix else Path(chosen).with_suffix(".csv")
    settings.set("log-folder", str(path.parent))
    return path


def _remembered(settings: Settings, path: Path, folder: Path) -> Path:
    settings.set("folder", str(folder))
    return path
