"""The networks: one file a family, each builder registered beside its code.

A builder returns an `nn.Module` whose layers are named for display (`conv1`, `relu1`, `pool1`, … `fc1`). This module
imports torch only when a network is asked for, so a list of names costs nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from engine.errors import EngineError
from engine.types import Task

if TYPE_CHECKING:
    from torch import nn

# Modules of this package, in the order in which people see their networks.
FAMILIES = ("digits", "detector", "faces", "imagenet", "coco")


class Builder(Protocol):
    def __call__(
        self, *, classes: int, channels: int, image_size: int, dropout: float = 0.0, **arguments: Any
    ) -> nn.Module: ...


@dataclass(frozen=True)
class Architecture:
    """A network that can be built for any number of classes.

    Attributes:
        teachable: offered for training from the window.
        task: what it answers with, and so what kind of data it learns from.
    """

    name: str
    title: str
    help: str
    build: Callable[..., nn.Module]
    teachable: bool = True
    task: Task = "classification"


_ARCHITECTURES: dict[str, Architecture] = {}


def register(
    name: str, *, title: str, help: str, teachable: bool = True, task: Task = "classification"
) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Enter the decorated builder into the registry under `name`."""

    def enter(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        if name in _ARCHITECTURES:
            raise ValueError(f"two networks are called {name!r}")
        _ARCHITECTURES[name] = Architecture(name, title, help, build, teachable, task)
        return build

    return enter


def architectures() -> dict[str, Architecture]:
    """All networks by name (imports torch)."""
    for family in FAMILIES:
        importlib.import_module(f"engine.networks.{family}")
    return dict(_ARCHITECTURES)


def build(name: str, *, classes: int, channels: int, image_size: int, **arguments: Any) -> nn.Module:
    """A freshly initialised network for (N, channels, image_size, image_size).

    A classifier gives (N, classes) logits, a detector its candidates as `engine.types.ModelCard.boxes` tells.

    Raises:
        EngineError: there is no network of that name.
    """
    known = architectures()
    if name not in known:
        raise EngineError(f"There is no network called “{name}”.", f"Known networks: {', '.join(sorted(known))}.")
    return known[name].build(classes=classes, channels=channels, image_size=image_size, **arguments)
