"""Build an ONNX graph by expressions that read like numpy."""

from contextlib import contextmanager
from itertools import count

import numpy as np
from onnx import checker, compose, helper, inliner, numpy_helper

OPSET = 18
# Protocol buffers, which ONNX files are, end here.
LARGEST_FILE = 2**31 - 1


class Graph:
    """An ONNX graph in the making; ``n_bytes`` is the size of all constants."""

    def __init__(self):
        self.n_bytes = 0
        self._numbers = count()
        self._bodies = [[]]
        self._constants, self._inputs, self._outputs = [], [], []
        self._opsets = {"": OPSET}

    def input(self, name, dtype, shape):
        """Return an input of the graph; a string in ``shape`` names a free axis."""
        self._inputs.append(tensor_info(name, dtype, shape))
        return Value(self, name, dtype)

    def output(self, name, value, shape):
        """Make a value an output of the graph."""
        self._append("Identity", [value.name], [name])
        self._outputs.append(tensor_info(name, value.dtype, shape))

    def constant(self, array):
        """Return an array, or a number, as a value."""
        array = np.asarray(array)
        if array.dtype.kind == "U":
            array = array.astype(object)
        tensor = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape))
        tensor.name = self._new_name()
        self._constants.append(tensor)
        self.n_bytes += array.nbytes
        return Value(self, tensor.name, array.dtype)

    def op(self, kind, *inputs, dtype=None, n_outputs=1, **attributes):
        """Apply an operator of ONNX to values and arrays.

        It has the dtype of the first input where no other is given.
        """
        inputs = [x if isinstance(x, Value) else self.constant(x) for x in inputs]
        outputs = [
            Value(self, self._new_name(), inputs[0].dtype if dtype is None else dtype)
            for _ in range(n_outputs)
        ]
        names = [[value.name for value in values] for values in (inputs, outputs)]
        self._append(kind, *names, **attributes)
        return outputs[0] if n_outputs == 1 else outputs

    def where(self, condition, x, y):
        """Return x where the condition is true, else y."""
        dtype = np.result_type(*(getattr(part, "dtype", part) for part in (x, y)))
        return self.op(
            "Where", condition, *(self._cast(part, dtype) for part in (x, y)), dtype=dtype
        )

    def each_row(self, function, *tables):
        """Apply a function to each row of some tables, and return the results side by side.

        It never holds more than one row's worth beside the result, of shape (n_samples,
        n_rows). The function maps a row of each table to a value of shape (n_samples,).
        """
        with self._body() as nodes:
            rows = [Value(self, self._new_name(), table.dtype) for table in tables]
            result = function(*rows)
        infos = [
            tensor_info(row.name, row.dtype, table.shape[1:])
            for row, table in zip(rows, tables)
        ]
        outputs = [tensor_info(result.name, result.dtype, [None])]
        body = helper.make_graph(nodes, self._new_name(), infos, outputs)
        rows = self.op(
            "Scan", *tables, dtype=result.dtype, body=body, num_scan_inputs=len(tables)
        )
        # Scan itself could put them side by side, but onnxruntime 1.32 then divides by the
        # number of samples, and a batch of none ends the process.
        return self.op("Transpose", rows)

    def repeat(self, function, state, most):
        """Return what becomes of some values when a function is applied again and again.

        The function maps the number of the round, from 0, and the values, of shape
        (n_samples, n_columns), to whether to go on, a boolean, and the next values of the
        same shape and dtype. There are ``most`` rounds at most.
        """
        with self._body() as nodes:
            round_ = Value(self, self._new_name(), np.dtype(np.int64))
            before = Value(self, self._new_name(), np.dtype(bool))
            old = [Value(self, self._new_name(), value.dtype) for value in state]
            goes_on, new = function(round_, *old)
        inputs = [
            tensor_info(round_.name, round_.dtype, []),
            tensor_info(before.name, before.dtype, []),
        ]
        inputs += [tensor_info(x.name, x.dtype, [None, None]) for x in old]
        outputs = [tensor_info(goes_on.name, goes_on.dtype, [])]
        outputs += [tensor_info(x.name, x.dtype, [None, None]) for x in new]
        body = helper.make_graph(nodes, self._new_name(), inputs, outputs)
        return self.op(
            "Loop",
            np.int64(most),
            np.bool_(True),
            *state,
            dtype=state[0].dtype,
            n_outputs=len(state),
            body=body,
        )

    def include(self, model, prefix, *values):
        """Return the outputs of another model, fed with values, a single one by itself.

        The prefix makes its names different from all others.
        """
        if model.functions:
            model = inliner.inline_local_functions(model)
        model = compose.add_prefix(model, prefix)
        for opset in model.opset_import:
            known = self._opsets.get(opset.domain, 0)
            self._opsets[opset.domain] = max(known, opset.version)
        for node in model.graph.node:
            # The exporter of torch notes where in whose files each node comes from.
            node.ClearField("metadata_props")
            node.ClearField("doc_string")
        for tensor in model.graph.initializer:
            tensor.ClearField("metadata_props")
            tensor.ClearField("doc_string")
            self.n_bytes += tensor.ByteSize()
        for source, value in zip(model.graph.input, values, strict=True):
            self._append("Identity", [value.name], [source.name])
        self._bodies[-1] += model.graph.node
        self._constants += model.graph.initializer
        outputs = []
        for output in model.graph.output:
            kind = output.type.tensor_type.elem_type
            dtype = helper.tensor_dtype_to_np_dtype(kind)
            outputs.append(Value(self, output.name, dtype))
        return outputs[0] if len(outputs) == 1 else outputs

    def model(self, name, producer, version, metadata):
        """Return the checked model; raise ValueError if no file of ONNX can hold it."""
        check_size(self.n_bytes)
        graph = helper.make_graph(
            self._bodies[0], name, self._inputs, self._outputs, self._constants
        )
        opsets = [helper.make_opsetid(*opset) for opset in sorted(self._opsets.items())]
        model = helper.make_model(
            graph,
            opset_imports=opsets,
            # Not the newest one, so that older runtimes read it.
            ir_version=helper.find_min_ir_version_for(opsets),
            producer_name=producer,
            producer_version=version,
        )
        helper.set_model_props(model, metadata)
        checker.check_model(model, full_check=True)
        return model

    def _new_name(self):
        return f"v{next(self._numbers)}"

    def _append(self, kind, inputs, outputs, **attributes):
        self._bodies[-1].append(helper.make_node(kind, inputs, outputs, **attributes))

    @contextmanager
    def _body(self):
        """Collect the nodes of a block, which become those of a graph inside of a node."""
        self._bodies.append([])
        try:
            yield self._bodies[-1]
        finally:
            self._bodies.pop()

    def _cast(self, x, dtype):
        """Return x as a value of a dtype."""
        return (
            x.astype(dtype)
            if isinstance(x, Value)
            else self.constant(np.asarray(x).astype(dtype))
        )


def binary(kind, dtype=None, swapped=False):
    """Return a method that applies an operator to two values of one dtype."""

    def method(self, other):
        parts = (other, self) if swapped else (self, other)
        common = np.result_type(*(getattr(x, "dtype", x) for x in parts))
        parts = [self.graph._cast(x, common) for x in parts]
        return self.graph.op(kind, *parts, dtype=dtype)

    return method


def unary(kind, dtype=None):
    """Return a method that applies an operator to a value."""
    return lambda self: self.graph.op(kind, self, dtype=dtype)


class Value:
    """A tensor of a graph, with the arithmetic and the promotion of dtypes of numpy."""

    __array_ufunc__ = None  # an array on the left leaves the operation to this class

    def __init__(self, graph, name, dtype):
        self.graph = graph
        self.name = name
        self.dtype = np.dtype(dtype)

    __add__, __radd__ = binary("Add"), binary("Add", swapped=True)
    __sub__, __rsub__ = binary("Sub"), binary("Sub", swapped=True)
    __mul__, __rmul__ = binary("Mul"), binary("Mul", swapped=True)
    __truediv__, __rtruediv__ = binary("Div"), binary("Div", swapped=True)
    __pow__, __matmul__ = binary("Pow"), binary("MatMul")
    __lt__, __le__ = binary("Less", bool), binary("LessOrEqual", bool)
    __gt__, __ge__ = binary("Greater", bool), binary("GreaterOrEqual", bool)
    __and__, __or__, __invert__ = binary("And"), binary("Or"), unary("Not")
    __neg__, abs, sqrt = unary("Neg"), unary("Abs"), unary("Sqrt")
    exp, log, isnan = unary("Exp"), unary("Log"), unary("IsNaN", bool)
    minimum, maximum, equals = binary("Min"), binary("Max"), binary("Equal", bool)

    def astype(self, dtype):
        """Return this in another dtype."""
        dtype = np.dtype(dtype)
        if dtype == self.dtype:
            return self
        kind = helper.np_dtype_to_tensor_dtype(dtype)
        return self.graph.op("Cast", self, dtype=dtype, to=kind)

    def at(self, index):
        """Return the element of each row in the column that a column of indices names."""
        return self.graph.op("GatherElements", self, index, axis=1)

    def column(self):
        """Return one number for each row as a column."""
        return self.graph.op("Unsqueeze", self, np.array([1]))

    def flat(self):
        """Return a column as one number for each row."""
        return self.graph.op("Squeeze", self, np.array([1]))

    def columns(self, start, stop):
        """Return some columns."""
        bounds = [np.array([at], dtype=np.int64) for at in (start, stop, 1)]
        return self.graph.op("Slice", self, *bounds)

    def reduce(self, how, axis, keepdims=False):
        """Return a reduction of ONNX, such as ``"Sum"``, over one axis."""
        axes = np.array([axis], dtype=np.int64)
        return self.graph.op(f"Reduce{how}", self, axes, keepdims=int(keepdims))

    def lengths(self, keepdims=False):
        """Return the Euclidean length of each row."""
        return self.reduce("SumSquare", 1, keepdims=keepdims).sqrt()

    def length_one(self):
        """Return each row brought to length one, but for those of zeros."""
        largest = self.abs().reduce("Max", 1, keepdims=True)
        rows = self / self.graph.where(largest > 0.0, largest, 1.0)
        length = rows.lengths(keepdims=True)
        return rows / self.graph.where(length > 0.0, length, 1.0)

    def distances(self, points):
        """Return the Euclidean distance of each row to each point, from differences."""
        return self.graph.each_row(lambda point: (self - point).lengths(), points)

    def log_sum_exp(self):
        """Return the logarithm of the sum of the exponentials of each row, a column."""
        return self.reduce("LogSumExp", 1, keepdims=True)

    def argmax(self):
        """Return the first index of the largest of each row."""
        return self.graph.op("ArgMax", self, axis=1, keepdims=0, dtype=np.int64)

    def top(self, k, largest=True):
        """Return the indices of the k largest or smallest of each row, the first first."""
        _, indices = self.graph.op(
            "TopK",
            self,
            np.array([k], dtype=np.int64),
            axis=1,
            largest=int(largest),
            n_outputs=2,
        )
        return Value(self.graph, indices.name, np.int64)


def tensor_info(name, dtype, shape):
    """Return what ONNX has to know of an input or output."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, shape)


def check_size(n_bytes):
    """Raise ValueError if so many bytes do not go into one file of ONNX."""
    if n_bytes > LARGEST_FILE:
        raise ValueError(
            f"estimator takes {n_bytes / 2**30:.1f} GiB, and an ONNX file holds at most "
            "2 GiB: its network, or what its score keeps, such as the training samples of "
            "'knn', must be smaller."
        )
