"""Detectors and networks for faces from ONNX files: what their outputs mean, and the graph that says it in our form.

A file enters; `inspect` leaves what was recognised and what must be asked, `graph` the network with one output: of a
detector ``(1, A, 4 + classes)``: x0, y0, x1, y1 in pixels of the square input, then the probabilities of the classes;
of a network for faces their embeddings ``(N, D)``. OpenVINO reads the file itself; of ONNX's own format only the two
lists are read here that OpenVINO keeps to itself.

Layouts are recognised by the shapes of the outputs, by what exporters write into the file (Ultralytics: names,
stride, task) and by the answers to a few noisy pictures: places that never exceed 1 are shares of the picture,
probabilities that never leave 0..1 are finished ones, and so on.
"""

from __future__ import annotations

import ast
import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine import runtime
from engine.errors import EngineError
from engine.types import Floats, Layer, ModelCard

# What the fact "form" of a file may be: "joint": one table, a box and its probabilities a row; "final": one table,
# box, score and class a row; "apart": boxes and probabilities in two tables; "apart-final": boxes, scores and
# classes in three; "embedding": one row of numbers, as ArcFace has it of an upright face. The other facts are asked for
# where a file does not tell them, in these words.
BOXES = {
    "centres": "middle, width, height",
    "corners": "two corners: x, y, x, y",
    "corners-yx": "two corners: y, x, y, x",
}
SCALES = {"pixels": "pixels of the square", "shares": "shares of the picture, 0 to 1"}
SCORES = {
    "probabilities": "probabilities, 0 to 1",
    "sigmoid": "before the sigmoid",
    "softmax": "before the softmax",
}
INPUTS = {
    "unit": "0 to 1",
    "signed": "−1 to 1",
    "imagenet": "ImageNet's mean and deviation",
    "bytes": "0 to 255",
}
NORMALISATION: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "unit": ((0.0,) * 3, (1.0,) * 3),
    "signed": ((0.5,) * 3, (0.5,) * 3),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "bytes": ((0.0,) * 3, (1 / 255,) * 3),
}

_YES_OR_NO = ((True, "yes"), (False, "no"))
_QUESTIONS: tuple[tuple[str, str, str, tuple[tuple[Any, str], ...]], ...] = (
    ("classes", "Names of the classes", "One a line, in the order of the network's outputs.", ()),
    ("count", "Number of classes", "How many kinds of things the network knows.", ()),
    ("square", "Side of the input", "In pixels; the side of the pictures that the network was trained with.", ()),
    ("input", "Brightness of the input", "What black and white become.", tuple(INPUTS.items())),
    (
        "objectness",
        "A column “is it anything?”",
        "YOLO up to version 7 has one between the box and the classes; later versions have none.",
        _YES_OR_NO,
    ),
    (
        "background",
        "Class 0 means “nothing”",
        "SSD and networks like it count their classes from 1.",
        _YES_OR_NO,
    ),
    ("boxes", "A box is", "The meaning of its four numbers.", tuple(BOXES.items())),
    ("scale", "Places are in", "The unit of those numbers.", tuple(SCALES.items())),
    ("scores", "Scores are", "Whether the network has finished them.", tuple(SCORES.items())),
)

_SQUARES = (32, 2048)  # sides that make sense
_FACES = (96, 192)  # those of networks for faces
_NUMBERS = (64, 4096)  # in an embedding
_IMAGENET = (1000, 1001)  # classes of most classifiers, and no length that anybody gives an embedding
_MOST_LAYERS = 200
EMBEDDING = "embedding"
"""The form of a network for faces."""

_NO_ONNX = "Choose a file that was exported as ONNX; its name usually ends in .onnx."
_EXPORT_AGAIN = "Export the network again, with a fixed square input."


@dataclass(frozen=True)
class OnnxFound:
    """What is known of an ONNX file.

    Attributes:
        facts: how the network is read: `form`, `boxes`, `scale`, `scores` and `input` (keys of the tables above),
            `objectness` (a column before the classes, to be multiplied in), `background` (the first class is none, so
            that classes count from 1), `transposed` (candidates lie in the last dimension), `tables` (numbers of the
            outputs, in the order of the form), `square` (side of the input in pixels), `classes` (names, empty if
            unknown), `count` (of the classes; 0 if unknown).
        unsure: the facts that are only guessed, or unknown: to be asked.
        made_by: who wrote the file, or the program that did, or "".
        licence: what the file says of its licence, or "".
        parameters: number of weights.
    """

    facts: Mapping[str, Any]
    unsure: tuple[str, ...]
    made_by: str = ""
    licence: str = ""
    parameters: int = 0

    def questions(self) -> list[OnnxQuestion]:
        """What must be asked before the file can be used, in the order in which people think of it."""
        return [
            OnnxQuestion(name, title, help, choices, self.facts[name])
            for name, title, help, choices in _QUESTIONS
            if name in self.unsure
        ]

    def count_with(self, answers: Mapping[str, Any]) -> int:
        """How many classes the network has if these are the answers; 0: that is a question of its own."""
        count = int(answers.get("count", self.facts["count"]))
        if self.facts["form"] in ("joint", "apart"):  # one column more or less is a class more or less
            count = int(self.facts["count"])
            for column in ("objectness", "background"):
                count += int(self.facts[column]) - int(bool(answers.get(column, self.facts[column])))
        return count


@dataclass(frozen=True)
class OnnxQuestion:
    """What a person is asked about a file.

    Attributes:
        name: of the fact.
        title, help: for people.
        choices: (value, words) of each; empty: a number, or for `classes` names.
        value: what is taken to be likely.
    """

    name: str
    title: str
    help: str
    choices: tuple[tuple[Any, str], ...]
    value: Any


def inspect(path: Path) -> OnnxFound:
    """What the network in an ONNX file is, as far as it can be told.

    Raises:
        EngineError: the file cannot be read, is no ONNX file or a damaged one, has its weights elsewhere, or its
            network is no detector of a kind that is known here.
    """
    said, made_by = _metadata(path)
    model = _read(path)
    square, known = _square(model, said)
    _fix(model, square)
    form = _Form(model, said, square, _probe(model, square))
    form.recognise()
    unsure = [name for name in form.unsure if name in form.facts]
    if not known:
        unsure.append("square")
    parameters = sum(math.prod(node.get_output_shape(0)) for node in _weights(model))
    made_by = _printable(str(said.get("author") or made_by))
    licence = _printable(str(said.get("license") or said.get("licence") or ""))
    return OnnxFound(form.facts, tuple(dict.fromkeys(unsure)), made_by, licence, parameters)


def graph(card: ModelCard) -> runtime.Graph:
    """The network of an imported card in our form.

    Raises:
        EngineError: the file is damaged, or its outputs are not what the card says.
    """
    assert card.weights is not None
    from openvino import Model

    facts, square = card.arguments, card.preprocess.size
    if facts.get("form") == EMBEDDING:
        return _graph_of_faces(card)
    model = _read(card.weights)
    _fix(model, square)
    try:
        output = _in_our_form(model, facts, square, len(card.classes))
        output.get_tensor().set_names({"logits"})
        looked = list(_layers(model))
        layers = []
        for number, (node, title) in enumerate(looked):
            node.output(0).get_tensor().add_names({f"layer {number}"})
            layers.append(Layer(f"layer {number}", title, tuple(node.get_output_shape(0)[1:]), ""))
        whole = Model([output, *(node.output(0) for node, _ in looked)], model.get_parameters(), "imported")
        whole = _taking_floats(whole)
        found = whole.outputs[0].get_partial_shape()
    except (RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
        raise EngineError(
            f"The outputs of “{card.title}” are not what its card says.", "Import the file again."
        ) from error
    if not found.rank.is_static or len(found) != 3 or str(found[2]) != str(4 + len(card.classes)):
        raise EngineError(
            f"“{card.title}” answers with {found}, which does not fit its {len(card.classes)} classes.",
            "Import the file again and give it as many classes as it has.",
        )
    parameters = sum(math.prod(node.get_output_shape(0)) for node in _weights(model))
    places = facts["form"] in ("final", "apart-final")  # suppression is a part of it, which rounding would change
    return runtime.Graph(whole, tuple(layers), parameters, _work(model), exact=places)


def _graph_of_faces(card: ModelCard) -> runtime.Graph:
    """As `graph`, for any number of faces at once where the network can do that."""
    assert card.weights is not None
    from openvino import Model
    from openvino import opset13 as ops

    model, square = _read(card.weights), card.preprocess.size
    _fix(model, square)
    work = _work(model)
    _take_any_number(model, square)
    try:
        source = model.outputs[card.arguments["tables"][0]].get_node().input_value(0)
        length = int(card.arguments["numbers"])
        row = ops.reshape(ops.convert(source, "f32"), ops.constant(np.array([-1, length])), special_zero=False)
        row.output(0).get_tensor().set_names({"logits"})
        looked = list(_layers(model))
        layers = []
        for number, (node, title) in enumerate(looked):
            node.output(0).get_tensor().add_names({f"layer {number}"})
            deep, high, wide = _sides(node.output(0))[1:]
            layers.append(Layer(f"layer {number}", title, (deep, high, wide), ""))
        whole = Model([row.output(0), *(node.output(0) for node, _ in looked)], model.get_parameters(), "imported")
        whole = _taking_floats(whole)
    except (RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
        raise EngineError(
            f"The output of “{card.title}” is not what its card says.", "Import the file again."
        ) from error
    parameters = sum(math.prod(node.get_output_shape(0)) for node in _weights(model))
    return runtime.Graph(whole, tuple(layers), parameters, work)


def _take_any_number(model: Any, square: int) -> None:
    """Let the network take several faces at once, if it then says of each what it says of it alone."""
    openvino = runtime.import_openvino()
    one = _shape_of(model, 1, square)
    several = model.clone()
    try:
        several.reshape([-1, *one[1:]])
        faces = np.random.default_rng(0).random((3, *one[1:])).astype(model.inputs[0].get_element_type().to_dtype())
        core, exactly = openvino.Core(), {"INFERENCE_PRECISION_HINT": "f32"}
        together = core.compile_model(several, "CPU", exactly)(faces)[0].reshape(3, -1)
        single = core.compile_model(model, "CPU", exactly)
        alone = np.stack([single(face[None])[0].reshape(-1) for face in faces])
        if np.allclose(together, alone, rtol=1e-3, atol=1e-4 * float(np.abs(alone).max())):
            model.reshape([-1, *one[1:]])
    except (RuntimeError, ValueError):  # a size is written into it somewhere
        return


def _shape_of(model: Any, count: int, square: int) -> list[int]:
    return [count, 3, square, square] if _channels_at(model) == 1 else [count, square, square, 3]


# ------------------------------------------------------------------------------------------------ the file


def _read(path: Path) -> Any:
    """OpenVINO's model of an ONNX file."""
    openvino = runtime.import_openvino()
    try:
        model = openvino.Core().read_model(path)
    except RuntimeError as error:
        if "Unsupported" in str(error) or "not supported" in str(error) or "conversion" in str(error):
            raise EngineError(
                f"{path.name} uses operations that OpenVINO does not know.",
                "Export it again with another version (opset) of ONNX, 12 to 17.",
            ) from error
        raise EngineError(f"{path.name} is no ONNX file, or a damaged one.", _NO_ONNX) from error
    inputs = model.inputs
    if len(inputs) != 1 or not inputs[0].get_partial_shape().rank.is_static or len(inputs[0].get_partial_shape()) != 4:
        raise EngineError(
            f"The network in {path.name} does not take pictures: its inputs are {_listed(inputs)}.",
            "Choose a detector, or a network for faces, with one input for pictures.",
        )
    if _channels_at(model) < 0:
        raise EngineError(
            f"The network in {path.name} does not take colour pictures: its input is {_listed(inputs)}.", _EXPORT_AGAIN
        )
    return model


def _listed(ports: Sequence[Any]) -> str:
    """Inputs or outputs for people: "images (1, 3, 640, 640)"."""
    shown = ", ".join(f"{_name(port)} {_shape(port)}" for port in ports[:4])
    return shown + (f" … ({len(ports)} in all)" if len(ports) > 4 else "")


def _name(port: Any) -> str:
    return min(port.get_names(), key=len, default="unnamed")


def _shape(port: Any) -> str:
    shape = port.get_partial_shape()
    if not shape.rank.is_static:
        return "(?)"
    return "(" + ", ".join(str(side.get_length()) if side.is_static else "?" for side in shape) + ")"


def _sides(port: Any) -> list[int]:
    """The dimensions of a port, -1 where one is not fixed."""
    return [side.get_length() if side.is_static else -1 for side in port.get_partial_shape()]


def _channels_at(model: Any) -> int:
    """In which dimension of the input the three colours lie: 1 or 3; -1: in none."""
    sides = _sides(model.inputs[0])
    return next((place for place in (1, 3) if sides[place] == 3), 1 if sides[1] == -1 else -1)


def _square(model: Any, said: Mapping[str, Any]) -> tuple[int, bool]:
    """Side of the square input, and whether it is known."""
    sides = _sides(model.inputs[0])
    high, wide = sides[2:] if _channels_at(model) == 1 else sides[1:3]
    if high > 0 and wide > 0 and high != wide:
        raise EngineError(
            f"This network takes pictures of {wide} × {high} pixels; only squares are read here.", _EXPORT_AGAIN
        )
    side = max(high, wide)
    if side > 0:
        known = True
    else:
        asked = said.get("imgsz")
        given = list(asked) if isinstance(asked, list | tuple) else [asked]
        known = len(set(given)) == 1 and isinstance(given[0], int)
        side = int(given[0] or 0) if known else 640
    if not _SQUARES[0] <= side <= _SQUARES[1]:
        raise EngineError(f"This network takes squares of {side} pixels; 32 to 2048 can be read here.", _EXPORT_AGAIN)
    return side, known


def _fix(model: Any, square: int) -> None:
    """Give the input its one shape."""
    try:
        model.reshape(_shape_of(model, 1, square))
    except RuntimeError as error:
        raise EngineError(
            f"This network does not take a picture of {square} × {square} pixels.", _EXPORT_AGAIN
        ) from error


def _taking_floats(model: Any) -> Any:
    """The model with an input (1, 3, S, S) float32, whatever it had."""
    openvino = runtime.import_openvino()
    from openvino.preprocess import PrePostProcessor

    last = _channels_at(model) == 3
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.f32).set_layout(openvino.Layout("NCHW"))
    steps.input().model().set_layout(openvino.Layout("NHWC" if last else "NCHW"))
    steps.input().preprocess().convert_element_type(model.inputs[0].get_element_type())
    return steps.build()


# What OpenVINO does not tell: the metadata, and whether weights lie in other files. ONNX is a protocol buffer
# (https://protobuf.dev/programming-guides/encoding/, fields as in onnx.proto): numbered fields, some holding others.

_GRAPH, _PRODUCER, _METADATA, _VERSION = 7, 2, 14, 1
_INITIALISER, _NODE = 5, 1
_ATTRIBUTE, _TENSOR_OF_ATTRIBUTE = 5, 5
_EXTERNAL, _LOCATION = 13, 14


def _metadata(path: Path) -> tuple[dict[str, Any], str]:
    """What the exporter wrote into the file, with values as Python has them, and who it was."""
    try:
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise EngineError(
            f"{path.name} cannot be read: {error.strerror or error}.", "Choose a file that is on this computer."
        ) from error
    said: dict[str, Any] = {}
    made_by, graphs, version = "", 0, False
    try:
        for number, value in _fields(data):
            if number == _GRAPH and isinstance(value, memoryview):
                graphs += 1
                if any(_elsewhere(tensor) for tensor in _tensors(value)):
                    raise EngineError(
                        f"{path.name} has its weights in other files, which would be left behind.",
                        "Export it again with everything in one file (ONNX: save_as_external_data=False).",
                    )
            elif number == _PRODUCER and isinstance(value, memoryview):
                made_by = str(value, "utf-8", "replace")
            elif number == _METADATA and isinstance(value, memoryview):
                entry = {place: text for place, text in _fields(value) if isinstance(text, memoryview)}
                text = str(entry.get(2, b""), "utf-8", "replace")
                with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
                    said[str(entry.get(1, b""), "utf-8", "replace")] = _value(text)
            elif number == _VERSION:
                version = True
    except (ValueError, IndexError) as error:
        raise EngineError(f"{path.name} is no ONNX file, or a damaged one.", _NO_ONNX) from error
    if graphs != 1 or not version:
        raise EngineError(f"{path.name} is no ONNX file, or a damaged one.", _NO_ONNX)
    return said, made_by


def _value(text: str) -> Any:
    """A value as Ultralytics writes it: a Python literal, or a word."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message: its number, and its value or bytes."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ValueError("no such field")
        if kind == 0:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == 2:
            length, place = _varint(data, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError("no such kind of field")
        if place + length > len(data):
            raise ValueError("a field ends after the file")
        yield number, data[place : place + length]
        place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number without an end")


def _tensors(graph: memoryview) -> Iterator[memoryview]:
    """The constants of a graph: its initialisers, and those that are attributes of its nodes."""
    for number, value in _fields(graph):
        if not isinstance(value, memoryview):
            continue
        if number == _INITIALISER:
            yield value
        elif number == _NODE:
            for inner, attribute in _fields(value):
                if inner == _ATTRIBUTE and isinstance(attribute, memoryview):
                    for last, tensor in _fields(attribute):
                        if last == _TENSOR_OF_ATTRIBUTE and isinstance(tensor, memoryview):
                            yield tensor


def _elsewhere(tensor: memoryview) -> bool:
    return any(number == _EXTERNAL or (number == _LOCATION and value == 1) for number, value in _fields(tensor))


# ----------------------------------------------------------------------------------------- what it answers


def _probe(model: Any, square: int) -> list[Floats]:
    """The outputs for a few noisy pictures, stacked: (3, ...) each."""
    openvino = runtime.import_openvino()
    try:
        compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        kind = model.inputs[0].get_element_type().to_dtype()
        rng = np.random.default_rng(0)
        answers: list[list[Floats]] = []
        for _ in range(3):
            coarse = rng.random((1, 3, max(1, square // 16), max(1, square // 16)))
            picture = np.kron(coarse, np.ones((1, 1, 16, 16)))
            picture = np.pad(picture, ((0, 0), (0, 0), *((0, square - side) for side in picture.shape[2:])))
            if kind == np.uint8:
                picture = picture * 255
            if _channels_at(model) == 3:
                picture = picture.transpose(0, 2, 3, 1)
            found = compiled(picture.astype(kind))
            answers.append([np.asarray(found[port], np.float32) for port in compiled.outputs])
        return [
            np.stack(each) if len({one.shape for one in each}) == 1 else each[0][None]
            for each in zip(*answers, strict=True)
        ]
    except (RuntimeError, ValueError, TypeError) as error:
        raise EngineError("This network cannot be run by OpenVINO.", _EXPORT_AGAIN) from error


class _Form:
    """Recognises what the outputs mean.

    Attributes:
        facts, unsure: as in `OnnxFound`.
    """

    def __init__(self, model: Any, said: Mapping[str, Any], square: int, answers: list[Floats]) -> None:
        self._model, self._said, self._square = model, said, square
        self._answers = answers  # (3, 1, …) of each output
        self._names = [" ".join(sorted(port.get_names())).lower() for port in model.outputs]
        names = said.get("names")
        self.classes = _class_names(names)
        kind = "bytes" if model.inputs[0].get_element_type().to_dtype() == np.uint8 else "unit"
        self.facts: dict[str, Any] = {
            "form": "joint",
            "boxes": "centres",
            "scale": "pixels",
            "scores": "probabilities",
            "input": kind,
            "objectness": False,
            "background": False,
            "transposed": False,
            "tables": [0],
            "square": square,
            "classes": self.classes,
            "count": len(self.classes),
        }
        self.unsure: list[str] = []

    def recognise(self) -> None:
        shapes = [answer.shape[2:] for answer in self._answers]  # without the probes and the batch
        boxes = [n for n, shape in enumerate(shapes) if len(_solid(shape)) == 2 and _solid(shape)[1] == 4]
        tables = [n for n, shape in enumerate(shapes) if len(shape) == 2]
        rows = [n for n, shape in enumerate(shapes) if len(shape) == 1]
        if self._is_embedding(shapes):
            self._embedding(shapes[0])
            return
        if len({_solid(shapes[n])[0] for n in boxes}) > 1:  # a table for each grid, not yet put together
            raise self._unknown()
        if boxes and len(rows) >= 2:
            self._three(boxes[0], rows)
        elif boxes and len(tables) >= 2:
            self._two(boxes, tables)
        elif len(tables) == 1 or (tables and len(shapes) > 1 and all(len(shape) >= 2 for shape in shapes)):
            self._one(tables[0])
        else:
            raise self._unknown()
        if not self.classes:
            self.unsure.append("classes")

    def _is_embedding(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """One row of numbers for a picture of a face's size, and not the probabilities of classes."""
        if len(shapes) != 1 or self.classes or not _FACES[0] <= self._square <= _FACES[1]:
            return False
        length = math.prod(shapes[0])
        if max(shapes[0], default=0) != length or not _NUMBERS[0] <= length <= _NUMBERS[1] or length in _IMAGENET:
            return False
        rows = self._answers[0].reshape(len(self._answers[0]), -1)
        return not (rows.min() >= 0 and np.abs(rows.sum(axis=1) - 1).max() < 0.01)

    def _embedding(self, shape: tuple[int, ...]) -> None:
        self.facts |= {"form": EMBEDDING, "classes": ["face"], "count": 1, "numbers": math.prod(shape)}
        if self.facts["input"] == "bytes":
            return
        first = [each.get_node() for each in self._model.inputs[0].get_node().output(0).get_target_inputs()]
        scaled = {
            "Subtract",
            "Multiply",
            "Divide",
            "Add",
        }  # the network begins by bringing the levels where it wants them
        self.facts["input"] = "bytes" if first and all(each.get_type_name() in scaled for each in first) else "signed"
        self.unsure.append("input")

    def _unknown(self) -> EngineError:
        ports = self._model.outputs
        if len(ports) == 1 and len(_sides(ports[0])) == 2:
            return EngineError(
                f"This network is a classifier ({_listed(ports)}); only detectors and networks for faces can be "
                "imported from ONNX.",
                "Choose a network that gives boxes, or one that turns a face of 112 × 112 pixels into numbers.",
            )
        return EngineError(
            f"This network does not answer like a detector that is known here: {_listed(ports)}.",
            "Known are one table of boxes and classes (YOLO), boxes and scores apart (SSD), and finished boxes with "
            "scores and classes.",
        )

    # one table ----------------------------------------------------------------------------------------------

    def _one(self, number: int) -> None:
        """YOLO's: (A, 5 + C) with objectness, (4 + C, A) without, or finished (A, 6) rows."""
        table = self._answers[number][:, 0]  # (3, rows, columns)
        high, wide = table.shape[1:]
        self.facts["tables"] = [number]
        count = len(self.classes)
        if min(high, wide) < 5:
            raise self._unknown()
        if wide == 6 and self._finished(table, count):
            self._ends(table)
            return
        transposed, objectness, sure = self._joint(high, wide, count)
        self.facts |= {"form": "joint", "boxes": "centres", "transposed": transposed, "objectness": objectness}
        if not sure:
            self.unsure.append("objectness")
        rows = table.transpose(0, 2, 1) if transposed else table
        if not count:
            self.facts["count"] = rows.shape[2] - 4 - objectness
        self._measure_boxes(rows[..., :4])
        self._measure_scores(rows[..., 4 : 4 + objectness + (count or rows.shape[2])])

    def _joint(self, high: int, wide: int, count: int) -> tuple[bool, bool, bool]:
        """(candidates last, objectness, sure of the latter) of a table of this size."""
        for transposed, columns in ((False, wide), (True, high)):
            others = high if columns == wide else wide
            if count and columns - count in (4, 5) and others != columns:
                return transposed, columns - count == 5, True
        if count:
            more = self._said.get("task") in ("segment", "pose", "obb")
            if more and 4 + count < high < wide:  # further columns after the classes, which are left out
                return True, False, True
            raise EngineError(
                f"This network's table of {high} × {wide} does not fit the {count} classes that the file names.",
                _EXPORT_AGAIN,
            )
        # Without names the order tells the generation: since 2023 (v8) without objectness, and candidates last.
        transposed = high < wide
        return transposed, not transposed, False

    def _finished(self, table: Floats, count: int) -> bool:
        """Whether rows of six are box, score and class rather than box and two columns of probabilities."""
        args = self._said.get("args")
        flags = (self._said.get("end2end"), self._said.get("nms"), args.get("nms") if isinstance(args, dict) else None)
        if any(flag in (True, "True") for flag in flags):
            return True
        if count and count + 5 != 6 and count + 4 != 6:
            return True
        whole = np.abs(table[..., 5] - table[..., 5].round()).max() == 0
        ordered = (table[..., 2:4] >= table[..., :2]).all()
        return bool(whole and ordered and table.shape[1] <= 1000)

    def _ends(self, table: Floats) -> None:
        self.facts |= {"form": "final", "boxes": "corners"}
        self._measure_boxes(table[..., :4])
        if not self.classes:
            self.unsure.append("count")

    # several tables -----------------------------------------------------------------------------------------

    def _two(self, boxes: list[int], tables: list[int]) -> None:
        """SSD's: (A, 4) and (A, C)."""
        count = len(self.classes)
        where = next((n for n in boxes if "box" in self._names[n] or "loc" in self._names[n]), boxes[0])
        length = _solid(self._answers[where].shape[2:])[0]
        scores = [n for n in tables if n != where and self._answers[n].shape[2] == length]
        if not scores:
            raise self._unknown()
        table = self._answers[scores[0]][:, 0]
        self.facts |= {"form": "apart", "tables": [where, scores[0]], "input": self._scaling()}
        columns = table.shape[2]
        sums = np.abs(table.sum(-1) - 1).max() < 0.02
        self.facts["background"] = bool(columns == count + 1 if count else sums and columns > 1)
        if count and columns not in (count, count + 1):
            raise EngineError(
                f"This network has {columns} columns of probabilities for the {count} classes that the file names.",
                _EXPORT_AGAIN,
            )
        if not count:
            self.facts["count"] = columns - self.facts["background"]
            self.unsure.append("background")
        self._measure_scores(table)
        self._measure_boxes(self._answers[where].reshape(-1, length, 4), known=False)

    def _three(self, where: int, rows: list[int]) -> None:
        """Finished ones: (A, 4), (A,) and (A,)."""
        length = _solid(self._answers[where].shape[2:])[0]
        rows = [n for n in rows if self._answers[n].shape[2] == length]
        if len(rows) < 2:
            raise self._unknown()

        def whole(n: int) -> bool:
            values = self._answers[n]
            return bool(np.abs(values - values.round()).max() == 0)

        named = [n for n in rows if "class" in self._names[n] or "label" in self._names[n]]
        kinds = named[0] if named else next((n for n in rows if whole(n)), rows[-1])
        scores = next(n for n in rows if n != kinds)
        tensorflow = "detection_boxes" in self._names[where]  # which writes y first, and counts classes from 1
        self.facts |= {
            "form": "apart-final",
            "tables": [where, scores, kinds],
            "input": self._scaling(),
            "background": tensorflow,
        }
        self._measure_boxes(self._answers[where].reshape(-1, length, 4), known=False)
        if tensorflow:
            self.facts["boxes"] = "corners-yx"
        else:
            self.unsure.append("background")
        if not self.classes:
            self.unsure.append("count")

    def _scaling(self) -> str:
        kind = str(self.facts["input"])
        if kind == "bytes":
            return kind
        self.unsure.append("input")
        return "signed"

    # figures ------------------------------------------------------------------------------------------------

    def _measure_boxes(self, boxes: Floats, *, known: bool = True) -> None:
        """Pixels or shares, corners or middles, by what the network answers."""
        most = float(np.abs(boxes).max())
        yolo = self.facts["form"] in ("joint", "final")
        if most < 1e-3:  # nothing was found in noise
            self.facts["scale"] = "pixels" if yolo else "shares"
            if not (yolo and "stride" in self._said):  # as Ultralytics writes it
                self.unsure.append("scale")
        else:
            self.facts["scale"] = "shares" if most <= 2 else "pixels"
            if not math.isfinite(most) or 2 < most < 4:  # what could be either
                self.unsure.append("scale")
        if not known:
            ordered = float((boxes[..., 2:] >= boxes[..., :2]).all(-1).mean())
            self.facts["boxes"] = "corners" if ordered > 0.999 else "centres"
            self.unsure.append("boxes")

    def _measure_scores(self, scores: Floats) -> None:
        low, high = float(scores.min()), float(scores.max())
        if low < -1e-3 or high > 1 + 1e-3:
            self.facts["scores"] = "softmax" if self.facts["form"] == "apart" else "sigmoid"
            self.unsure.append("scores")
            if not self.classes and self.facts["form"] == "apart":
                self.facts["background"], self.facts["count"] = True, scores.shape[-1] - 1


def _solid(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(A, 1, 4) is (A, 4)."""
    return (shape[0], shape[2]) if len(shape) == 3 and shape[1] == 1 else shape


def _class_names(names: Any) -> list[str]:
    """Names of classes as an exporter wrote them, in their order."""
    if isinstance(names, dict) and all(isinstance(key, int) for key in names):
        names = [names[key] for key in sorted(names)]
    if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
        return [_printable(name) or f"class {number}" for number, name in enumerate(names, 1)]
    return []


def _printable(text: str) -> str:
    """Text of a file that anybody may have written, without what no card, list or terminal can show."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


# --------------------------------------------------------------------------------------------- in our form


def _in_our_form(model: Any, facts: Mapping[str, Any], square: int, classes: int) -> Any:
    """The one output (1, A, 4 + classes) as a port of the graph."""
    from openvino import opset13 as ops

    def number(value: float) -> Any:
        return ops.constant(np.float32(value))

    def columns(table: Any, first: int, last: int) -> Any:
        axis = ops.constant(np.array([2]))
        ends = (ops.constant(np.array([value])) for value in (first, last, 1))
        start, stop, step = ends
        return ops.slice(table, start, stop, step, axis)

    def table_of(which: int, shape: Sequence[int]) -> Any:
        source = model.outputs[facts["tables"][which]].get_node().input_value(0)
        return ops.reshape(ops.convert(source, "f32"), ops.constant(np.array(shape)), special_zero=False)

    def length_of(which: int) -> int:
        return _solid(tuple(_sides(model.outputs[facts["tables"][which]])[1:]))[0]

    form = facts["form"]
    if form in ("joint", "final"):
        source = ops.convert(model.outputs[facts["tables"][0]].get_node().input_value(0), "f32")
        if facts["transposed"]:
            source = ops.transpose(source, ops.constant(np.array([0, 2, 1])))
        places = columns(source, 0, 4)
    else:
        count = length_of(0)
        places = table_of(0, (1, count, 4))
    if form == "joint":
        first = 4 + bool(facts["objectness"])
        scores = _probabilities(columns(source, first, first + classes), facts["scores"])
        if facts["objectness"]:
            scores = ops.multiply(scores, _probabilities(columns(source, 4, 5), facts["scores"]))
    elif form == "apart":
        width = _sides(model.outputs[facts["tables"][1]])[2]
        first = int(bool(facts["background"]))
        scores = columns(_probabilities(table_of(1, (1, count, width)), facts["scores"]), first, first + classes)
    else:
        if form == "final":
            score, kind = columns(source, 4, 5), columns(source, 5, 6)
        else:
            score, kind = table_of(1, (1, count, 1)), table_of(2, (1, count, 1))
        first = int(bool(facts["background"]))
        known = ops.constant(np.arange(first, first + classes, dtype=np.float32)[None, None])
        scores = ops.multiply(ops.convert(ops.equal(ops.round(kind, "half_to_even"), known), "f32"), score)
    scale = number(square if facts["scale"] == "shares" else 1)
    x0, y0, x1, y1 = (columns(places, place, place + 1) for place in range(4))
    if facts["boxes"] == "corners-yx":
        x0, y0, x1, y1 = y0, x0, y1, x1
    elif facts["boxes"] == "centres":
        half_wide, half_high = ops.multiply(x1, number(0.5)), ops.multiply(y1, number(0.5))
        x0, y0, x1, y1 = (
            ops.subtract(x0, half_wide),
            ops.subtract(y0, half_high),
            ops.add(x0, half_wide),
            ops.add(y0, half_high),
        )
    corners = ops.multiply(ops.concat([x0, y0, x1, y1], 2), scale)
    return ops.concat([corners, scores], 2).output(0)


def _probabilities(scores: Any, kind: str) -> Any:
    from openvino import opset13 as ops

    if kind == "sigmoid":
        return ops.sigmoid(scores)
    return ops.softmax(scores, 2) if kind == "softmax" else scores


def _layers(model: Any) -> Iterator[tuple[Any, str]]:
    """The layers that can be looked into: what comes out of convolutions (with their bias) and poolings."""
    count = 0
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind not in ("Convolution", "GroupConvolution", "MaxPool", "AvgPool"):
            continue
        readers = list(node.output(0).get_target_inputs())
        following = readers[0].get_node() if len(readers) == 1 else None
        if following is not None and kind.endswith("Convolution") and following.get_type_name() == "Add":
            node = following
        sides = _sides(node.output(0)) if node.output(0).get_partial_shape().rank.is_static else []
        if count < _MOST_LAYERS and len(sides) == 4 and sides[0] in (1, -1) and min(sides[1:]) > 0:
            count += 1
            title = node.get_friendly_name().strip("/").removesuffix("/WithoutBiases").replace("/", ".")
            yield node, title


def _weights(model: Any) -> Iterator[Any]:
    """The constants that are weights, not sizes or places."""
    for node in model.get_ops():
        if node.get_type_name() == "Constant" and node.get_output_size() == 1:
            shape = node.get_output_shape(0)
            if node.get_output_element_type(0).is_real() and len(shape) >= 1 and math.prod(shape) > 1:
                yield node


def _work(model: Any) -> int:
    """Multiplications for one picture."""
    total = 0
    for node in model.get_ops():
        kind = node.get_type_name()
        kept: Callable[[Sequence[int]], int] | None = {
            "Convolution": lambda shape: math.prod(shape[1:]),
            "GroupConvolution": lambda shape: math.prod(shape[2:]),
            "MatMul": lambda shape: shape[-1],
        }.get(kind)
        if kept is None:
            continue
        shape = node.output(0).get_partial_shape()
        if shape.is_static and node.input_value(1).get_partial_shape().is_static:
            total += math.prod(node.output(0).get_shape()) * kept(list(node.input_value(1).get_shape()))
    return total
