"""ONNX graph: a formula as a file for any ONNX runtime, and what a runtime makes of it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigurationError
from .layers import Formula

# What ONNX calls the activations. All operators used are in operator set 11, which is of 2019.
_OPERATORS = {
    "relu": "Relu",
    "softrelu": "Softplus",
    "sigmoid": "Sigmoid",
    "softsign": "Softsign",
    "tanh": "Tanh",
}
_OPERATOR_SET, _IR_VERSION = 11, 6

# A message of protobuf, which an ONNX file is, ends here; some room is left for the graph.
_LARGEST = 2**31 - 2**20


def onnx_file(formula: Formula) -> bytes:
    """Return a formula as the content of an ONNX file, "ratings" (and "mask") to "predictions".

    Parameters
    ----------
    formula : Formula

    Returns
    -------
    bytes

    Raises
    ------
    ConfigurationError
        If onnx or onnxruntime is missing, or the weights are too large.
    """
    onnx, _ = _modules()
    size = sum(each.nbytes for each in formula.weights.values())
    if size > _LARGEST:
        raise ConfigurationError(
            f"The weights take {size / 1e9:.1f} GB and an ONNX file holds 2.1; choose the format "
            "numpy."
        )
    content: bytes = _graph(onnx, formula).SerializeToString()
    return content


def run_onnx(content: bytes, inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the predictions of an ONNX file, by onnxruntime on the CPU.

    Parameters
    ----------
    content : bytes
        From `onnx_file`.
    inputs : mapping of str to ndarray of float32, shape (n, columns)
        Those of the formula, by name.

    Returns
    -------
    ndarray of float32, shape (n, columns)

    Raises
    ------
    ConfigurationError
        If onnx or onnxruntime is missing.
    """
    _, onnxruntime = _modules()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    predictions: NDArray[np.float32] = session.run(["predictions"], dict(inputs))[0]
    return predictions


def _modules() -> list[ModuleType]:
    """Return the modules onnx and onnxruntime.

    Raises
    ------
    ConfigurationError
        If one is missing.
    """
    names = ("onnx", "onnxruntime")
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise ConfigurationError(
            f"The format onnx needs {' and '.join(names)} ({error}): pip install "
            "'gluon-autorec[onnx]', or choose the format numpy."
        ) from error


def _graph(onnx: ModuleType, formula: Formula) -> Any:
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    nodes: list[Any] = []
    constants: dict[str, NDArray[np.float32]] = dict(formula.weights)

    def add(operator: str, *inputs: str, **attributes: int | list[int]) -> str:
        output = f"{operator.lower()}{len(nodes)}"
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(name: str, value: float | NDArray[np.float32]) -> str:
        constants[name] = np.array(value, dtype=np.float32)
        return name

    x, scaling = "ratings", formula.scaling
    rated = "mask"
    if "mask" not in formula.inputs and (scaling or formula.typical_count):
        rated = add("Abs", add("Sign", x))
    if scaling is not None:
        counts = add("ReduceSum", rated, axes=[1], keepdims=1)
        biases = ""
        if scaling.biased:
            columns = constant("column_biases", scaling.column_biases)
            rest = add("Sub", add("Sub", x, constant("mean", scaling.mean)), columns)
            sums = add("ReduceSum", add("Mul", rest, rated), axes=[1], keepdims=1)
            rows = add("Div", sums, add("Add", counts, constant("damping", scaling.damping)))
            biases = add("Add", rows, columns)
        offset, by_biases, spread, shift = scaling.going_in
        x = add("Sub", x, constant("offset_in", offset))
        x = add("Sub", x, biases) if by_biases else x
        x = add("Div", x, constant("spread_in", spread))
        x = add("Mul", add("Add", x, constant("shift", shift)), rated)
    if formula.typical_count is not None:
        counts = add("ReduceSum", rated, axes=[1], keepdims=1)
        counts = add("Max", counts, constant("least_count", 1))
        factors = add("Sqrt", add("Div", constant("typical_count", formula.typical_count), counts))
        x = add("Mul", x, factors)
    for n, activation in enumerate(formula.activations):
        x = add("Gemm", x, f"weight{n}", f"bias{n}", transB=1)
        if activation != "identity":
            x = add(_OPERATORS[activation], x)
    offset, factor = formula.stretch
    if formula.stretch != (0.0, 1.0):
        x = add("Add", add("Mul", x, constant("factor", factor)), constant("offset", offset))
    if scaling is not None and scaling.ratings_out != "raw":
        offset, by_biases, spread = scaling.coming_out
        some = add("Min", add("ReduceSum", rated, axes=[1], keepdims=1), constant("one", 1))
        some = add("Mul", some, constant("rated_columns", scaling.rated_columns))
        x = add("Mul", add("Mul", x, constant("spread_out", spread)), some)
        x = add("Add", x, biases) if by_biases else x
        x = add("Add", x, constant("offset_out", offset))
    nodes[-1].output[0] = "predictions"

    shape = ["batch", formula.weights["weight0"].shape[1]]
    graph = helper.make_graph(
        nodes,
        "AutoRec",
        [helper.make_tensor_value_info(name, float32, shape) for name in formula.inputs],
        [helper.make_tensor_value_info("predictions", float32, shape)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(
        graph,
        producer_name="autorec",
        opset_imports=[helper.make_opsetid("", _OPERATOR_SET)],
        ir_version=_IR_VERSION,
    )
    onnx.checker.check_model(made)
    return made
