"""What a person is asked about an ONNX file that does not tell everything; what is likely is filled in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from gui.theme import scaled_font, set_role

if TYPE_CHECKING:
    from engine import OnnxFound, OnnxQuestion


class OnnxQuestions(QDialog):
    """Asks for a title and for what is not known of the network.

    Attributes:
        answers: by the name of the fact.
        title: what the network is to be called.
    """

    def __init__(self, path: Path, found: OnnxFound, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Import a network")
        self._found = found
        self._fields: dict[str, QWidget] = {}
        heading = QLabel(path.name)
        heading.setFont(scaled_font(heading, 1.2, bold=True))
        heading.setWordWrap(True)
        questions = found.questions()
        told = QLabel(self._told(bool(questions)))
        told.setWordWrap(True)
        set_role(told, role="dim")
        form = QFormLayout()
        form.setHorizontalSpacing(16)
        form.setVerticalSpacing(8)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._name = QLineEdit(path.stem)
        self._name.setAccessibleName("Title")
        self._name.setToolTip("What the network is called in the list")
        self._name.textChanged.connect(lambda _: self._check())
        form.addRow("Title", self._name)
        for question in questions:
            field = self._field(question)
            field.setToolTip(question.help)
            field.setAccessibleName(question.title)
            field.setAccessibleDescription(question.help)
            self._fields[question.name] = field
            label = QLabel(question.title)
            label.setToolTip(question.help)
            label.setBuddy(field)
            form.addRow(label, field)
        self._wrong = QLabel()
        self._wrong.setWordWrap(True)
        self._wrong.setAccessibleName("What is still missing")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.import_button = buttons.addButton("Import", QDialogButtonBox.ButtonRole.AcceptRole)
        set_role(self.import_button, primary="true")
        self.import_button.setDefault(True)
        buttons.button(QDialogButtonBox.StandardButton.Cancel).setIcon(QIcon())  # no other button has one
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(12)
        layout.addWidget(heading)
        layout.addWidget(told)
        layout.addLayout(form)
        layout.addWidget(self._wrong)
        layout.addStretch(1)
        layout.addWidget(buttons)
        self.resize(max(480, self.sizeHint().width()), self.sizeHint().height())
        self._check()

    @property
    def answers(self) -> dict[str, Any]:
        return {name: self._answer(field) for name, field in self._fields.items()}

    @property
    def title(self) -> str:
        return self._name.text().strip()

    # inside ---------------------------------------------------------------------------------------------------------

    def _told(self, more: bool) -> str:
        facts = self._found.facts
        if facts["form"] == "embedding":
            what, parts = "A network that tells faces apart", [f"{facts['numbers']} numbers a face"]
        else:
            count = len(facts["classes"]) or int(facts["count"])
            what, parts = "A detector", [f"{count} classes" if count else "an unknown number of classes"]
        parts.append(f"squares of {facts['square']} pixels")
        if self._found.made_by:
            parts.append(f"made by {self._found.made_by}")
        return f"{what}: {', '.join(parts)}." + (" The file does not tell the rest:" if more else "")

    def _field(self, question: OnnxQuestion) -> QWidget:
        if question.choices:
            box = QComboBox()
            for value, words in question.choices:
                box.addItem(words, value)
                if value == question.value:
                    box.setCurrentIndex(box.count() - 1)
            box.currentIndexChanged.connect(lambda _: self._check())
            return box
        if question.name == "classes":
            names = QPlainTextEdit()
            names.setPlaceholderText("person\nbicycle\n…\n(none: class 1, class 2, …)")
            names.setTabChangesFocus(True)
            names.setFixedHeight(112)
            names.textChanged.connect(self._check)
            return names
        number = QSpinBox()
        number.setRange(*((32, 2048) if question.name == "square" else (0, 10_000)))
        number.setSingleStep(32 if question.name == "square" else 1)
        number.setValue(int(question.value))
        number.valueChanged.connect(lambda _: self._check())
        return number

    @staticmethod
    def _answer(field: QWidget) -> Any:
        if isinstance(field, QComboBox):
            return field.currentData(Qt.ItemDataRole.UserRole)
        if isinstance(field, QPlainTextEdit):
            return [line.strip() for line in field.toPlainText().splitlines() if line.strip()]
        assert isinstance(field, QSpinBox)
        return field.value()

    def _check(self) -> None:
        """Say what is missing; only what fits can be imported."""
        answers = self.answers
        names, count = answers.get("classes", []), self._found.count_with(answers)
        form = self._found.facts["form"]
        wrong = ""
        if not self.title:
            wrong = "The network needs a title."
        elif form in ("joint", "apart") and names and len(names) != count:
            wrong = f"The network has {count} classes; you have named {len(names)}."
        elif not names and not self._found.facts["classes"] and not count:
            wrong = "Name the classes, or say how many there are."
        elif len(set(names)) != len(names):
            wrong = "Two classes have the same name."
        self._wrong.setText(wrong)
        self._wrong.setVisible(bool(wrong))
        self.import_button.setEnabled(not wrong)
