"""ConvScope's engine: everything except the window. Usable from a script, a notebook or the command line.

What is named here is the whole of what the window may use. Names are loaded when first asked for, so importing
`engine` costs nothing and the window shows before OpenCV, OpenVINO or torch are loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.access import AccessLog as AccessLog
    from engine.access import AccessRules as AccessRules
    from engine.concurrency import Latest as Latest
    from engine.concurrency import Lock as Lock
    from engine.concurrency import Worker as Worker
    from engine.concurrency import on_thread_failure as on_thread_failure
    from engine.counting import Counter as Counter
    from engine.counting import CountLog as CountLog
    from engine.counting import CountState as CountState
    from engine.counting import Event as Event
    from engine.counting import Line as Line
    from engine.counting import Place as Place
    from engine.counting import Values as Values
    from engine.counting import Zone as Zone
    from engine.counting import places_from_json as places_from_json
    from engine.counting import places_to_json as places_to_json
    from engine.counting import write_log as write_log
    from engine.counting import write_values as write_values
    from engine.downloads import megabytes as megabytes
    from engine.errors import Cancelled as Cancelled
    from engine.errors import EngineError as EngineError
    from engine.errors import WriteError as WriteError
    from engine.export import DetectionExport as DetectionExport
    from engine.gallery import Gallery as Gallery
    from engine.gallery import Person as Person
    from engine.gallery import SameNames as SameNames
    from engine.gallery import Shot as Shot
    from engine.gallery import Visit as Visit
    from engine.gallery import model_id as model_id
    from engine.gallery import recogniser as recogniser
    from engine.images import read_picture as read_picture
    from engine.labels import LabelledBox as LabelledBox
    from engine.labels import LabelledPicture as LabelledPicture
    from engine.labels import LabelledSet as LabelledSet
    from engine.labels import RemovedPicture as RemovedPicture
    from engine.labels import class_name as class_name
    from engine.live import LiveSession as LiveSession
    from engine.live import ModelState as ModelState
    from engine.liveness import Liveness as Liveness
    from engine.liveness import LivenessState as LivenessState
    from engine.liveness import screen_pattern as screen_pattern
    from engine.networks.onnx import OnnxFound as OnnxFound
    from engine.networks.onnx import OnnxQuestion as OnnxQuestion
    from engine.recognition import Comparisons as Comparisons
    from engine.recognition import Match as Match
    from engine.recognition import Recogniser as Recogniser
    from engine.recognition import cluster as cluster
    from engine.recording import Recording as Recording
    from engine.recording import RecordingState as RecordingState
    from engine.recording import left_over as left_over
    from engine.sealed import WrongPassphrase as WrongPassphrase
    from engine.sorting import STRANGER as STRANGER
    from engine.sorting import SortItem as SortItem
    from engine.sorting import SortJournal as SortJournal
    from engine.sorting import SortOutcome as SortOutcome
    from engine.sorting import SortPlan as SortPlan
    from engine.sorting import Tag as Tag
    from engine.sorting import Tagged as Tagged
    from engine.sorting import apply_sorting as apply_sorting
    from engine.sorting import find_pictures as find_pictures
    from engine.sorting import forget_sorted_people as forget_sorted_people
    from engine.sorting import forget_sorting as forget_sorting
    from engine.sorting import group_pictures as group_pictures
    from engine.sorting import last_sorting as last_sorting
    from engine.sorting import plan_sorting as plan_sorting
    from engine.sorting import tag_pictures as tag_pictures
    from engine.sorting import undo_sorting as undo_sorting
    from engine.sources import Camera as Camera
    from engine.sources import Capture as Capture
    from engine.sources import CaptureState as CaptureState
    from engine.sources import SourceInfo as SourceInfo
    from engine.sources import list_cameras as list_cameras
    from engine.sources import open_source as open_source
    from engine.speed import Speed as Speed
    from engine.speed import known_speeds as known_speeds
    from engine.speed import measure_speed as measure_speed
    from engine.store import data_folder as data_folder
    from engine.store import replace_file as replace_file
    from engine.training.config import Field as Field
    from engine.training.config import TrainingConfig as TrainingConfig
    from engine.training.events import Epoch as Epoch
    from engine.training.events import History as History
    from engine.training.events import Progress as Progress
    from engine.training.events import Started as Started
    from engine.training.events import Step as Step
    from engine.training.events import Stopped as Stopped
    from engine.training.events import TrainingEvent as TrainingEvent
    from engine.training.runs import Run as Run
    from engine.training.runs import new_run as new_run
    from engine.training.runs import runs as runs
    from engine.types import NOT_A_DIGIT as NOT_A_DIGIT
    from engine.types import Activations as Activations
    from engine.types import Classification as Classification
    from engine.types import Detections as Detections
    from engine.types import Download as Download
    from engine.types import FaceMatch as FaceMatch
    from engine.types import FaceQuality as FaceQuality
    from engine.types import Frame as Frame
    from engine.types import Heat as Heat
    from engine.types import Layer as Layer
    from engine.types import ModelCard as ModelCard
    from engine.types import Preprocess as Preprocess
    from engine.types import Region as Region
    from engine.types import Result as Result
    from engine.types import Timings as Timings
    from engine.vision import open_reader as open_reader
    from engine.vision.faces import FaceReader as FaceReader
    from engine.zoo import catalogue as catalogue
    from engine.zoo import download_model as download_model
    from engine.zoo import import_onnx as import_onnx
    from engine.zoo import import_weights as import_weights
    from engine.zoo import kernels as kernels
    from engine.zoo import model_card as model_card
    from engine.zoo import model_cards as model_cards
    from engine.zoo import read_onnx as read_onnx
    from engine.zoo import remove_model as remove_model

_HOMES = {
    "engine.access": "AccessLog AccessRules",
    "engine.concurrency": "Latest Lock Worker on_thread_failure",
    "engine.counting": "Counter CountLog CountState Event Line Place Values Zone places_from_json places_to_json "
    "write_log write_values",
    "engine.downloads": "megabytes",
    "engine.errors": "Cancelled EngineError WriteError",
    "engine.export": "DetectionExport",
    "engine.gallery": "Gallery Person SameNames Shot Visit model_id recogniser",
    "engine.images": "read_picture",
    "engine.labels": "LabelledBox LabelledPicture LabelledSet RemovedPicture class_name",
    "engine.live": "LiveSession ModelState",
    "engine.liveness": "Liveness LivenessState screen_pattern",
    "engine.networks.onnx": "OnnxFound OnnxQuestion",
    "engine.recognition": "Comparisons Match Recogniser cluster",
    "engine.recording": "Recording RecordingState left_over",
    "engine.sealed": "WrongPassphrase",
    "engine.sorting": "STRANGER SortItem SortJournal SortOutcome SortPlan Tag Tagged apply_sorting find_pictures "
    "forget_sorted_people forget_sorting group_pictures last_sorting plan_sorting tag_pictures undo_sorting",
    "engine.sources": "Camera Capture CaptureState SourceInfo list_cameras open_source",
    "engine.speed": "Speed known_speeds measure_speed",
    "engine.store": "data_folder replace_file",
    "engine.training.config": "Field TrainingConfig",
    "engine.training.events": "Epoch History Progress Started Step Stopped TrainingEvent",
    "engine.training.runs": "Run new_run runs",
    "engine.types": "NOT_A_DIGIT Activations Classification Detections Download FaceMatch FaceQuality Frame Heat "
    "Layer ModelCard Preprocess Region Result Timings",
    "engine.vision": "open_reader",
    "engine.vision.faces": "FaceReader",
    "engine.zoo": "catalogue download_model import_onnx import_weights kernels model_card model_cards read_onnx "
    "remove_model",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'engine' has no attribute {name!r}")
