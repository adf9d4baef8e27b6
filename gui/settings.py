"""What the window remembers: layout, mode, model, pen, recent files. An INI file under the user's data folder."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QByteArray, QSettings

from engine import data_folder


class Settings:
    """Typed access to the file; a missing or damaged value gives the default, never an error."""

    def __init__(self) -> None:
        folder = data_folder()
        self._store = QSettings(str(folder / "window.ini"), QSettings.Format.IniFormat)

    def text(self, key: str, default: str = "") -> str:
        value = self._store.value(key, default)
        return value if isinstance(value, str) else default

    def number(self, key: str, default: float) -> float:
        try:
            return float(str(self._store.value(key, default)))
        except ValueError:
            return default

    def flag(self, key: str, default: bool) -> bool:
        return str(self._store.value(key, default)).lower() in ("true", "1")

    def texts(self, key: str) -> list[str]:
        value = self._store.value(key, [])
        if isinstance(value, str):  # QSettings writes a list of one as a plain value
            return [value] if value else []
        return [str(item) for item in value] if isinstance(value, list) else []

    def raw(self, key: str) -> QByteArray:
        value = self._store.value(key)
        return value if isinstance(value, QByteArray) else QByteArray()

    def set(self, key: str, value: Any) -> None:
        self._store.setValue(key, value)

    def remove(self, key: str) -> None:
        self._store.remove(key)

    def save(self) -> None:
        self._store.sync()
