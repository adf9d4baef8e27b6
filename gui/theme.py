"""How the window looks: greys for the frame, one accent, light and dark; icons that take the colour of the text.

The one `theme` is asked for colours when something is painted and says `changed` when they are others. Colour is for
data: maps are viridis, or blue–white–red where values have a sign; classes take the Okabe–Ito colours, which people
who see red and green alike can tell apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from PySide6.QtCore import QByteArray, QObject, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QGuiApplication, QIcon, QPainter, QPalette, QPen, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication, QStyle, QStyleOptionViewItem, QWidget

Choice: TypeAlias = Literal["system", "light", "dark"]

ICONS = Path(__file__).resolve().parent.parent / "resources" / "icons"
SPACE = (4, 8, 12, 16)  # the only distances in the window
OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")


@dataclass(frozen=True)
class Colours:
    """One look; `#rrggbb` each."""

    window: str  # the frame
    base: str  # where content lies
    raised: str  # cards, buttons
    hover: str
    line: str
    text: str
    dim: str  # secondary text, still 4.5:1 on window and base
    track: str  # the empty part of a bar
    accent: str
    on_accent: str
    soft: str  # a ground tinted with the accent
    quiet: str  # a bar that is not the answer
    warning: str
    danger: str
    paper: str
    ink: str


LIGHT = Colours(
    window="#f2f3f5",
    base="#ffffff",
    raised="#fafbfc",
    hover="#e7e9ed",
    line="#d6d9df",
    text="#1c1f24",
    dim="#5a616c",
    track="#e9ebef",
    accent="#2460c8",
    on_accent="#ffffff",
    soft="#e3ecfb",
    quiet="#aab2be",
    warning="#8a5a00",
    danger="#b3261e",
    paper="#ffffff",
    ink="#14161a",
)
DARK = Colours(
    window="#1d1f23",
    base="#25282d",
    raised="#2d3036",
    hover="#363a41",
    line="#3c4149",
    text="#e8eaee",
    dim="#a5acb8",
    track="#33373e",
    accent="#74a8ff",
    on_accent="#0d1729",
    soft="#2a3a57",
    quiet="#6d7684",
    warning="#f0bd5c",
    danger="#ff8a80",
    paper="#f3f3f0",
    ink="#14161a",
)

_QSS = """
QToolTip {{ background: {raised}; color: {text}; border: 1px solid {line}; padding: 4px; }}
QMainWindow::separator {{ background: {window}; width: 6px; height: 6px; }}
QMainWindow::separator:hover {{ background: {hover}; }}
QSplitter::handle {{ background: transparent; image: none; }}
QWidget[sheet="true"] {{ background: {base}; }}
QToolBar {{ background: {window}; border: 0; padding: 4px 8px; spacing: 4px; }}
QToolButton {{ border: 1px solid transparent; border-radius: 6px; padding: 4px; color: {text}; }}
QToolButton:hover {{ background: {hover}; }}
QToolButton:pressed {{ background: {line}; }}
QToolButton:checked {{ background: {soft}; color: {accent}; }}
QToolButton:focus {{ border-color: {accent}; }}
QToolButton:disabled {{ color: {quiet}; }}
QToolButton[popupMode="1"] {{ padding-right: 16px; }}
QToolButton[popupMode="2"] {{ padding: 4px 12px 4px 8px; background: {raised}; border-color: {line}; }}
QToolButton[popupMode="2"]:hover {{ background: {hover}; }}
QToolButton[popupMode="2"]:focus {{ border-color: {accent}; }}
QToolButton::menu-button {{ border: 0; width: 16px; }}
QToolButton::menu-button:hover {{ background: {hover}; border-radius: 6px; }}
QToolButton::menu-indicator {{ image: none; width: 0px; }}
QToolButton[mode="true"] {{ padding: 5px 12px; font-weight: 500; }}
QToolButton[small="true"] {{ padding: 2px; }}
QToolButton[chip="true"] {{ padding: 3px 10px; background: {raised}; border: 1px solid {line}; }}
QToolButton[chip="true"]:hover {{ background: {hover}; }}
QToolButton[chip="true"]:checked {{ background: {soft}; border-color: {accent}; color: {accent}; }}
QStatusBar {{ background: {window}; color: {dim}; }}
QStatusBar::item {{ border: 0; }}
QStatusBar QLabel {{ color: {dim}; padding: 0px 8px; }}
QPushButton {{ background: {raised}; border: 1px solid {line}; border-radius: 6px; padding: 5px 14px; color: {text}; }}
QPushButton:hover {{ background: {hover}; }}
QPushButton:pressed {{ background: {line}; }}
QPushButton:focus {{ border-color: {accent}; }}
QPushButton:disabled {{ color: {quiet}; }}
QPushButton[primary="true"] {{ background: {accent}; color: {on_accent}; border-color: {accent}; font-weight: 600; }}
QPushButton[primary="true"]:focus {{ border-color: {text}; }}
QPushButton[primary="true"]:disabled {{ background: {track}; color: {dim}; border-color: {line}; }}
QComboBox {{ background: {raised}; border: 1px solid {line}; border-radius: 6px; padding: 4px 8px; color: {text}; }}
QComboBox:hover {{ background: {hover}; }}
QComboBox:focus, QComboBox:on {{ border-color: {accent}; }}
QComboBox:disabled {{ color: {quiet}; }}
QComboBox {{ combobox-popup: 0; }}
QComboBox QAbstractItemView::item {{ padding: 4px 6px; min-height: 18px; border-radius: 4px; }}
QComboBox QAbstractItemView::item:selected {{ background: {soft}; color: {text}; }}
QComboBox::drop-down {{ border: 0; width: 22px; }}
QComboBox::down-arrow {{ image: url("{arrow}"); width: 14px; height: 14px; }}
QComboBox QAbstractItemView {{
  background: {raised}; border: 1px solid {line}; padding: 4px;
  selection-background-color: {soft}; selection-color: {text};
}}
QLineEdit, QAbstractSpinBox {{
  background: {raised}; border: 1px solid {line}; border-radius: 6px; padding: 4px 8px; color: {text};
  selection-background-color: {accent}; selection-color: {on_accent};
}}
QLineEdit:hover, QAbstractSpinBox:hover {{ background: {hover}; }}
QLineEdit:focus, QAbstractSpinBox:focus {{ border-color: {accent}; background: {base}; }}
QLineEdit[wrong="true"], QAbstractSpinBox[wrong="true"] {{ border-color: {danger}; }}
QAbstractSpinBox {{ padding: 3px 22px 3px 0px; }}
QAbstractSpinBox QLineEdit {{ border: 0; padding: 0; background: transparent; }}
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button {{
  subcontrol-origin: border; width: 22px; border: 0; background: transparent;
}}
QAbstractSpinBox::up-button {{ subcontrol-position: top right; }}
QAbstractSpinBox::down-button {{ subcontrol-position: bottom right; }}
QAbstractSpinBox::up-arrow {{ image: url("{arrow_up}"); width: 11px; height: 11px; top: 2px; }}
QAbstractSpinBox::down-arrow {{ image: url("{arrow}"); width: 11px; height: 11px; bottom: 2px; }}
QAbstractSpinBox::up-button:hover, QAbstractSpinBox::down-button:hover {{ background: {line}; border-radius: 4px; }}
QMenu {{ background: {raised}; border: 1px solid {line}; padding: 4px; }}
QMenu::item {{ padding: 5px 24px 5px 12px; border-radius: 4px; }}
QMenu::icon {{ padding-left: 8px; }}
QMenu::item:selected {{ background: {soft}; color: {text}; }}
QMenu::item:disabled {{ color: {quiet}; }}
QMenu::separator {{ height: 1px; background: {line}; margin: 4px 8px; }}
QMenuBar {{ background: {window}; padding: 2px 4px; }}
QMenuBar::item {{ padding: 4px 8px; border-radius: 4px; background: transparent; }}
QMenuBar::item:selected {{ background: {hover}; }}
QCheckBox {{ spacing: 6px; }}
QCheckBox::indicator, QTreeView::indicator, QListView::indicator {{
  width: 14px; height: 14px; border: 1px solid {quiet}; border-radius: 3px; background: {base};
}}
QTreeView::indicator, QListView::indicator {{ width: 12px; height: 12px; }}
QCheckBox::indicator:hover, QCheckBox::indicator:focus {{ border-color: {accent}; }}
QCheckBox::indicator:checked, QTreeView::indicator:checked, QListView::indicator:checked {{
  background: {accent}; border-color: {accent}; image: url("{tick}");
}}
QCheckBox::indicator:checked:focus {{ border-color: {text}; }}
QCheckBox::indicator:disabled {{ border-color: {line}; }}
QCheckBox::indicator:checked:disabled {{ background: {quiet}; border-color: {quiet}; }}
QScrollArea {{ border: 0; background: transparent; }}
QScrollBar:vertical {{ background: transparent; width: 10px; margin: 0; }}
QScrollBar:horizontal {{ background: transparent; height: 10px; margin: 0; }}
QScrollBar::handle {{ background: {line}; border-radius: 4px; min-height: 28px; min-width: 28px; margin: 1px; }}
QScrollBar::handle:hover {{ background: {quiet}; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
QMainWindow > QTabBar::tab {{ background: {window}; color: {dim}; border: 0; padding: 5px 14px; margin-right: 4px; }}
QMainWindow > QTabBar::tab:hover {{ background: {hover}; }}
QMainWindow > QTabBar::tab:selected {{ background: {soft}; color: {accent}; border-radius: 6px; }}
QProgressBar {{ background: {track}; border: 0; border-radius: 3px; max-height: 6px; min-height: 6px; }}
QProgressBar::chunk {{ background: {accent}; border-radius: 3px; }}
QSlider::groove:vertical {{ background: {accent}; width: 4px; border-radius: 2px; }}
QSlider::sub-page:vertical {{ background: {line}; border-radius: 2px; }}
QSlider::handle:vertical {{
  background: {base}; border: 2px solid {accent}; width: 10px; height: 10px; margin: 0 -5px; border-radius: 7px;
}}
QSlider::handle:vertical:focus {{ background: {accent}; }}
QSlider::groove:horizontal {{ background: {line}; height: 4px; border-radius: 2px; }}
QSlider::sub-page:horizontal {{ background: {accent}; border-radius: 2px; }}
QSlider::sub-page:horizontal:disabled {{ background: {line}; }}
QSlider::handle:horizontal {{
  background: {base}; border: 2px solid {accent}; width: 10px; height: 10px; margin: -5px 0; border-radius: 7px;
}}
QSlider::handle:horizontal:disabled {{ border-color: {quiet}; }}
QSlider::handle:horizontal:focus {{ background: {accent}; }}
QListView, QTreeView, QTableView {{
  background: {base}; border: 1px solid {line}; border-radius: 6px;
  selection-background-color: {soft}; selection-color: {text};
}}
QLabel[role="title"] {{ font-weight: 600; color: {text}; }}
QLabel[role="dim"] {{ color: {dim}; }}
QFrame[card="true"] {{ background: {base}; border: 1px solid {line}; border-radius: 8px; }}
QFrame[notice="true"] {{ background: {raised}; border: 1px solid {quiet}; border-radius: 8px; }}
QFrame[line="true"] {{ background: {line}; border: 0; max-height: 1px; min-height: 1px; }}
QPlainTextEdit {{ background: {window}; border: 1px solid {line}; border-radius: 6px; color: {text}; }}
"""


class Theme(QObject):
    """The look in force. Signals: `changed()` after palette and style sheet have been replaced."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.colours = LIGHT
        self.choice: Choice = "system"
        self._watching = False
        self._icons: dict[tuple[str, str], QIcon] = {}

    @property
    def dark(self) -> bool:
        return self.colours is DARK

    def apply(self, choice: Choice = "system") -> None:
        """Take the look the user chose; "system" follows the system, also when it changes later."""
        self.choice = choice
        hints = QGuiApplication.styleHints()
        if not self._watching:
            self._watching = True
            hints.colorSchemeChanged.connect(self._system_changed)
        if choice == "system":
            dark = hints.colorScheme() == Qt.ColorScheme.Dark
        else:
            dark = choice == "dark"
        self._take(DARK if dark else LIGHT)

    def icon(self, name: str) -> QIcon:
        """A line icon of `resources/icons` in the colours of the text; checked ones in the accent."""
        key = (name, self.colours.text)
        if key not in self._icons:
            self._icons[key] = self._draw(name)
        return self._icons[key]

    def pixmap(self, name: str, size: int, colour: str, ratio: float = 1.0) -> QPixmap:
        """An icon as one picture of `size` logical pixels."""
        svg = (ICONS / f"{name}.svg").read_text(encoding="utf-8").replace("currentColor", colour)
        renderer = QSvgRenderer(QByteArray(svg.encode()))
        pixmap = QPixmap(QSize(round(size * ratio), round(size * ratio)))
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        renderer.render(painter, QRectF(0, 0, pixmap.width(), pixmap.height()))
        painter.end()
        pixmap.setDevicePixelRatio(ratio)
        return pixmap

    def colour(self, name: str, alpha: int = 255) -> QColor:
        """A colour of the look by its field's name."""
        colour = QColor(getattr(self.colours, name))
        colour.setAlpha(alpha)
        return colour

    def _system_changed(self) -> None:
        if self.choice == "system":
            self.apply("system")

    def _take(self, colours: Colours) -> None:
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        self.colours = colours
        app.setPalette(_palette(colours))
        app.setStyleSheet(_QSS.format(**_signs(dark=colours is DARK), **vars(colours)))
        self.changed.emit()

    def _draw(self, name: str) -> QIcon:
        icon = QIcon()
        c = self.colours
        ratio = max((screen.devicePixelRatio() for screen in QGuiApplication.screens()), default=1.0)
        states = (
            (c.text, QIcon.Mode.Normal, QIcon.State.Off),
            (c.accent, QIcon.Mode.Normal, QIcon.State.On),
            (c.quiet, QIcon.Mode.Disabled, QIcon.State.Off),
            (c.text, QIcon.Mode.Selected, QIcon.State.Off),
        )
        for colour, mode, state in states:
            icon.addPixmap(self.pixmap(name, 20, colour, ratio), mode, state)
        return icon


theme = Theme()


def app_icon() -> QIcon:
    """The program's own icon."""
    return QIcon(str(ICONS / "convscope.svg"))


def set_role(widget: QWidget, **properties: object) -> None:
    """Give a widget the properties by which the style sheet knows it (`role="dim"`, `card=True`)."""
    for name, value in properties.items():
        widget.setProperty(name, value)


def scaled_font(widget: QWidget, factor: float, *, bold: bool = False) -> QFont:
    """The widget's own font, larger; works whether the system states points or pixels."""
    font = QFont(widget.font())
    if font.pointSizeF() > 0:
        font.setPointSizeF(font.pointSizeF() * factor)
    else:
        font.setPixelSize(round(font.pixelSize() * factor))
    if bold:
        font.setWeight(QFont.Weight.DemiBold)
    return font


def begin_row(
    painter: QPainter, option: QStyleOptionViewItem, *, inset: int = 2, radius: int = 4, ringed: bool = False
) -> QRectF:
    """Paint the ground of a row in a list, tinted where it is chosen or under the pointer; returns the row's area.

    Args:
        ringed: the chosen one has a line around it while the list has the focus.
    """
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    area = QRectF(option.rect).adjusted(inset, inset, -inset, -inset)
    chosen = bool(option.state & QStyle.StateFlag.State_Selected)
    if chosen or option.state & QStyle.StateFlag.State_MouseOver:
        ring = ringed and chosen and bool(option.state & QStyle.StateFlag.State_HasFocus)
        painter.setPen(QPen(theme.colour("accent"), 1.4) if ring else Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour("soft" if chosen else "hover"))
        painter.drawRoundedRect(area, radius, radius)
    return area


def begin_tile(painter: QPainter, option: QStyleOptionViewItem) -> QRectF:
    """The same for a picture in a grid, where several may be chosen and the one with the focus is always ringed."""
    painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
    area = QRectF(option.rect).adjusted(2, 2, -2, -2)
    chosen = bool(option.state & QStyle.StateFlag.State_Selected)
    focused = bool(option.state & QStyle.StateFlag.State_HasFocus)
    if chosen or focused or option.state & QStyle.StateFlag.State_MouseOver:
        painter.setPen(QPen(theme.colour("accent"), 1.6) if chosen or focused else Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour("soft" if chosen else "hover"))
        painter.drawRoundedRect(area, 6, 6)
    return area


def _signs(*, dark: bool) -> dict[str, str]:
    look = "dark" if dark else "light"
    names = {"arrow": f"arrow-{look}.svg", "arrow_up": f"arrow-up-{look}.svg", "tick": f"tick-{look}.svg"}
    return {key: (ICONS / name).as_posix() for key, name in names.items()}


def _palette(c: Colours) -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    for which, colour in (
        (role.Window, c.window),
        (role.WindowText, c.text),
        (role.Base, c.base),
        (role.AlternateBase, c.raised),
        (role.ToolTipBase, c.raised),
        (role.ToolTipText, c.text),
        (role.Text, c.text),
        (role.PlaceholderText, c.dim),
        (role.Button, c.raised),
        (role.ButtonText, c.text),
        (role.BrightText, c.danger),
        (role.Highlight, c.accent),
        (role.HighlightedText, c.on_accent),
        (role.Link, c.accent),
        (role.LinkVisited, c.accent),
        (role.Light, c.raised),
        (role.Midlight, c.hover),
        (role.Mid, c.line),
        (role.Dark, c.line),
        (role.Shadow, "#000000"),
        (role.Accent, c.accent),
    ):
        palette.setColor(which, QColor(colour))
    for which in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, which, QColor(c.quiet))
    return palette
