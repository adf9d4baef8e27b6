"""The command line beside the window: `python main.py VERB …`, on the same engine.

Arguments enter, an exit code leaves: 0 when everything worked, 2 when something a person can act on did not. Errors
are a sentence and a hint on stderr; with `--json` stdout carries one JSON object a line and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from engine.errors import Cancelled, EngineError

if TYPE_CHECKING:
    from engine.data import Split
    from engine.export import DetectionExport
    from engine.types import Classification, Detections, Frame, Image, ModelCard, Result
    from engine.vision import Reader
    from engine.vision.classify import Classifier

_MIN_SCORE = 0.25  # of what a classifier reports; a detector's card has its own
_BATCH = 256  # pictures that are evaluated at a time
_MANY = 500  # pictures of which it is told how far one has come


def run(arguments: list[str], *, demo: Callable[[Path], int] | None = None) -> int:
    """Do what the arguments say; returns the exit code.

    Args:
        arguments: a verb and what belongs to it, without the program's name.
        demo: runs the demonstration into a folder; it needs the window, which the engine does not know.
    """
    _prepare_streams()
    code = 0
    try:
        try:
            options = _parser().parse_args(arguments)
            code = demo(options.out) if options.verb == "demo" and demo is not None else options.do(options)
        except SystemExit as ended:  # argparse after --help
            code = int(ended.code or 0)
        _say()
        return code
    except Cancelled as error:
        return _complain(error, code=130)
    except EngineError as error:
        return _complain(error)
    except KeyboardInterrupt:
        return _complain(Cancelled(), code=130)
    except _Unsaid as unsaid:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left over would fail again at the end
        if isinstance(unsaid.cause, BrokenPipeError):  # the reader has seen enough
            return code
        why = unsaid.cause.strerror or unsaid.cause
        return _complain(EngineError(f"The output cannot be written: {why}.", "Check where it is sent to."))


class _Unsaid(Exception):
    """Standard output takes no more. No `EngineError`: the next file's answer would be lost as well."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause)
        self.cause = cause


def _prepare_streams() -> None:
    """Make printing safe: there may be no stream at all (`>&-`, Windows without a console), or one of few letters."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _say(*lines: str) -> None:
    """Print and flush."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except OSError as error:
        raise _Unsaid(error) from error


def _complain(error: EngineError, code: int = 2) -> int:
    _remark(str(error))
    return code


def _remark(text: str) -> None:
    """Print to stderr, unless nobody listens there."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise EngineError(f"{message[:1].upper()}{message[1:]}.", f"{self.prog} --help shows what can be asked for.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python main.py", description="ConvScope. Without a verb the window opens.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, help: str, do: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help, description=help)
        added.set_defaults(do=do)
        return added

    predict = verb("predict", "Say what is on pictures, in folders of pictures (recursive) and in videos.", _predict)
    predict.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a picture, a folder or a video")
    predict.add_argument("--model", metavar="NAME", help="a model of the zoo (default: digits)")
    predict.add_argument(
        "--min-score",
        type=_share,
        metavar="SHARE",
        help="leave out what is found with less certainty than this, 0 to 1 (default: 0.25, or what suits the "
        "detector, which never reports less than 0.05); a classification's list of classes is always whole",
    )
    predict.add_argument(
        "--classes",
        type=_names,
        default=(),
        metavar="NAMES",
        help="of a detector's classes show these alone, separated by commas, or “all” (default: those that it offers)",
    )
    predict.add_argument(
        "--out", type=Path, metavar="FILE", help="write what a detector finds to FILE.json (COCO) or FILE.csv as well"
    )
    predict.add_argument(
        "--gallery",
        type=Path,
        metavar="FILE",
        help="with a network for faces: the people to look for (default: yours, if it is there and not locked)",
    )
    predict.add_argument("--json", action="store_true", help="print one JSON object a line")

    train = verb("train", "Train a network; prints one JSON event a line.", _train)
    train.add_argument("recipe", type=Path, metavar="RUN.toml", help="the settings of the run")
    train.add_argument("--out", type=Path, metavar="DIR", help="folder of the run (default: a new one among your runs)")
    train.add_argument("--resume", action="store_true", help="go on with the run in DIR after its last checkpoint")

    evaluate = verb("evaluate", "Measure a model on pictures whose answers are known.", _evaluate)
    evaluate.add_argument("--model", metavar="NAME", required=True, help="a model of the zoo")
    evaluate.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="PATH",
        help="a folder with one sub-folder per class, or with MNIST's kind of IDX files; for a detector, or a network "
        "that says what is in a picture, a JSON file in COCO's format, its pictures beside it or in the tar files that "
        "it names; for a network for faces a CSV file with pairs of pictures (file_a, file_b, same and, if there are "
        "folds, fold)",
    )
    evaluate.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="for a network for faces: the folder, or .tar or .tar.gz file, with the pictures that the pairs name "
        "(default: the folder of the list)",
    )
    evaluate.add_argument(
        "--classes",
        type=_names,
        default=(),
        metavar="NAMES",
        help="measure a detector on these classes alone, separated by commas (default: all that it and the data have)",
    )
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")

    models = verb("models", "List the models of the zoo, and those that are still to be downloaded.", _models)
    models.add_argument("--json", action="store_true", help="print one JSON object a line")

    get = verb("get", "Download one of the well-known models, or take its official file from a folder.", _get)
    get.add_argument("name", metavar="NAME", help="what “models” calls it")
    get.add_argument("--file", type=Path, metavar="FILE", help="its official file, brought from another computer")
    get.add_argument("--json", action="store_true", help="print one JSON object")

    show = verb("demo", "Drive the window by a script and save pictures of each scene.", _no_demo)
    show.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the pictures and report.json")
    return parser


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return value


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise argparse.ArgumentTypeError("must name a class")
    return names


def _no_demo(options: argparse.Namespace) -> int:
    raise EngineError("The demonstration needs the window.", "Start it with: python main.py demo --out DIR.")


def _print_json(values: dict[str, Any]) -> None:
    _say(json.dumps(values))  # ASCII: every terminal and every reader takes it


# ----------------------------------------------------------------------------------------------------- predict


def _predict(options: argparse.Namespace) -> int:
    from engine.export import DetectionExport
    from engine.vision import open_reader

    card = _card(options.model)
    if options.min_score is None and card.task != "faces":
        options.min_score = card.min_score if card.task == "detection" else _MIN_SCORE
    if card.task == "detection":
        options.classes = _wanted(card, options.classes)
    elif options.classes or (options.out is not None and card.task != "faces"):
        option = "--out" if options.out is not None else "--classes"
        raise EngineError(
            f"“{card.name}” finds no boxes, so {option} has nothing to do.", "Leave it out, or choose a detector."
        )
    if options.gallery is not None and card.task != "faces":
        raise EngineError(
            f"“{card.name}” knows no people, so --gallery has nothing to do.",
            "Leave it out, or choose a network for faces.",
        )
    with contextlib.ExitStack() as opened:
        export = None if options.out is None else opened.enter_context(DetectionExport(options.out))
        reader = open_reader(card, interactive=False)
        if card.task == "faces":
            _let_in(reader, options)
        failed = False
        for path in options.paths:
            try:
                files = _files(path)
            except EngineError as error:
                failed = bool(_complain(error))
                continue
            for file in files:
                failed |= not _predict_file(reader, file, options, export)
    return 2 if failed else 0


def _predict_file(reader: Reader, file: Path, options: argparse.Namespace, export: DetectionExport | None) -> bool:
    """Show what is in a picture or in each frame of a video; whether all of it could be read."""
    results = _read(reader, file, sure=options.min_score)
    while True:
        try:
            read = next(results, None)
        except EngineError as error:
            _complain(error)
            return False
        if read is None:
            return True
        result, frame = read
        if result.faces is not None:
            _show_faces(result, file, frame, options, export)
            continue
        if result.detections is None:
            _show_prediction(result, file, frame, reader.card, options)
            continue
        detections = _shown(result.detections, options)
        if export is not None:  # what cannot be written ends the command: the other files would fail as well
            export.add(result.frame, detections, file=str(file))
        _show_detections(detections, result, file, frame, options)


def _let_in(reader: Reader, options: argparse.Namespace) -> None:
    """Give a network for faces the people of the gallery that was asked for, or of the user's own."""
    from engine.gallery import Gallery, recogniser
    from engine.vision.faces import FaceReader

    assert isinstance(reader, FaceReader)
    if options.min_score is None:
        options.min_score = reader.detector.card.min_score
    with Gallery(options.gallery) as gallery:
        if options.gallery is not None and not gallery.exists:
            raise EngineError(f"There is no gallery {options.gallery}.", "Check the path, or leave --gallery out.")
        if not gallery.exists:
            return
        if gallery.locked:
            if options.gallery is not None:
                raise EngineError(
                    f"The gallery {options.gallery} is locked with a passphrase.",
                    "Only the window can open it: choose Faces there.",
                )
            _remark("Your gallery is locked with a passphrase, so nobody is looked for.")
            return
        reader.people = recogniser(gallery, reader.card)
        if not len(reader.people) and gallery.people():
            _remark(
                f"“{reader.card.name}” has not seen the people of the gallery yet, so nobody is recognised. Choose "
                "Faces in the window with this network once."
            )


def _wanted(card: ModelCard, names: tuple[str, ...]) -> tuple[str, ...]:
    """The classes of a detector to show: its own choice, unless others are asked for."""
    if names == ("all",):
        return card.classes
    for name in names:
        if name not in card.classes:
            raise EngineError(f"“{card.name}” has no class “{name}”.", f"Its classes are: {', '.join(card.classes)}.")
    return names or card.offered or card.classes


def _shown(detections: Detections, options: argparse.Namespace) -> Detections:
    import numpy as np

    wanted = [number for number, label in enumerate(detections.labels) if label in options.classes]
    return detections[(detections.confidence >= options.min_score) & np.isin(detections.class_id, wanted)]


def _card(name: str | None) -> ModelCard:
    from engine import zoo

    if name is not None:
        return zoo.model_card(name)
    cards = zoo.model_cards()
    return next((card for card in cards if card.name == "digits"), cards[0]) if cards else zoo.model_card("digits")


def _files(path: Path) -> list[Path]:
    from engine.images import PICTURES
    from engine.sources import VIDEOS, find_files, is_folder

    if not is_folder(path):
        return [path]
    files = find_files(path, PICTURES | VIDEOS)
    if not files:
        raise EngineError(f"There are no pictures or videos in {path}.", "Check the path.")
    return files


def _read(reader: Reader, file: Path, *, sure: float) -> Iterator[tuple[Result, int | None]]:
    """The result of a picture, or of each frame of a video with its index.

    What is detected in a video with a probability of `sure`, which is what is shown, is numbered.
    """
    from engine.images import read_picture
    from engine.sources import VIDEOS, open_source
    from engine.vision.faces import FaceFollower, FaceReader
    from engine.vision.track import Follower

    if file.suffix.lower() not in VIDEOS:
        yield reader.predict(_drawing(read_picture(file), file.name)), None
        return
    source = open_source(str(file))
    follower = Follower(sure=sure)
    faces = FaceFollower(reader) if isinstance(reader, FaceReader) else None
    try:
        while (frame := source.read()) is not None:
            result = follower.follow(reader.predict(frame)) if faces is None else faces.predict(frame)
            yield result, frame.index
    finally:
        source.close()


def _drawing(image: Image, name: str = "") -> Frame:
    """A whole picture as a frame that a network for drawings takes for a drawing or a scan."""
    from engine.types import Frame

    return Frame(image, name, 0, 0.0, drawing=True)


def _show_prediction(
    result: Result, file: Path, frame: int | None, card: ModelCard, options: argparse.Namespace
) -> None:
    regions = [each for each in result.regions if each.classification.probabilities.max() >= options.min_score]
    if options.json:
        values: dict[str, Any] = {"file": str(file), "model": card.name, "task": card.task}
        if frame is not None:
            values["frame"] = frame
        values["classes"] = _classes(result.classification, card)
        values["rejected"] = result.classification is None or result.classification.rejected
        if len(regions) > 1:
            values["text"] = result.text
            values["regions"] = [
                {
                    "xyxy": [round(value, 1) for value in region.box],
                    "classes": _classes(region.classification, card),
                    "rejected": region.classification.rejected,
                }
                for region in regions
            ]
        _print_json(values)
        return
    where = str(file) if frame is None else f"{file}, frame {frame}"
    nothing = card.reject or "nothing found"
    if result.classification is None or (len(regions) < 2 and result.classification.rejected):
        answer = nothing
    elif len(regions) > 1 and card.preprocess.kind == "drawing":
        each = ", ".join(_percent(region.classification, card) for region in regions)
        answer = f"{result.text or nothing} ({each})"
    else:
        ranked = result.classification.ranked()
        listed = [entry for entry in ranked if entry[1] >= options.min_score] or ranked[:1]
        answer = ", ".join(f"{label} {probability:.1%}" for label, probability in listed)
    _say(f"{where}: {answer}")


def _show_detections(
    detections: Detections, result: Result, file: Path, frame: int | None, options: argparse.Namespace
) -> None:
    listed = [
        {
            "label": detections.labels[detections.class_id[row]],
            "score": round(float(detections.confidence[row]), 4),
            "xyxy": [round(float(value), 1) for value in detections.xyxy[row]],
        }
        for row in range(len(detections))
    ]
    if detections.track_id is not None:
        for box, track in zip(listed, detections.track_id, strict=True):
            box["track"] = int(track) if track >= 0 else None
    if options.json:
        values: dict[str, Any] = {"file": str(file), "model": result.model, "task": "detection"}
        if frame is not None:
            values["frame"] = frame
            values["time"] = round(result.frame.clock or 0.0, 3)
        _print_json({**values, "detections": listed})
        return
    where = str(file) if frame is None else f"{file}, frame {frame}"
    boxes = []
    for box in listed:
        number = f" #{box['track']}" if box.get("track") is not None else ""
        places = " ".join(f"{value:.0f}" for value in box["xyxy"])
        boxes.append(f"{box['label']}{number} {box['score']:.1%} at {places}")
    _say(f"{where}: {', '.join(boxes) or 'nothing found'}")


def _show_faces(
    result: Result, file: Path, frame: int | None, options: argparse.Namespace, export: DetectionExport | None
) -> None:
    assert result.faces is not None and result.detections is not None
    shown = [row for row, face in enumerate(result.faces) if face.score >= options.min_score]
    if export is not None:
        export.add(result.frame, result.detections[shown], file=str(file))
    faces = [result.faces[row] for row in shown]
    tracks = None if result.detections.track_id is None else result.detections.track_id[shown].tolist()
    if options.json:
        values: dict[str, Any] = {"file": str(file), "model": result.model, "task": "faces"}
        if frame is not None:
            values["frame"] = frame
            values["time"] = round(result.frame.clock or 0.0, 3)
        listed: list[dict[str, Any]] = [
            {
                "score": round(face.score, 4),
                "xyxy": [round(value, 1) for value in face.box],
                "landmarks": [[round(float(value), 1) for value in place] for place in face.landmarks],
                "name": face.name,
                "similarity": round(face.similarity, 4),
            }
            for face in faces
        ]
        for values_of_face, track in zip(listed, tracks or (), strict=False):
            values_of_face["track"] = track if track >= 0 else None
        _print_json({**values, "faces": listed})
        return
    where = str(file) if frame is None else f"{file}, frame {frame}"
    words = []
    for row, face in enumerate(faces):
        number = f" #{tracks[row]}" if tracks is not None and tracks[row] >= 0 else ""
        who = "unknown" if face.name is None else f"{face.name} {face.probability:.1%}"
        places = " ".join(f"{value:.0f}" for value in face.box)
        words.append(f"{who}{number} at {places}")
    _say(f"{where}: {', '.join(words) or 'nobody found'}")


def _classes(classification: Classification | None, card: ModelCard) -> list[dict[str, Any]]:
    """All classes, most probable first; where nothing was found at all, that is certain."""
    if classification is None:
        others = [(label, 0.0) for label in card.classes if label != card.reject]
        ranked = [(card.reject, 1.0), *others] if card.reject else []
    else:
        ranked = classification.ranked()
    return [{"label": label, "probability": round(probability, 6)} for label, probability in ranked]


def _percent(classification: Classification, card: ModelCard) -> str:
    label = card.reject if classification.rejected else classification.label
    return f"{label} {classification.probabilities.max():.1%}"


# ------------------------------------------------------------------------------------------------------- train


def _train(options: argparse.Namespace) -> int:
    from engine.training import program

    arguments = [str(options.recipe)]
    if options.out is not None:
        arguments += ["--out", str(options.out)]
    return program.main(arguments + ["--resume"] * options.resume)


# ---------------------------------------------------------------------------------------------------- evaluate


def _evaluate(options: argparse.Namespace) -> int:
    from engine.vision.classify import Classifier

    card = _card(options.model)
    if options.root is not None and card.task != "faces":
        raise EngineError(f"“{card.name}” is no network for faces, so --root has nothing to do.", "Leave it out.")
    if card.task == "detection":
        return _evaluate_detector(card, options)
    if card.task == "faces":
        return _evaluate_faces(card, options)
    if options.classes:
        raise EngineError(f"“{card.name}” is no detector, so --classes has nothing to do.", "Leave it out.")
    if card.many and (options.data.suffix.lower() == ".json" or (options.data / "val.json").is_file()):
        return _evaluate_tags(card, options)
    pictures = _labelled(options.data, card)
    measured = evaluate(Classifier(card, interactive=False), pictures)
    measured = {"model": card.name, "data": str(options.data), **measured}
    if options.json:
        _print_json(measured)
        return 0
    _say(f"{card.name} on {options.data}: {measured['accuracy']:.2%} of {measured['count']} pictures right")
    _say(f"calibration error {measured['ece']:.2%}, rejected {measured['rejected']:.2%}")
    widest = max(len(label) for label in measured["per_class"])
    for label, accuracy in measured["per_class"].items():
        _say(f"  {label:<{widest}}  {'no pictures' if accuracy is None else f'{accuracy:.2%}'}")
    return 0


def _evaluate_tags(card: ModelCard, options: argparse.Namespace) -> int:
    from engine.vision.classify import Classifier
    from engine.vision.evaluate import evaluate_tags

    measured = evaluate_tags(
        Classifier(card, interactive=False), options.data, unreadable=lambda error: _complain(error)
    )
    if options.json:
        _print_json(
            {
                "model": card.name,
                "data": str(options.data),
                "count": measured.count,
                "map": measured.map,
                "per_class": dict(measured.ap),
                "pictures": dict(measured.pictures),
            }
        )
        return 0
    _say(f"{card.name} on {options.data}: mAP {measured.map:.2%} in {measured.count} pictures")
    _say("average precision of each class, pictures ranked by its probability:")
    widest = max(len(label) for label in measured.ap)
    for label, share in sorted(measured.ap.items(), key=lambda each: each[1] or 0.0, reverse=True):
        count = measured.pictures[label]
        what = "in no picture" if share is None else f"{share:7.2%}  in {count} picture{'' if count == 1 else 's'}"
        _say(f"  {label:<{widest}}  {what}")
    return 0


def _evaluate_detector(card: ModelCard, options: argparse.Namespace) -> int:
    from engine.vision.detect import Detector
    from engine.vision.evaluate import evaluate

    precision = evaluate(
        Detector(card, interactive=False), options.data, only=options.classes, unreadable=lambda error: _complain(error)
    )
    if options.json:
        _print_json(
            {
                "model": card.name,
                "data": str(options.data),
                "count": precision.count,
                "map": precision.map,
                "map50": precision.map50,
                "per_class": precision.ap50,
                "per_class_map": precision.ap,
                "boxes": precision.boxes,
            }
        )
        return 0
    _say(f"{card.name} on {options.data}: mAP@0.5 {precision.map50:.2%} in {precision.count} pictures")
    _say(f"mAP@[.5:.95] {precision.map:.2%}; average precision of each class at an overlap (IoU) of 0.5:")
    widest = max(len(label) for label in precision.ap50)
    for label, share in sorted(
        precision.ap50.items(), key=lambda each: -1 if each[1] is None else each[1], reverse=True
    ):
        boxes = precision.boxes[label]
        what = "no boxes" if share is None else f"{share:7.2%}  {boxes} {'box' if boxes == 1 else 'boxes'}"
        _say(f"  {label:<{widest}}  {what}")
    return 0


def _evaluate_faces(card: ModelCard, options: argparse.Namespace) -> int:
    from engine.vision.evaluate import verify
    from engine.vision.faces import FaceReader

    if options.classes:
        raise EngineError(f"“{card.name}” is no detector, so --classes has nothing to do.", "Leave it out.")
    told = 0

    def progress(done: int, total: int) -> None:
        nonlocal told
        if total >= _MANY and 10 * done // total > told:
            told = 10 * done // total
            _remark(f"{done} of {total} pictures")

    measured = verify(
        FaceReader(card, interactive=False),
        options.data,
        options.root or options.data.parent,
        unreadable=lambda error: _complain(error),
        progress=progress,
    )
    verified, separation = measured.verified, measured.separation
    folds = dict(zip(measured.folds, verified.folds, strict=True))
    spread = _deviation(verified.folds)
    refused = {
        f"{rate:g}": f"A false accept rate of {rate:g} cannot be told from {separation.different} pairs of different "
        f"people: it needs {round(1 / rate)} at least."
        for rate, share in separation.tar.items()
        if share is None
    }
    if options.json:
        _print_json(
            {
                "model": card.name,
                "data": str(options.data),
                "accuracy": verified.accuracy,
                "standard_error": spread,
                "folds": folds,
                "threshold": verified.threshold,
                "auc": separation.auc,
                "eer": separation.eer,
                "tar": {f"{rate:g}": share for rate, share in separation.tar.items()},
                "refused": refused,
                "positive_pairs": separation.same,
                "negative_pairs": separation.different,
                "pictures": measured.pictures,
                "without_face": measured.without_face,
                "left_out": measured.left_out,
            }
        )
        return 0
    count = separation.same + separation.different
    _say(f"{card.name} on {options.data}: {verified.accuracy:.2%} ± {spread:.2%} of {count} pairs judged rightly")
    _say(
        f"{measured.pictures} pictures, in {measured.without_face} of which no face was found, so that all of the "
        "picture was taken"
    )
    if measured.left_out:
        _say(f"{measured.left_out} pairs were left out: a picture could not be read")
    _say(f"area under the curve {separation.auc:.4f}, equal error rate {separation.eer:.2%}")
    for rate, share in separation.tar.items():
        if share is not None:
            _say(f"true accepts at {rate:.1%} false ones: {share:.2%} (of {separation.different} different pairs)")
    for sentence in refused.values():
        _say(sentence)
    widest = max(map(len, folds))
    for name, share in folds.items():
        _say(f"  fold {name:<{widest}}  {share:.2%}")
    return 0


def _deviation(shares: tuple[float, ...]) -> float:
    """Standard error of the mean."""
    from statistics import stdev

    return stdev(shares) / len(shares) ** 0.5


def evaluate(classifier: Classifier, pictures: Iterator[tuple[Image, int]]) -> dict[str, Any]:
    """Measure a classifier on pictures with their class numbers, through its own preprocessing.

    A picture is read rightly if its class is the answer and was not rejected; several digits found in it are a wrong
    answer. `confusion` has a row for each true class and a column for each answer, a rejected one under the card's
    reject class; what was read as several digits of which the first is right has no column. `ece` is the expected
    calibration error over 15 bins (Guo et al. 2017).

    Raises:
        EngineError: there are no pictures.
    """
    import numpy as np

    from engine.measure import calibration_error

    classes = classifier.card.classes
    reject = classes.index(classifier.card.reject) if classifier.card.reject else -1
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    split = np.zeros(len(classes), np.int64)  # rightly begun, but read as several digits; or nothing found
    confidences: list[float] = []
    hits: list[bool] = []
    rejected = 0
    for images, truths in _batches(pictures):
        for truth, answers in zip(truths, classifier.classify([_drawing(image) for image in images]), strict=True):
            first = answers[0] if answers else None
            confidences.append(1.0 if first is None else float(first.probabilities.max()))
            hits.append(reject == truth if first is None else first.best == truth and len(answers) == 1)
            refused = first is None or first.rejected
            rejected += refused
            if refused and reject >= 0:
                confusion[truth, reject] += 1
            elif first is not None and (len(answers) == 1 or first.best != truth):
                confusion[truth, first.best] += 1
            else:
                split[truth] += 1
    totals = confusion.sum(axis=1) + split
    count = int(totals.sum())
    if not count:
        raise EngineError("There are no pictures to evaluate.", "Check the folder.")
    right = confusion.diagonal()
    return {
        "count": count,
        "accuracy": float(right.sum() / count),
        "per_class": {
            label: float(right[i] / totals[i]) if totals[i] else None
            for i, label in enumerate(classes)
            if totals[i] or i != reject
        },
        "classes": list(classes),
        "confusion": confusion.tolist(),
        "ece": calibration_error(np.array(confidences), np.array(hits)),
        "rejected": rejected / count,
    }


def _batches(pictures: Iterator[tuple[Image, int]]) -> Iterator[tuple[list[Image], list[int]]]:
    images: list[Image] = []
    truths: list[int] = []
    for image, truth in pictures:
        images.append(image)
        truths.append(truth)
        if len(images) == _BATCH:
            yield images, truths
            images, truths = [], []
    if images:
        yield images, truths


def _labelled(path: Path, card: ModelCard) -> Iterator[tuple[Image, int]]:
    """Pictures with the number of their class, from IDX files or from class folders."""
    if not path.is_dir():
        raise EngineError(f"There is no folder {path}.", "Name the folder with the pictures or IDX files.")
    from engine.data import read_idx_pair

    split = read_idx_pair(path, "t10k") or read_idx_pair(path, "train")
    return _from_folders(path, card) if split is None else _from_idx(split, card)


def _from_idx(split: Split, card: ModelCard) -> Iterator[tuple[Image, int]]:
    from engine.images import to_rgb

    images, labels = split.images.numpy(), split.labels.numpy()
    if int(labels.max(initial=0)) >= len(card.classes):
        raise EngineError(
            f"These files have more classes than “{card.name}”, which knows {len(card.classes)}.",
            "Choose another model.",
        )
    for image, label in zip(images, labels, strict=True):
        yield to_rgb(image[0]), int(label)


def _from_folders(path: Path, card: ModelCard) -> Iterator[tuple[Image, int]]:
    from engine.images import PICTURES, read_picture
    from engine.sources import find_files

    for part in ("test", "val", "validation"):
        if (path / part).is_dir() and part not in card.classes:
            path = path / part
            break
    folders = sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
    if not folders:
        raise EngineError(
            f"There are no class folders in {path}.",
            "It needs one sub-folder per class, or t10k-images-idx3-ubyte with t10k-labels-idx1-ubyte, gzipped or not.",
        )
    truths: dict[Path, int] = {}
    for folder in folders:
        # Pictures of anything else are rightly rejected by a network that can reject.
        name = folder.name if folder.name in card.classes else card.reject
        if not name:
            raise EngineError(
                f"“{folder.name}” is no class of “{card.name}”.", f"Its classes are: {', '.join(card.classes[:20])}."
            )
        truths[folder] = card.classes.index(name)
    if card.reject and not any(folder.name in card.classes for folder in folders):
        _remark(f"No sub-folder is a class of “{card.name}”: all of it should be rejected.")
    for folder, truth in truths.items():
        for file in find_files(folder, PICTURES):
            try:
                yield read_picture(file), truth
            except EngineError as error:
                _complain(error)


# ------------------------------------------------------------------------------------------------------ models


def _models(options: argparse.Namespace) -> int:
    from engine import zoo
    from engine.downloads import megabytes

    cards = zoo.model_cards()
    for error in zoo.damaged():
        _complain(error)
    if not cards and not options.json:
        _say("There are no models yet. Train one: python main.py train RUN.toml")
    here = {card.name for card in cards}
    listed = [*cards, *(card for card in zoo.catalogue() if card.name not in here)]
    widest = max((len(card.name) for card in listed), default=0)
    for card in listed:
        if options.json:
            _print_json(_about_model(card))
            continue
        best = "".join(
            f"; {name} {_figure(value)}" for name, value in list((card.metrics or card.published).items())[:1]
        )
        missing = ""
        if card.name not in here and card.download is not None:
            missing = f"; not here yet, {megabytes(card.download.size)}: python main.py get {card.name}"
        count = f"{len(card.classes)} class{'es' if len(card.classes) != 1 else ''}"
        about = f"{card.task}, {count}" + (f", {card.parameters:,} parameters" if card.parameters else "")
        _say(f"{card.name:<{widest}}  {about}{best}{missing}")
    return 0


def _about_model(card: ModelCard) -> dict[str, Any]:
    from engine import zoo

    return {
        "name": card.name,
        "title": card.title,
        "task": card.task,
        "architecture": card.architecture,
        "classes": list(card.classes),
        "parameters": card.parameters,
        "metrics": dict(card.metrics),
        "published": dict(card.published),
        "weights": str(card.weights) if card.weights else None,
        "here": zoo.available(card),
        "download": dataclasses.asdict(card.download) if card.download else None,
        "origin": card.origin,
        "licence": card.licence,
    }


def _get(options: argparse.Namespace) -> int:
    from engine import zoo
    from engine.downloads import megabytes

    known = {card.name: card for card in zoo.catalogue()}
    card = known.get(options.name)
    if card is None:
        zoo.model_card(options.name)  # an unknown one is explained
        raise EngineError(
            f"“{options.name}” is here already and not to be downloaded.", f"There are: {', '.join(known)}."
        )
    if any((each.name, each.origin) == (card.name, "downloaded") for each in zoo.model_cards()):
        found = zoo.model_card(card.name)
    elif options.file is not None:
        found = zoo.import_weights(options.file, card)
    else:
        _remark(f"{card.title}. {card.licence}")
        shown = -1

        def progress(done: int, total: int) -> None:
            nonlocal shown
            tenth = 10 * done // total if total else -1
            if tenth != shown:
                shown = tenth
                _remark(f"{megabytes(done)} of {megabytes(total)}")

        found = zoo.download_model(card, progress=progress)
    if options.json:
        _print_json(_about_model(found))
    else:
        _say(f"{found.name} is here: {found.weights}")
    return 0


def _figure(value: float) -> str:
    return f"{value:.2%}" if 0 < value <= 1 else f"{value:.4g}"
