"""Builds ONNX graphs in Python, node by node; each call returns the name of its result.

Knows the format (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, whose field numbers stand
here) and nothing of codecs. The operators are those of opset 17, which onnxruntime has had since
1.12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .protobuf import message

Attribute = int | Sequence[int]
Constant = np.ndarray | Callable[[], np.ndarray]
Shape = Sequence[int | str]  # a name stands for a length that is known only when the graph runs

_OPSET, _IR_VERSION = 17, 8
_TYPES = {"float32": 1, "int32": 6, "int64": 7, "bool": 9}  # TensorProto.DataType
_INT, _INTS = 2, 7  # AttributeProto.AttributeType
_EXTERNAL = 1  # TensorProto.DataLocation
_LARGE_BYTES = 1024


class Graph:
    """A graph under construction. Values are known by name; `node` and `constant` give new
    names.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        # Turned into bytes late: it takes time, and may never be asked for.
        self._nodes: list[_Node] = []
        self._constants: dict[str, Constant] = {}
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._output_names: dict[str, str] = {}  # of values
        self._values = 0

    def input(self, name: str, dtype: str, shape: Shape) -> str:
        """Add an input of the graph."""
        self._inputs.append(_value_info(name, dtype, shape))
        return name

    def constant(self, array: Constant) -> str:
        """Add an array, or what a function returns, as a constant; float16 becomes float32."""
        name = self._new_name("constant")
        self._constants[name] = array
        return name

    def node(self, operator: str, *inputs: str, **attributes: Attribute) -> str:
        """Add an operator and return the name of its result."""
        name = self._new_name(operator)
        self._nodes.append(_Node(operator, inputs, name, attributes))
        return name

    def integer(self, value: int) -> str:
        """Add an int64 scalar, such as an index."""
        return self.constant(np.array(value, np.int64))

    def number(self, value: float) -> str:
        """Add a float32 scalar."""
        return self.constant(np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        """Add an int64 vector, such as axes."""
        return self.constant(np.array(values, np.int64))

    def cast(self, value: str, dtype: str) -> str:
        """Convert a value to another type."""
        return self.node("Cast", value, to=_TYPES[dtype])

    def unsqueeze(self, value: str, axis: int) -> str:
        """Add an axis of length 1."""
        return self.node("Unsqueeze", value, self.integers(axis))

    def slice(self, value: str, start: int, end: int | None, *, axis: int) -> str:
        """Compute `value[start:end]` along one axis."""
        stop = np.iinfo(np.int64).max if end is None else end
        return self.node(
            "Slice", value, self.integers(start), self.integers(stop), self.integers(axis)
        )

    def output(self, name: str, value: str, dtype: str, shape: Shape) -> None:
        """Declare the result of a node as the graph's output `name`."""
        self._output_names[value] = name
        self._outputs.append(_value_info(name, dtype, shape))

    def to_bytes(self, metadata: Mapping[str, str] | None = None) -> bytes:
        """Return the `.onnx` file."""
        constants = [_tensor(name, array) for name, array in self._arrays()]
        return self._file(constants, metadata or {})

    def without_large_constants(self) -> tuple[bytes, dict[str, np.ndarray]]:
        """Return the `.onnx` file with its large constants stated as external data, and these: a
        session takes them where they lie, without copies of the whole file.
        """
        small, large = [], {}
        for name, array in self._arrays():
            if array.nbytes > _LARGE_BYTES:
                large[name] = array
            else:
                small.append(_tensor(name, array))
        stated = [_external_tensor(name, array) for name, array in large.items()]
        return self._file([*small, *stated], {}), large

    def _arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        for name, given in self._constants.items():
            yield name, _storable(given() if callable(given) else given)

    def _file(self, constants: Sequence[bytes], metadata: Mapping[str, str]) -> bytes:
        graph = message(
            (1, [node.to_bytes(self._output_names) for node in self._nodes]),
            (2, self.name),
            (5, constants),
            (11, self._inputs),
            (12, self._outputs),
        )
        properties = [message((1, key), (2, value)) for key, value in metadata.items()]
        opset = message((1, ""), (2, _OPSET))
        return message(
            (1, _IR_VERSION), (2, "diveq-codec"), (7, graph), (8, opset), (14, properties)
        )

    def _new_name(self, kind: str) -> str:
        self._values += 1
        return f"{kind.lower()}_{self._values}"


@dataclass(frozen=True, slots=True)
class _Node:
    operator: str
    inputs: Sequence[str]
    name: str  # its own, and its result's
    attributes: Mapping[str, Attribute]

    def to_bytes(self, renamed: Mapping[str, str]) -> bytes:
        inputs = [renamed.get(name, name) for name in self.inputs]
        name = renamed.get(self.name, self.name)
        attributes = [_attribute(key, value) for key, value in self.attributes.items()]
        return message((1, inputs), (2, [name]), (3, name), (4, self.operator), (5, attributes))


def _tensor(name: str, array: np.ndarray) -> bytes:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return message(
        (1, array.shape), (2, _TYPES[array.dtype.name]), (8, name), (9, little.tobytes())
    )


def _external_tensor(name: str, array: np.ndarray) -> bytes:
    """A tensor whose values whoever runs the graph gives; the format wants a file's name."""
    given = [message((1, "location"), (2, "memory"))]
    return message(
        (1, array.shape), (2, _TYPES[array.dtype.name]), (8, name), (13, given), (14, _EXTERNAL)
    )


def _storable(array: np.ndarray) -> np.ndarray:
    """The array in a type of `_TYPES`, its values one after another."""
    array = np.asarray(array, order="C")
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        return message((1, name), (3, value), (20, _INT))
    return message((1, name), (8, value), (20, _INTS))


def _value_info(name: str, dtype: str, shape: Shape) -> bytes:
    dimensions = [
        message((1, length)) if isinstance(length, int) else message((2, length))
        for length in shape
    ]
    tensor = message((1, _TYPES[dtype]), (2, message((1, dimensions))))
    return message((1, name), (2, message((1, tensor))))
