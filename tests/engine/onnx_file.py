"""Writes small ONNX files for tests, byte by byte (onnx.proto), so that they need neither `onnx` nor an exporter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_KINDS = {np.dtype(np.float32): 1, np.dtype(np.uint8): 2, np.dtype(np.int64): 7}


def varint(value: int) -> bytes:
    parts = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        parts.append(low | (0x80 if value else 0))
        if not value:
            return bytes(parts)


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, values: Array, *, elsewhere: str = "") -> bytes:
    head = b"".join(field(1, side) for side in values.shape) + field(2, _KINDS[values.dtype]) + field(8, name)
    if elsewhere:
        return head + field(13, field(1, "location") + field(2, elsewhere)) + field(14, 1)
    return head + field(9, values.tobytes())


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: int | Sequence[int]) -> bytes:
    data = b"".join(field(1, name) for name in inputs) + b"".join(field(2, name) for name in outputs)
    data += field(3, f"/model/{outputs[0]}/{kind}") + field(4, kind)
    for name, value in attributes.items():
        if isinstance(value, int):
            data += field(5, field(1, name) + field(3, value) + field(20, 2))
        else:
            data += field(5, field(1, name) + b"".join(field(8, each) for each in value) + field(20, 7))
    return data


def port(name: str, shape: Sequence[int | str], kind: type = np.float32) -> bytes:
    sides = b"".join(field(1, field(1, side) if isinstance(side, int) else field(2, side)) for side in shape)
    return field(1, name) + field(2, field(1, field(1, _KINDS[np.dtype(kind)]) + field(2, sides)))


def model(
    nodes: Sequence[bytes],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
    constants: Sequence[bytes] = (),
    said: Mapping[str, str] | None = None,
) -> bytes:
    graph = b"".join(field(1, each) for each in nodes) + field(2, "graph")
    graph += b"".join(field(5, each) for each in constants)
    graph += b"".join(field(11, each) for each in inputs) + b"".join(field(12, each) for each in outputs)
    data = field(1, 8) + field(2, "a test") + field(7, graph) + field(8, field(1, "") + field(2, 13))
    return data + b"".join(field(14, field(1, key) + field(2, value)) for key, value in (said or {}).items())


def detector(
    tables: Mapping[str, Array],
    *,
    size: int | str = 64,
    said: Mapping[str, str] | None = None,
    batch: int | str = 1,
    last: bool = False,
    kind: type = np.float32,
) -> bytes:
    """A network that answers with these tables, whatever it sees: (1, …) each, without a look at it.

    The picture goes through a convolution (`conv`) all the same, so that there is a layer to look into.
    """
    shape: list[int | str] = [batch, size, size, 3] if last else [batch, 3, size, size]
    nodes = [node("Cast", ["images"], ["floats"], to=1)]
    source = "floats"
    if last:
        nodes.append(node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]))
        source = "planes"
    weights = np.full((4, 3, 1, 1), 1 / 3, np.float32)
    nodes += [
        node("Conv", [source, "weights", "bias"], ["conv"], kernel_shape=[1, 1]),
        node("ReduceMean", ["conv"], ["level"], axes=[1, 2, 3], keepdims=0),
    ]
    constants = [tensor("weights", weights), tensor("bias", np.zeros(4, np.float32))]
    for name, values in tables.items():
        constants.append(tensor(f"{name} table", values))
        if values.dtype != np.float32:
            nodes.append(node("Identity", [f"{name} table"], [name]))
            continue
        nodes += [
            node("Sub", ["level", "level"], [f"{name} nothing"]),
            node("Add", [f"{name} table", f"{name} nothing"], [name]),
        ]
    outputs = [port(name, values.shape, values.dtype.type) for name, values in tables.items()]
    return model(nodes, [port("images", shape, kind)], outputs, constants, said)
