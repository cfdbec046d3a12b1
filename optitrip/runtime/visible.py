"""A look at an object's state, of about a millisecond: attributes, arrays, closures, code, globals.

It shows a session that a loss has changed since it was loaded, and which globals and class attributes to send to
workers, which would otherwise import them with their first values.
"""

import hashlib
import os
import pickle
import sys
import types
from collections.abc import Iterable, Mapping
from contextlib import suppress
from copyreg import dispatch_table
from functools import cached_property
from importlib import import_module
from random import Random
from typing import Any

import cloudpickle
import numpy as np

from optitrip.core.arrays import Array
from optitrip.runtime.imports import file_of, is_installed
from optitrip.runtime.interrupts import failure, no_failures

MOST_BYTES = 2**20
"""Largest size of what is looked at in full: of an array, of all that is no array, and of a global sent to workers."""
UNSEEN = ("__dict__", "__weakref__", "__doc__", "__annotations__", "__abstractmethods__", "_abc_impl")
"""Attributes of classes that do not affect what their instances do."""
CONTENTS: tuple[Any, ...] = (dict, list, tuple, set, frozenset, int, float, str, bytes)
"""Types whose subclasses have contents beside their attributes."""
STREAMS = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, Random)
"""Types of globals that workers keep as they import them: they would all draw the same numbers otherwise."""


class TooMuch(Exception):
    """There is more to look at than `MOST_BYTES`."""


class Look(pickle.Pickler):
    """Hashes the state of an object as a pickle of it would hold it, without its own methods for pickling."""

    def __init__(self, seen: object) -> None:
        self._hash, self._bytes = hashlib.blake2b(digest_size=16), 0
        super().__init__(self, protocol=5)
        self._known: dict[int, Any] = {}
        """Functions and classes by id, which may refer to themselves."""
        self.settings: dict[tuple[str, str, str], Any] = {}
        """Values that importing a module sets and anybody may change, by module, class (or "") and name."""
        self.digest: bytes | None = None
        """Digest of what was seen; None if not all of it could be looked at."""
        with no_failures():  # whatever an object's attributes raise
            self.dump(seen)
            self.digest = self._hash.digest()

    @property
    def modules(self) -> set[str]:
        """Names of the modules of the functions and classes that were seen."""
        return {str(known.__module__) for known in self._known.values()}

    def write(self, data: Any, /) -> int:
        self._bytes += len(data)
        if self._bytes > MOST_BYTES:
            raise TooMuch
        self._hash.update(data)
        return len(data)

    def reducer_override(self, obj: Any, /) -> Any:
        if obj is tuple:
            return NotImplemented
        return tuple, ((type(obj).__qualname__, self._state(obj)),)

    def _state(self, obj: Any) -> Any:
        """Return what an object consists of, as values that are looked at in turn."""
        if isinstance(obj, np.ndarray):
            return array_state(obj), dict(getattr(obj, "__dict__", {}))
        if isinstance(obj, types.FunctionType | type):
            if id(obj) in self._known:
                return obj.__qualname__
            self._known[id(obj)] = obj
            return self._of_class(obj) if isinstance(obj, type) else self._of_function(obj)
        if isinstance(obj, types.ModuleType):
            return obj.__name__
        if isinstance(obj, types.CodeType):
            return obj.co_code, obj.co_names, obj.co_varnames, obj.co_freevars, obj.co_consts
        if isinstance(obj, property):
            return obj.fget, obj.fset
        if isinstance(obj, staticmethod | classmethod | types.MethodType):
            return getattr(obj, "__self__", None), obj.__func__
        if isinstance(obj, cached_property):
            return obj.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if hasattr(type(obj), "data_ptr"):
            return tensor_state(obj)
        return type(obj), reduced(obj) if installed_module(type(obj).__module__) else attributes(obj)

    def _of_function(self, function: types.FunctionType) -> Any:
        cells = [cell.cell_contents for cell in function.__closure__ or () if filled(cell)]
        own = function.__defaults__, function.__kwdefaults__, dict(function.__dict__), cells
        file = function.__code__.co_filename
        if file.startswith("<frozen ") or is_installed(os.path.dirname(file)):
            return function.__module__, function.__qualname__, own
        named: dict[tuple[str, str, str], Any] = {}
        collect_globals(function.__globals__, set(names_in(function.__code__)), named)
        self.settings |= named
        return function.__module__, function.__qualname__, function.__code__, own, named

    def _of_class(self, cls: type) -> Any:
        name = cls.__module__, cls.__qualname__
        if installed_module(cls.__module__):
            return name
        own = {key: value for key, value in vars(cls).items() if key not in UNSEEN}
        is_enum = hasattr(cls, "__members__")
        self.settings |= {(*name, key): own[key] for key in own if not key.startswith("__") and not is_enum}
        return name, own, cls.__bases__


def array_state(array: Array) -> Any:
    """Return the contents of an array; of a larger one, those of entries at even distances."""
    sample = array
    if array.nbytes > MOST_BYTES:
        sample = array[tuple(slice(None, None, step) for step in sample_steps(array))]
    contents = sample.tolist() if array.dtype.hasobject else hashlib.blake2b(sample.tobytes()).digest()
    return array.dtype.str, array.shape, contents


def tensor_state(tensor: Any) -> Any:
    """Return the contents of a PyTorch tensor; elsewhere than in memory, its address and count of changes in place."""
    with no_failures():
        return array_state(tensor.detach().numpy())
    return str(tensor.dtype), tuple(tensor.shape), tensor.data_ptr(), tensor._version


def sample_steps(array: Array) -> list[int]:
    """Return a step for each axis, such that at most an eighth of `MOST_BYTES` remain: the longest axes are thinned."""
    steps, left = [1] * array.ndim, array.nbytes
    while left > MOST_BYTES // 8:
        axis = max(range(array.ndim), key=lambda axis: array.shape[axis] / steps[axis])
        steps[axis] *= 2
        left //= 2
    return [step + 1 if step > 2 else step for step in steps]  # odd: or columns of a power of two would be left out


def attributes(obj: Any) -> Any:
    """Return the attributes of an object of the user's class, and its contents if it is a container or a number."""
    slots = {name for cls in type(obj).__mro__ for name in slot_names(cls) if hasattr(obj, name)}
    contents: Any = next((kind(obj) for kind in CONTENTS if isinstance(obj, kind)), None)
    return dict(getattr(obj, "__dict__", {})), {name: getattr(obj, name) for name in sorted(slots)}, contents


def slot_names(cls: type) -> Iterable[str]:
    slots = vars(cls).get("__slots__", ())
    return [slots] if isinstance(slots, str) else [name for name in slots if name not in ("__dict__", "__weakref__")]


def reduced(obj: Any) -> Any:
    """Return what pickle would store of an object of an installed class; its id if it cannot be pickled."""
    try:
        reduce = dispatch_table.get(type(obj))
        return reduce(obj) if reduce else obj.__reduce_ex__(4)
    except BaseException as error:  # e.g. a lock or an open file
        failure(error)
        return id(obj), dict(getattr(obj, "__dict__", {})), getattr(obj, "__wrapped__", None)


def filled(cell: Any) -> bool:
    """Return whether a variable of a closure has a value yet."""
    with suppress(ValueError):
        return cell.cell_contents is not cell
    return False


def names_in(code: types.CodeType) -> Iterable[str]:
    """Yield the names of globals and attributes in a function's code and in that of the functions in it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_in(constant)


def collect_globals(space: Mapping[str, Any], names: set[str], found: dict[tuple[str, str, str], Any]) -> None:
    """Collect the values of names in a module, and of those in the user's modules that they name."""
    module = str(space.get("__name__"))
    for name in sorted(names & space.keys()):
        key, value = (module, "", name), space[name]
        if key in found:
            continue
        found[key] = value
        if isinstance(value, types.ModuleType) and not installed_module(value.__name__):
            collect_globals(vars(value), names, found)


def installed_module(name: str) -> bool:
    """Return whether a module is an installed one, a part of Python, or optitrip's."""
    if (file := file_of(sys.modules.get(name))) is not None:
        return name != "__main__" and is_installed(os.path.dirname(file))
    return name.partition(".")[0] in sys.stdlib_module_names and name != "__main__"


def packed_settings(settings: Mapping[tuple[str, str, str], Any]) -> bytes:
    """Pickle the settings that a worker would import with their first values, for `apply_settings`."""
    packed: list[tuple[tuple[str, str, str], bytes]] = []
    for key, value in settings.items():
        if place_of(key) is None or key[0] == "__main__" or isinstance(value, (*STREAMS, types.ModuleType, property)):
            continue
        function: Any = getattr(value, "__func__", value)  # of a static method or a class method
        if isinstance(function, types.FunctionType) and (function.__module__, function.__name__) == key[::2]:
            continue  # the worker's import defines it
        with no_failures():  # what cannot be pickled cannot be sent; the worker has its own
            arrays: list[pickle.PickleBuffer] = []
            size = len(cloudpickle.dumps(value, protocol=5, buffer_callback=arrays.append))
            if size + sum(array.raw().nbytes for array in arrays) <= 2 * MOST_BYTES:
                packed.append((key, cloudpickle.dumps(value)))
    return pickle.dumps(packed) if packed else b""


def apply_settings(packed: bytes) -> None:
    """Set the globals and class attributes in this process, a worker's."""
    for key, value in pickle.loads(packed) if packed else ():
        import_module(key[0])
        place = place_of(key)
        with suppress(AttributeError, TypeError):  # e.g. a class that forbids it, in the other process too
            setattr(place, key[2], pickle.loads(value))


def place_of(key: tuple[str, str, str]) -> Any:
    """Return the module or class of a setting if it can be found by name."""
    place = sys.modules.get(key[0])
    for name in filter(None, key[1].split(".")):
        place = getattr(place, name, None)
    return place
