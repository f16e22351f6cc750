"""Sessions of TensorFlow's C library, through ctypes.

Theory of operation. Two libraries of the wheel are opened once a process, with `RTLD_LOCAL`: their symbols (they carry a
BoringSSL) would otherwise displace those of Python's own extension modules. A `Session` owns one graph and one session.

Cheap functions are called through a `PyDLL`, which keeps the interpreter's lock: dropping and taking it again costs more
than the call and lets any busy thread in between. Those that take time (import, create, run, delete) go through a `CDLL`,
which drops it. Every pointer has one owner, and every owner frees in a `finally`.

Deleting a session while it runs is a segmentation fault (measured), so `run` and `close` exclude each other by a lock, and
a run after `close` is an error, not a crash.

Strings are `TF_TString`, 24 bytes each, short ones inline. Those of an input are ours: they are freed when the outputs
have been read, because an output may share the buffer of an input. Those of an output are freed with their tensor.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.core.errors import EngineUnavailableError
from serving.scorers.tensorflow.library import library_files

Array = NDArray[Any]
"""Numbers of any dtype, or an object array of `bytes`."""

STRING = 7
NUMPY_OF: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    5: np.dtype(np.int16),
    6: np.dtype(np.int8),
    STRING: np.dtype(object),
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    17: np.dtype(np.uint16),
    19: np.dtype(np.float16),
    22: np.dtype(np.uint32),
}
"""TensorFlow's DataType -> numpy's, for those that go in and out."""
CODE_OF = {dtype: code for code, dtype in NUMPY_OF.items()}
"""And back."""

_TSTRING_BYTES = 24
CANCELLED = 1
DEADLINE_EXCEEDED = 4
RESOURCE_EXHAUSTED = 8
FAILED_PRECONDITION = 9
UNIMPLEMENTED = 12


class TensorFlowError(Exception):
    """TensorFlow answered with an error status.

    Attributes:
        code: Its number (the codes of gRPC): `DEADLINE_EXCEEDED`, `RESOURCE_EXHAUSTED`, ...
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Output(ctypes.Structure):
    _fields_ = (("operation", c_void_p), ("index", c_int))


class _Buffer(ctypes.Structure):
    _fields_ = (("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p))


class _Library:
    """The functions in use, with their types. Opening loads 285 MB, nearly all of it clean pages of the file."""

    def __init__(self) -> None:
        framework, library = library_files()
        # Read by TensorFlow when it is opened: otherwise it announces the machine's instruction set on standard error.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        try:
            ctypes.CDLL(str(framework), mode=ctypes.RTLD_LOCAL)
            slow = ctypes.CDLL(str(library), mode=ctypes.RTLD_LOCAL)
            fast = ctypes.PyDLL(str(library), mode=ctypes.RTLD_LOCAL)
            self._bind(slow, fast)
        except (OSError, AttributeError) as error:
            raise EngineUnavailableError(f"TensorFlow's C library {library} cannot be used: {error}") from error

    def _bind(self, slow: ctypes.CDLL, fast: ctypes.PyDLL) -> None:
        def bind(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
            return function  # type: ignore[no-any-return]  # ctypes makes functions of attributes

        buffer = POINTER(_Buffer)
        self.version = bind(fast, "TF_Version", c_char_p)
        self.new_status = bind(fast, "TF_NewStatus", c_void_p)
        self.delete_status = bind(fast, "TF_DeleteStatus", None, c_void_p)
        self.status_code = bind(fast, "TF_GetCode", c_int, c_void_p)
        self.status_message = bind(fast, "TF_Message", c_char_p, c_void_p)
        self.new_buffer = bind(fast, "TF_NewBufferFromString", buffer, c_char_p, c_size_t)
        self.delete_buffer = bind(fast, "TF_DeleteBuffer", None, buffer)
        self.all_operations = bind(fast, "TF_GetAllOpList", buffer)
        self.new_graph = bind(fast, "TF_NewGraph", c_void_p)
        self.delete_graph = bind(slow, "TF_DeleteGraph", None, c_void_p)
        self.new_import_options = bind(fast, "TF_NewImportGraphDefOptions", c_void_p)
        self.delete_import_options = bind(fast, "TF_DeleteImportGraphDefOptions", None, c_void_p)
        self.import_graph = bind(slow, "TF_GraphImportGraphDef", None, c_void_p, buffer, c_void_p, c_void_p)
        self.operation = bind(fast, "TF_GraphOperationByName", c_void_p, c_void_p, c_char_p)
        self.operation_outputs = bind(fast, "TF_OperationNumOutputs", c_int, c_void_p)
        self.new_session_options = bind(fast, "TF_NewSessionOptions", c_void_p)
        self.delete_session_options = bind(fast, "TF_DeleteSessionOptions", None, c_void_p)
        self.set_config = bind(fast, "TF_SetConfig", None, c_void_p, c_char_p, c_size_t, c_void_p)
        self.new_session = bind(slow, "TF_NewSession", c_void_p, c_void_p, c_void_p, c_void_p)
        self.close_session = bind(slow, "TF_CloseSession", None, c_void_p, c_void_p)
        self.delete_session = bind(slow, "TF_DeleteSession", None, c_void_p, c_void_p)
        self.run = bind(
            slow, "TF_SessionRun", None, c_void_p, buffer,
            POINTER(_Output), POINTER(c_void_p), c_int,
            POINTER(_Output), POINTER(c_void_p), c_int,
            POINTER(c_void_p), c_int, buffer, c_void_p,
        )  # fmt: skip
        self.new_tensor = bind(fast, "TF_AllocateTensor", c_void_p, c_int, POINTER(c_int64), c_int, c_size_t)
        self.delete_tensor = bind(fast, "TF_DeleteTensor", None, c_void_p)
        self.tensor_data = bind(fast, "TF_TensorData", c_void_p, c_void_p)
        self.tensor_bytes = bind(fast, "TF_TensorByteSize", c_size_t, c_void_p)
        self.tensor_type = bind(fast, "TF_TensorType", c_int, c_void_p)
        self.tensor_rank = bind(fast, "TF_NumDims", c_int, c_void_p)
        self.tensor_dimension = bind(fast, "TF_Dim", c_int64, c_void_p, c_int)
        self.string_init = bind(fast, "TF_StringInit", None, c_void_p)
        self.string_copy = bind(fast, "TF_StringCopy", None, c_void_p, c_char_p, c_size_t)
        self.string_data = bind(fast, "TF_StringGetDataPointer", c_void_p, c_void_p)
        self.string_size = bind(fast, "TF_StringGetSize", c_size_t, c_void_p)
        self.string_free = bind(fast, "TF_StringDealloc", None, c_void_p)


@cache
def _open() -> _Library:
    return _Library()


def version() -> str:
    """TensorFlow's version, as its library tells it.

    Raises:
        EngineUnavailableError: The library is missing or cannot be opened.
    """
    return str(_open().version().decode())


def all_operations() -> bytes:
    """What the library can do: a serialized OpList.

    Raises:
        EngineUnavailableError: The library is missing or cannot be opened.
    """
    library = _open()
    buffer = library.all_operations()
    try:
        return ctypes.string_at(buffer.contents.data, buffer.contents.length)
    finally:
        library.delete_buffer(buffer)


class Session:
    """One graph, ready to run with fixed feeds and fetches.

    Safe to use from several threads, one at a time: `run` and `close` wait for each other.

    Args:
        graph: A serialized GraphDef.
        feeds: Tensors (`name:index`) that each run supplies, all of them.
        fetches: Tensors that each run returns.
        config: A serialized ConfigProto.
        setup: An operation to run once before the first run, with the time limit `setup_options`.

    Raises:
        TensorFlowError: The graph cannot be imported, a tensor is not in it, or the setup failed.
        EngineUnavailableError: The library is missing or cannot be opened.
    """

    def __init__(
        self,
        graph: bytes,
        feeds: Sequence[str],
        fetches: Sequence[str],
        config: bytes,
        setup: str | None = None,
        setup_options: bytes = b"",
    ) -> None:
        self._library = _open()
        self._lock = threading.Lock()
        self._session: int | None = None
        self._status: int = self._library.new_status()
        self._graph: int = self._library.new_graph()
        try:
            self._import(graph)
            self._session = self._create(config)
            self._feeds = self._outputs(feeds)
            self._fetches = self._outputs(fetches)
            if setup is not None:
                self._run_operation(setup, setup_options)
        except BaseException:
            self.close()
            raise

    def run(self, inputs: Sequence[Array], options: bytes = b"") -> list[Array]:
        """Feed `inputs`, one C-contiguous array a feed (object arrays hold `bytes`), and return the fetches as new arrays.

        Args:
            inputs: In the order of `feeds`; their dtypes are those of `NUMPY_OF`.
            options: A serialized RunOptions, for a time limit.

        Raises:
            TensorFlowError: The run failed, or the session is closed, or an output has a dtype outside `NUMPY_OF`.
        """
        with self._lock:
            if self._session is None:
                raise TensorFlowError(FAILED_PRECONDITION, "the session is closed")
            fed = (c_void_p * len(self._feeds))()
            fetched = (c_void_p * len(self._fetches))()
            try:
                for position, array in enumerate(inputs):
                    fed[position] = self._tensor(array)
                self._run(self._feeds, fed, self._fetches, fetched, None, options)
                return [self._array(tensor) for tensor in fetched if tensor]
            finally:
                for position, array in enumerate(inputs):
                    self._delete_input(fed[position], array)
                for tensor in fetched:
                    if tensor:
                        self._library.delete_tensor(tensor)

    def close(self) -> None:
        """Free the session and the graph. Waits for a run that is in flight; further calls do nothing."""
        with self._lock:
            if self._session is not None:
                self._library.close_session(self._session, self._status)
                self._library.delete_session(self._session, self._status)
                self._session = None
            if self._graph:
                self._library.delete_graph(self._graph)
                self._graph = 0
            if self._status:
                self._library.delete_status(self._status)
                self._status = 0

    def __del__(self) -> None:
        if getattr(self, "_status", 0):
            self.close()

    def _import(self, graph: bytes) -> None:
        buffer = self._library.new_buffer(graph, len(graph))
        options = self._library.new_import_options()
        try:
            self._library.import_graph(self._graph, buffer, options, self._status)
        finally:
            self._library.delete_import_options(options)
            self._library.delete_buffer(buffer)
        self._check()

    def _create(self, config: bytes) -> int:
        options = self._library.new_session_options()
        try:
            self._library.set_config(options, config, len(config), self._status)
            self._check()
            session = self._library.new_session(self._graph, options, self._status)
        finally:
            self._library.delete_session_options(options)
        self._check()
        return int(session)

    def _outputs(self, names: Sequence[str]) -> Any:
        outputs = (_Output * len(names))()
        for position, name in enumerate(names):
            operation_name, _, index = name.partition(":")
            operation = self._library.operation(self._graph, operation_name.encode())
            if not operation or int(index or 0) >= self._library.operation_outputs(operation):
                raise TensorFlowError(5, f"the graph has no tensor {name!r}")
            outputs[position] = _Output(operation, int(index or 0))
        return outputs

    def _run_operation(self, name: str, options: bytes) -> None:
        operation = self._library.operation(self._graph, name.encode())
        self._run((_Output * 0)(), (c_void_p * 0)(), (_Output * 0)(), (c_void_p * 0)(), operation, options)

    def _run(self, feeds: Any, fed: Any, fetches: Any, fetched: Any, target: int | None, options: bytes) -> None:
        buffer = self._library.new_buffer(options, len(options)) if options else None
        targets = (c_void_p * 1)(target) if target is not None else None
        try:
            self._library.run(
                self._session, buffer, feeds, fed, len(feeds), fetches, fetched, len(fetches),
                targets, 1 if targets else 0, None, self._status,
            )  # fmt: skip
        finally:
            if buffer is not None:
                self._library.delete_buffer(buffer)
        self._check()

    def _check(self) -> None:
        code = self._library.status_code(self._status)
        if code:
            raise TensorFlowError(code, self._library.status_message(self._status).decode(errors="replace"))

    def _tensor(self, array: Array) -> int:
        library = self._library
        code = CODE_OF[array.dtype]
        shape = (c_int64 * array.ndim)(*array.shape)
        size = array.size * _TSTRING_BYTES if code == STRING else array.nbytes
        tensor = library.new_tensor(code, shape, array.ndim, size)
        if not tensor:
            raise TensorFlowError(RESOURCE_EXHAUSTED, f"no memory for an input of {size} bytes")
        data = library.tensor_data(tensor)
        if code != STRING:
            ctypes.memmove(data, array.ctypes.data, size)
            return int(tensor)
        ctypes.memset(data, 0, size)  # all zero is the empty string: whatever happens now, each one can be freed
        for position, text in enumerate(array.flat):
            library.string_copy(data + position * _TSTRING_BYTES, text, len(text))
        return int(tensor)

    def _delete_input(self, tensor: int | None, array: Array) -> None:
        if not tensor:
            return
        if array.dtype.hasobject:
            data = self._library.tensor_data(tensor)
            for position in range(array.size):
                self._library.string_free(data + position * _TSTRING_BYTES)
        self._library.delete_tensor(tensor)

    def _array(self, tensor: int) -> Array:
        library = self._library
        code = library.tensor_type(tensor)
        dtype = NUMPY_OF.get(code)
        if dtype is None:
            raise TensorFlowError(
                UNIMPLEMENTED, f"an output has TensorFlow's data type {code}, which has no place in a result"
            )
        shape = tuple(library.tensor_dimension(tensor, axis) for axis in range(library.tensor_rank(tensor)))
        array: Array = np.empty(shape, dtype)
        data = library.tensor_data(tensor)
        if code != STRING:
            if array.nbytes:
                ctypes.memmove(array.ctypes.data, data, array.nbytes)
            return array
        flat = array.reshape(-1)
        for position in range(flat.size):
            string = data + position * _TSTRING_BYTES
            flat[position] = ctypes.string_at(library.string_data(string), library.string_size(string))
        return array
