"""Forms made from a dataclass's `Field` metadata; nothing about a single setting is written here.

A new hyper-parameter in `engine.training.config` appears in the form, with its range, help and reset, by itself.
In goes a config, out comes a config; what was typed is judged by the config's own rules, so form, TOML file and
command line never differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from PySide6.QtCore import QEvent, QObject, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QPaintEvent, QPalette, QValidator
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from engine import EngineError, Field, TrainingConfig, replace_file
from gui.theme import theme

_TOML = "Recipes (*.toml);;All files (*)"


class Form(QWidget):
    """One row for every field of a config, under the headings of its groups.

    Signals:
        changed: a setting was edited, by a person or by `set_value`; `value` may now raise.
        failed(EngineError): a recipe could not be opened or saved.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self, kind: type[TrainingConfig] = TrainingConfig, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._kind = kind
        self._defaults: dict[str, Any] = kind().values()
        self._judged: dict[str, tuple[Any, EngineError | None]] = {}  # the value of each field that was judged last
        self._rows: dict[str, _Row] = {}
        self._headings: dict[str, QLabel] = {}
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        grid.setColumnMinimumWidth(2, 26)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(4)
        line = 0
        for name, info in kind.describe().items():
            if info.group not in self._headings:
                heading = QLabel(info.group, self)
                font = heading.font()
                font.setBold(True)
                heading.setFont(font)
                heading.setContentsMargins(0, 10 if line else 0, 0, 2)
                self._headings[info.group] = heading
                grid.addWidget(heading, line, 0, 1, 3)
                line += 1
            row = _Row(name, info, default=self._defaults[name], form=self)
            row.edited.connect(self._on_data if name == "data" else self._on_edited)
            row.place(grid, line)
            self._rows[name] = row
            line += 2
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addLayout(grid)
        outer.addStretch(1)
        theme.changed.connect(self._refresh)  # complaints take the colour of the look
        self._refresh()

    def value(self) -> TrainingConfig:
        """What the form says now.

        Raises:
            EngineError: a setting is wrong; the message also stands beside its field, which takes the focus.
        """
        for name, row in self._rows.items():
            error = self._error_of(name)
            if error is not None and row.relevant:
                row.editor.setFocus()
                raise error
        return self._kind.from_mapping(self._usable())

    @property
    def valid(self) -> bool:
        """Whether `value` would give a config."""
        return all(self._error_of(name) is None for name, row in self._rows.items() if row.relevant)

    def set_value(self, config: TrainingConfig) -> None:
        """Show `config` in all fields."""
        self.set_values(config.values())

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show those of `values` that this form knows; the other fields stay as they are."""
        for name, value in values.items():
            if name in self._rows:
                row = self._rows[name]
                with QSignalBlocker(row):
                    row.set_value(value)
        self._set_defaults()
        self._on_edited()

    def reset(self) -> None:
        """All fields back to their defaults."""
        self.set_values(self._kind().values())

    def editor(self, name: str) -> QWidget:
        """The input of one field: a QComboBox, a NumberBox, a FolderEdit or a QLineEdit."""
        return self._rows[name].editor

    def error_of(self, name: str) -> str:
        """The complaint that stands beside a field, or ""."""
        return self._rows[name].complaint.text()

    def open_recipe(self) -> None:
        """Ask for a TOML file and show what it says."""
        self._ask(QFileDialog.AcceptMode.AcceptOpen, "Open a recipe", self.read_recipe)

    def save_recipe(self) -> None:
        """Ask for a place and write the settings there as TOML."""
        self._ask(QFileDialog.AcceptMode.AcceptSave, "Save the recipe", self.write_recipe)

    def read_recipe(self, path: str) -> None:
        """Show the recipe in the TOML file `path`, or say in `failed` why not."""
        try:
            self.set_value(self._kind.read(Path(path)))
        except EngineError as error:
            self.failed.emit(error)

    def write_recipe(self, path: str) -> None:
        """Write the settings to the TOML file `path`, or say in `failed` why not."""
        try:
            text = self.value().to_toml()
            replace_file(Path(path), lambda place: place.write_text(text, encoding="utf-8"))
        except EngineError as error:
            self.failed.emit(error)

    def _ask(self, mode: QFileDialog.AcceptMode, title: str, chosen: Any) -> None:
        dialog = QFileDialog(self, title, "", _TOML)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(mode)
        dialog.setDefaultSuffix("toml")
        if mode is QFileDialog.AcceptMode.AcceptOpen:
            dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(chosen)
        dialog.open()

    def _usable(self) -> dict[str, Any]:
        # A wrong value in a field that does not matter now must not stand in the way: its default serves.
        return {name: self._defaults[name] if self._error_of(name) else row.value() for name, row in self._rows.items()}

    def _error_of(self, name: str) -> EngineError | None:
        value = self._rows[name].value()
        judged = self._judged.get(name)
        if judged is None or (type(judged[0]), judged[0]) != (type(value), value):
            try:
                self._kind.from_mapping({name: value})
            except EngineError as error:
                judged = value, error
            else:
                judged = value, None
            self._judged[name] = judged
        return judged[1]

    def _on_data(self) -> None:
        """Other data were chosen: what nobody has changed follows what suits them."""
        untouched = [name for name in self._others() if self._rows[name].value() == self._defaults[name]]
        self._set_defaults()
        self.set_values({name: self._defaults[name] for name in untouched})

    def _set_defaults(self) -> None:
        self._defaults = self._kind.suited_to(self._rows["data"].value())
        for name in self._others():
            self._rows[name].default = self._defaults[name]

    def _others(self) -> list[str]:
        return [name for name in self._rows if name != "data"]

    def _on_edited(self) -> None:
        self._refresh()
        self.changed.emit()

    def _refresh(self) -> None:
        """Show and hide rows, reset buttons and complaints by what the fields say now."""
        shown: set[str] = set()
        for name, row in self._rows.items():
            only = row.info.only_for
            row.relevant = only is None or self._rows[only[0]].value() in only[1]
            error = self._error_of(name)
            row.show_state(error.message if error else "")
            if row.relevant:
                shown.add(row.info.group)
        for group, heading in self._headings.items():
            heading.setVisible(group in shown)


class _Row(QObject):
    """Label, input, reset button and complaint of one field."""

    edited = Signal()

    def __init__(self, name: str, info: Field, *, default: Any, form: QWidget) -> None:
        super().__init__(form)
        self.name = name
        self.info = info
        self.default = default
        self.relevant = True
        self.editor = self._make(info, default, form)
        self.editor.setObjectName(name)
        self.editor.setAccessibleName(info.label)
        self.editor.setAccessibleDescription(info.help)
        self.editor.setToolTip(_tip(info, default))
        self.editor.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.editor.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.editor.installEventFilter(self)
        self.label = QLabel(info.label, form)
        self.label.setBuddy(self.editor)
        self.label.setToolTip(_tip(info, default))
        self.reset = QToolButton(form)
        self.reset.setText("↺")
        self.reset.setAutoRaise(True)
        self.reset.setFixedWidth(26)
        shown = dict(info.choices).get(default, default)
        self.reset.setToolTip(f"Back to {_text(shown) if shown != '' else 'nothing'}")
        self.reset.setAccessibleName(f"Reset {info.label}")
        self.reset.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.reset.clicked.connect(lambda: self.set_value(self.default))
        self.complaint = QLabel(form)
        self.complaint.setWordWrap(True)
        self.complaint.setObjectName(f"{name}-complaint")

    def place(self, grid: QGridLayout, line: int) -> None:
        grid.addWidget(self.label, line, 0)
        grid.addWidget(self.editor, line, 1)
        grid.addWidget(self.reset, line, 2)
        grid.addWidget(self.complaint, line + 1, 0, 1, 3)

    def value(self) -> Any:
        editor = self.editor
        if isinstance(editor, QComboBox):
            return editor.currentData()
        if isinstance(editor, NumberBox):
            return editor.value()
        return cast(QLineEdit | FolderEdit, editor).text()

    def set_value(self, value: Any) -> None:
        editor = self.editor
        if isinstance(editor, QComboBox):
            editor.setCurrentIndex(editor.findData(value))
        elif isinstance(editor, NumberBox):
            editor.set_value(value)
        else:
            cast(QLineEdit | FolderEdit, editor).setText(str(value))

    def show_state(self, complaint: str) -> None:
        self.label.setVisible(self.relevant)
        self.editor.setVisible(self.relevant)
        value = self.value()
        self.reset.setVisible(self.relevant and (type(value), value) != (type(self.default), self.default))
        self.complaint.setText(complaint)
        self.complaint.setVisible(self.relevant and bool(complaint))
        if bool(complaint) != bool(self.editor.property("wrong")):
            self.editor.setProperty("wrong", bool(complaint))
            self.editor.style().polish(self.editor)
        if complaint:
            palette = self.complaint.palette()
            palette.setColor(QPalette.ColorRole.WindowText, theme.colour("danger"))
            self.complaint.setPalette(palette)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        # Scrolling the form must not change the field that happens to lie under the pointer.
        if event.type() == QEvent.Type.Wheel and not self.editor.hasFocus():
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    def _make(self, info: Field, default: Any, form: QWidget) -> QWidget:
        if info.choices:
            combo = ChoiceBox(form)
            for value, title in info.choices:
                combo.addItem(title, value)
                combo.setItemData(combo.count() - 1, title, Qt.ItemDataRole.ToolTipRole)
            combo.setCurrentIndex(combo.findData(default))
            combo.currentIndexChanged.connect(self.edited)
            return combo
        if isinstance(default, (int, float)):
            box = NumberBox(
                whole=isinstance(default, int), low=info.low, high=info.high, logarithmic=info.logarithmic, parent=form
            )
            box.set_value(default)
            box.edited.connect(self.edited)
            return box
        if info.path:
            folder = FolderEdit(f"Choose: {info.label}", form)
            folder.setText(default)
            folder.edited.connect(self.edited)
            return folder
        line = QLineEdit(default, form)
        line.textChanged.connect(self.edited)
        return line


class ChoiceBox(QComboBox):
    """A list of choices that may be narrower than its texts: "Light: small shifts" then reads "Light"."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)

    def showPopup(self) -> None:
        # The list is as wide as its longest text. It is made of ten widgets, so not before somebody opens it.
        texts = [self.itemText(row) for row in range(self.count())]
        self.view().setMinimumWidth(max(map(self.fontMetrics().horizontalAdvance, texts), default=0) + 36)
        super().showPopup()

    def paintEvent(self, event: QPaintEvent) -> None:
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        text, room = self.currentText(), field.width() - 4
        if self.fontMetrics().horizontalAdvance(text) > room:
            text = self.fontMetrics().elidedText(text.split(": ")[0], Qt.TextElideMode.ElideMiddle, room)
        painter = QStylePainter(self)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        option.currentText = text
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


class NumberBox(QAbstractSpinBox):
    """A number as people write it ("0.005", "3e-4", "1 000"), with steps that suit its size.

    Whatever is typed stays as typed, so that a wrong number can be explained instead of silently changed.

    Signals:
        edited: the text has changed.
    """

    edited = Signal()

    def __init__(
        self,
        *,
        whole: bool,
        low: float | None = None,
        high: float | None = None,
        logarithmic: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._whole = whole
        self._low = -math.inf if low is None else low
        self._high = math.inf if high is None else high
        self._logarithmic = logarithmic
        self.lineEdit().setTextMargins(6, 0, 0, 0)  # where the text of a list begins
        self.lineEdit().textChanged.connect(lambda _: self.edited.emit())

    def value(self) -> int | float | str:
        """The number, or the text itself where it is none."""
        text = self.lineEdit().text()
        plain = text.strip().replace("−", "-").replace(" ", "").replace("\u202f", "").replace(",", ".")
        try:
            number = float(plain)
        except ValueError:
            return text
        if self._whole and math.isfinite(number) and number == int(number):
            return int(number)
        return number

    def set_value(self, value: object) -> None:
        self.lineEdit().setText(_text(value))

    def stepBy(self, steps: int) -> None:
        """One step for an arrow, ten (a decade, where the number is logarithmic) for a page key."""
        now = self.value()
        number = float(now) if isinstance(now, (int, float)) and math.isfinite(now) else max(self._low, 0.0)
        for _ in range(abs(steps) if not self._logarithmic or abs(steps) < 10 else 1):
            if self._logarithmic:
                number = self._stepped_by_factor(number, steps)
            else:
                number = self._stepped_by_size(number, 1 if steps > 0 else -1)
        number = min(max(number, self._low), self._high)
        self.set_value(int(number) if self._whole else number)
        self.selectAll()

    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:
        now = self.value()
        flags = QAbstractSpinBox.StepEnabledFlag.StepNone
        if not isinstance(now, str):
            if now < self._high:
                flags |= QAbstractSpinBox.StepEnabledFlag.StepUpEnabled
            if now > self._low:
                flags |= QAbstractSpinBox.StepEnabledFlag.StepDownEnabled
        return flags

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        return QValidator.State.Acceptable, text, position

    def _stepped_by_factor(self, number: float, steps: int) -> float:
        """Powers of two for whole numbers, 1 · 2 · 5 · 10 for the others; a page is a factor of ten (sixteen)."""
        if number <= 0:
            return max(self._low, 1.0 if self._whole else 1e-4)
        if self._whole:
            power = math.log2(number)
            size = 4 if abs(steps) >= 10 else 1
            return 2.0 ** (math.floor(power + 1e-9) + size if steps > 0 else math.ceil(power - 1e-9) - size)
        if abs(steps) >= 10:
            return _rounded(number * (10.0 if steps > 0 else 0.1))
        decade = math.floor(math.log10(number))
        marks = [m * 10.0**d for d in (decade - 1, decade, decade + 1) for m in (1, 2, 5)]
        if steps > 0:
            return _rounded(min(mark for mark in marks if mark > number * 1.0001))
        return _rounded(max(mark for mark in marks if mark < number * 0.9999))

    def _stepped_by_size(self, number: float, direction: int) -> float:
        """One in the first digit of a fraction (0.1 to 0.2), in the second of a whole number (300 to 310)."""
        if not number:
            step = 1.0 if self._whole else 0.01
        else:
            # At 0.1 the way down is the way of 0.09.
            decade = math.floor(math.log10(abs(number)) + (1e-9 if direction * number > 0 else -1e-9))
            step = max(1.0, 10.0 ** (decade - 1)) if self._whole else 10.0**decade
        return _rounded(number + direction * step)


class FolderEdit(QWidget):
    """A folder's path: typed, chosen with the button or dropped.

    Signals:
        edited: the path has changed.
    """

    edited = Signal()

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self.setAcceptDrops(True)
        self._line = QLineEdit(self)
        self._line.setPlaceholderText("Drop or choose…")
        self._line.setAcceptDrops(False)  # a dropped folder reaches this widget, not the text as a URL
        self._line.textChanged.connect(lambda _: self.edited.emit())
        self._button = QToolButton(self)
        self._button.setIcon(theme.icon("open"))
        theme.changed.connect(self._restyle)
        self._button.setToolTip(title)
        self._button.setAccessibleName(title)
        self._button.clicked.connect(self.choose)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._line, 1)
        layout.addWidget(self._button)
        self.setFocusProxy(self._line)

    def text(self) -> str:
        return self._line.text().strip()

    def setText(self, text: str) -> None:
        self._line.setText(text)

    def setAccessibleName(self, name: str) -> None:
        super().setAccessibleName(name)
        self._line.setAccessibleName(name)

    def choose(self) -> None:
        """Ask for a folder without blocking the window."""
        dialog = QFileDialog(self, self._title, self.text())
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(self.setText)
        dialog.open()

    def _restyle(self) -> None:
        self._button.setIcon(theme.icon("open"))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        for url in event.mimeData().urls():
            if url.isLocalFile():
                path = Path(url.toLocalFile())
                self.setText(str(path if path.is_dir() else path.parent))
                event.acceptProposedAction()
                return


def _text(value: object) -> str:
    """The shortest text that reads back as the same number: 0.005, 3e-7, 256."""
    if isinstance(value, float):
        text = repr(value)
        if "e" in text:
            digits, power = text.split("e")
            return f"{digits.removesuffix('.0')}e{int(power)}"
        return text.removesuffix(".0")
    return str(value)


def _rounded(number: float) -> float:
    """Steps add up in decimals, not in binary fractions: 0.1 + 0.2 is 0.3."""
    return float(f"{number:.10g}")


def _tip(info: Field, default: Any) -> str:
    """A tooltip that wraps: what the setting does, its range, its default."""
    parts = [info.help]
    if info.low is not None and info.high is not None:
        parts.append(f"{info.low:g} to {info.high:g}, usually {_text(default)}.")
    return "<qt>" + "<br>".join(part.replace("<", "&lt;") for part in parts) + "</qt>"
