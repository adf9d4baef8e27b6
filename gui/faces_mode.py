"""The mode Faces: the live picture or an album on the stage, the people in their dock, and what leads to and fro.

The window knows this one object; the gallery and all that is shown of it are made when the mode is first opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QVBoxLayout, QWidget

from engine import EngineError
from gui.bridge import Bridge
from gui.live_view import LiveStage
from gui.panels.answer import AnswerPanel
from gui.settings import Settings

if TYPE_CHECKING:
    from engine import CaptureState, FaceMatch, ModelCard, Result
    from gui.album import AlbumStage
    from gui.faces import Faces
    from gui.panels.people import PeoplePanel

NETWORK = "faces"  # the bundled one


class FacesMode(QObject):
    """What the window does in Faces.

    Attributes:
        actions: for the menu and the window's keys.
        dock: what lies in the dock of people; empty until the mode is opened.
        faces, people, album: the gallery, its panel, the album; None until they are needed.
    Signals:
        stage_wanted(QWidget): put this on the stage.
        dock_wanted(): show the dock of people.
        models_wanted(): go to Models.
        failed(BaseException), said(str): for notices and status bar.
    """

    stage_wanted = Signal(object)
    dock_wanted = Signal()
    models_wanted = Signal()
    failed = Signal(object)
    said = Signal(str)

    def __init__(
        self, bridge: Bridge, settings: Settings, *, live: LiveStage, answer: AnswerPanel, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._bridge, self._settings, self._live, self._answer = bridge, settings, live, answer
        self.faces: Faces | None = None
        self.people: PeoplePanel | None = None
        self.album: AlbumStage | None = None
        self._card: ModelCard | None = None
        self._beside: ModelCard | None = None
        self._unusable: set[str] = set()
        self._active = False
        self._coming = True
        self.dock = QWidget()
        self._room = QVBoxLayout(self.dock)
        self._room.setContentsMargins(0, 0, 0, 0)
        self.dock.setMinimumHeight(220)  # its pages are whole then
        self.actions = {
            "camera": self._action("&Add somebody from the camera", "Ctrl+N", lambda panel: panel.add_from_camera()),
            "photos": self._action("Add somebody from &photos…", "", lambda panel: panel.ask_for_photos()),
            "album": self._action("Go through an a&lbum…", "Ctrl+L", lambda panel: panel.ask_for_album()),
        }

    def keys(self) -> list[QAction]:
        """Of the list of people, for the list of shortcuts."""
        return self.people.people.keys if self.people is not None else []

    def make_stage(self) -> QWidget:
        """The live picture; whatever belongs to it is made now."""
        if self.people is None:
            from gui.panels.people import PeoplePanel

            faces = self._open_faces()
            self.people = PeoplePanel(faces, self._settings)
            self.people.camera_wanted.connect(self._open_camera)
            self.people.album_wanted.connect(self.go_through)
            self.people.album_back.connect(self._show_album)
            self.people.models_wanted.connect(self.models_wanted)
            self.people.hint.connect(self._live.picture.set_hint)
            self.people.door.signal.connect(self._live.picture.signal)
            self.people.set_coming(self._coming)
            self._room.addWidget(self.people)
            self._answer.faces.named.connect(self._name)
        return self._live

    def network(self, cards: Sequence[ModelCard], chosen: str) -> str:
        """The network that this mode starts with; "" if there is none."""
        usable = [card.name for card in cards if card.task == "faces" and card.name not in self._unusable]
        self._coming = bool(usable) or not cards  # which are known a moment after the window has opened
        if self.people is not None:
            self.people.set_coming(self._coming)
        return next((name for name in (chosen, NETWORK, *usable) if name in usable), "")

    def without(self, name: str) -> None:
        """This network cannot be loaded: it is not tried again by itself."""
        self._unusable.add(name)

    def set_card(self, card: ModelCard | None) -> None:
        """Another network runs."""
        self._card = card if card is not None and card.task == "faces" else None
        if self.faces is not None:
            self.faces.set_card(self._card or self._beside)

    def set_beside(self, card: ModelCard | None) -> None:
        """This network for faces looks along in Live: if there is a gallery, its people are known there, too."""
        self._beside = card
        if card is not None:
            self._open_faces()
        if self.faces is not None:
            self.faces.set_card(self._card or card)

    def set_active(self, active: bool) -> None:
        """The mode is opened or left; whoever is being enrolled is not, then."""
        if self._active and not active and self.people is not None:
            self.people.leave()
        self._active = active

    def set_result(self, result: Result) -> None:
        """A frame has been read."""
        if self.people is not None and self._active:
            self.people.set_result(result)

    def set_source(self, state: CaptureState) -> None:
        """The source of pictures changed."""
        if self.people is not None and self._active and state.phase in ("waiting", "failed"):
            self.people.door.nothing_plays()

    def open(self, paths: Sequence[Path]) -> None:
        """Who is in this picture? A folder, or several pictures, are an album."""
        if len(paths) == 1 and not paths[0].is_dir():
            self._show_live()
            self._live.open(str(paths[0]))
        else:
            self.go_through(paths[0] if len(paths) == 1 else paths)

    def go_through(self, root: Path | Sequence[Path]) -> None:
        """Look through an album."""
        if self.faces is None or self._card is None:
            self.failed.emit(EngineError("No network for faces is running.", "Choose one at the top right."))
            return
        if self.album is None:
            from gui.album import AlbumStage

            self.album = AlbumStage(self.faces)
            self.album.closed.connect(self._show_live)
            self.album.opened.connect(lambda path: self.open([path]))
        self._show_album()
        self.album.begin(root)

    def close(self) -> None:
        """The window goes, and no thread is left."""
        if self.faces is not None:
            self.faces.close()

    # inside ---------------------------------------------------------------------------------------------------------

    def _action(self, text: str, key: str, slot: Callable[[PeoplePanel], None]) -> QAction:
        action = QAction(text, self)
        action.setShortcut(QKeySequence(key))
        action.setStatusTip(text.replace("&", "").rstrip("…"))

        def act() -> None:
            if self.people is not None:
                self.dock_wanted.emit()
                slot(self.people)

        action.triggered.connect(lambda _=False: act())
        return action

    def _show_album(self) -> None:
        if self.album is not None:
            self.stage_wanted.emit(self.album)
            if self.people is not None:
                self.people.set_album_waits(False)

    def _show_live(self) -> None:
        """The live picture; an album that was begun stays as it is meanwhile."""
        self.stage_wanted.emit(self._live)
        if self.people is not None:
            self.people.set_album_waits(self.album is not None and self.album.begun)

    def _open_faces(self) -> Faces:
        """The gallery's side of the window; it is looked for the first time that this is asked."""
        if self.faces is None:
            from gui.faces import Faces

            self.faces = Faces(self._bridge.call, self._settings, tell=self._bridge.set_people, parent=self)
            self.faces.failed.connect(self.failed)
            self.faces.said.connect(self.said)
            self.faces.changed.connect(self._show_names)
            self.faces.set_card(self._card or self._beside)
            self.faces.begin()
        return self.faces

    def _show_names(self) -> None:
        if self.faces is not None:
            self._answer.faces.set_people(self.faces.names)

    def _open_camera(self) -> None:
        """Something has to move in front of the coach: what plays, or the camera."""
        self._show_live()
        if not self._live.moving:
            self._live.open("camera:")

    def _name(self, face: FaceMatch, name: str) -> None:
        """Somebody said who a face is."""
        faces = self.faces
        if faces is None:
            return
        if faces.state != "open":
            self.dock_wanted.emit()
            words = {
                "locked": EngineError("The gallery is locked.", "Enter its passphrase in People, then say it again."),
                "none": EngineError("There is no gallery yet.", "Start one in People, then say it again."),
            }
            self.failed.emit(words.get(faces.state, EngineError("The gallery is not open.", "Look into People.")))
            return
        frame = self._live.picture.frame
        candidate = faces.from_match(face, frame.source if frame is not None else "")
        if candidate is not None:
            faces.keep([candidate], name=name, person=faces.person_named(name))
