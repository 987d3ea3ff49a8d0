"""A Python object, with all that it refers to, as a table of nodes and the bytes of its arrays.

Theory of operation. The object is walked once, without recursion; each part has one node, so parts that are shared, and cycles, cost
nothing extra. A node is a tuple (kind, class, ...) of *cells*: a plain value stands for itself, `(i,)` refers to node i. All that the
program can observe of a part is in its node: type, attributes, order of iteration (of a set, its table), an array's strides, which arrays
share memory, which NaN is which object. Nodes are numbered in the order of the walk, so equal objects have equal tables, and `marshal`,
in a version that notes no identities, makes equal bytes of them. Equality of these bytes is what "came back as it was" means.

What cannot be restored exactly is refused, with the path to it.
"""

from __future__ import annotations

import array
import copyreg
import marshal
import math
import pickle
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from operator import ne
from pathlib import PurePath
from typing import Any, Final

import numpy as np

from perdure.adapters import buffers, object_structure, set_layout
from perdure.adapters.buffers import Refused
from perdure.adapters.extents import Extent, extent, extent_of_buffer, is_mapped_file
from perdure.adapters.keys import Keys, pairs_of
from perdure.adapters.modules import Sentinels
from perdure.adapters.nodes import Node
from perdure.errors import UsageError

ATOMS: Final = frozenset({type(None), bool, int, float, complex, str, bytes})
FLOATS: Final = frozenset({float, complex})
MARSHAL_VERSION: Final = 2
"""The last one that does not note which equal objects are one."""
SCALAR_KINDS: Final = "biufcSUmM"
_NOT_A_NUMBER: Final = {id(np.nan): ("numpy", "nan"), id(math.nan): ("math", "nan")}
_SMALLEST_ADDRESS: Final = 1 << 16
_BUILT_IN: Final = frozenset({dict, list, tuple, set, frozenset, bytearray, np.ndarray, OrderedDict, defaultdict, deque})
"""Types whose objects are always taken apart by their contents."""
_OPAQUE = (types.ModuleType, types.FrameType, types.GeneratorType, types.CoroutineType, types.TracebackType, memoryview)


class Encoding:
    """One object, taken apart.

    Attributes:
        item: the name of the item that holds the object.
        by_value: whether it does not matter which NaN is which object.
        nodes: the table; node 0 is the object.
        parts: for each node the Python object, which `Encoding` keeps alive.
        buffers: the bytes of arrays, borrowed, by number.
        mutable: ids of the parts that can change, and that no two items may share.
        arrays: the arrays and byte buffers among the parts: (node, extent).
        classes: (kind, class) of all parts: another restore is tried when a new one appears.
    """

    def __init__(self, item: str, value: Any, *, by_value: bool = False, witness: bool = False) -> None:
        """Take `value` apart. `by_value`: which NaN is which object does not matter. `witness`: for a comparison only: nothing is refused,
        and of objects that `__reduce_ex__` has taken apart the attributes are noted too.

        Raises:
            UsageError: a part cannot be restored exactly; it names the item, the path to the part, and what to write instead.
        """
        self.item, self.by_value, self._witness = item, by_value, witness
        self.nodes: list[Node] = []
        self.parts: list[Any] = []
        self.buffers: list[memoryview] = []
        self.mutable: set[int] = set()
        self.arrays: list[tuple[int, Extent]] = []
        self.classes: set[tuple[str, type]] = set()
        self._index: dict[int, int] = {}
        self._from: list[tuple[int, str | int]] = []
        self._todo: list[int] = []
        self._large_keys: dict[int, int] = {}
        self._sentinels: Sentinels | None = None
        self._keys = Keys(self.nodes)
        self._key_words: dict[int, list[str]] = {}
        self._at = 0
        try:
            self._cell(value, "")
            while self._todo:
                self._at = self._todo.pop()
                part = self.parts[self._at]
                self.nodes[self._at] = self._node(part)
            self._refuse_ids()
            self.buffers = buffers.place(self.nodes, self.parts, self.arrays, self.path)
        except Refused as refused:
            at = self._at if refused.index < 0 else refused.index
            raise UsageError(f"the item {item!r} holds at {self.path(at)} {refused.why}") from refused.__cause__
        except RecursionError as error:
            raise UsageError(f"the item {item!r} holds at {self.path(self._at)} an object whose own methods recurse without end") from error

    def head(self) -> bytes:
        """Return the table of nodes as bytes; equal tables are equal bytes."""
        try:
            return marshal.dumps(self.nodes, MARSHAL_VERSION)
        except ValueError as error:
            raise UsageError(f"the item {self.item!r} holds a text or bytes of more than 2 GiB: use a NumPy array") from error

    def path(self, index: int) -> str:
        """Return where a node is inside the item: `['model'].layers[3]`."""
        return "".join(self.words(index)) or "its top level"

    def index_of(self, part: int) -> int:
        """Return the node of a part, by its id."""
        return self._index[part]

    def words(self, index: int) -> tuple[str, ...]:
        """Return the steps from the object to a node."""
        found = []
        while index > 0:
            index, word = self._from[index]
            found.append(word if isinstance(word, str) else self._key_word(index, word))
        return tuple(reversed(found))

    def key_words(self, index: int) -> list[str]:
        """Return the step from a node to what stands under each of its keys, in order."""
        if index not in self._key_words:
            self._key_words[index] = self._keys.words(pairs_of(self.nodes[index])[0], self.parts)
        return self._key_words[index]

    def parent(self, index: int) -> int:
        """Return the node before the last of the steps to a node; -1 for the object itself."""
        return self._from[index][0] if index else -1

    def _key_word(self, index: int, number: int) -> str:
        """Return the step from a node to the value under a key, by its number, or to the key itself, by the complement of that."""
        cell = pairs_of(self.nodes[index])[0][max(number, ~number)]
        word = self.key_words(index)[max(number, ~number)] if type(cell) is tuple else f"[{cell!r}]"
        return word if number >= 0 else f".key{word}"

    # ---- cells and nodes ----------------------------------------------------------------------------------------------------

    def _cell(self, value: Any, word: str | int) -> Any:
        """Return the cell of a part: itself, or the number of its node, which is made later."""
        cls = type(value)
        if cls in ATOMS and (cls not in FLOATS or value == value or self.by_value):
            return value
        index = self._index.get(id(value))
        if index is None:
            index = self._index[id(value)] = len(self.nodes)
            self.nodes.append(())
            self.parts.append(value)
            self._from.append((self._at, word))
            self._todo.append(index)
        return (index,)

    def _cells(self, values: Iterable[Any]) -> Any:
        """Return the cells of a sequence: at once if all of it is plain."""
        values = list(values)
        kinds = set(map(type, values))
        if kinds <= ATOMS and (self.by_value or not kinds & FLOATS or not any(map(ne, values, values))):
            return values
        return [self._cell(one, f"[{number}]") for number, one in enumerate(values)]

    def _pairs(self, pairs: Iterable[tuple[Any, Any]]) -> list[Any]:
        keys: list[Any] = []
        values: list[Any] = []
        pairs = list(pairs)
        self._may_be_ids(key for key, _ in pairs)
        for number, (key, value) in enumerate(pairs):
            keys.append(self._cell(key, ~number))
            values.append(self._cell(value, number))
        return [keys, values]

    def _may_be_ids(self, keys: Iterable[Any]) -> None:
        """Note numbers that may be addresses of objects: another process has other ones."""
        for key in keys:
            if type(key) is int and key > _SMALLEST_ADDRESS:
                self._large_keys[key] = self._at

    def _refuse_ids(self) -> None:
        for key, index in self._large_keys.items():
            if key in self._index:
                raise Refused(
                    f"id() of {self.path(self._index[key])} as a key, which is another number after a recovery: use the object", index
                )

    def _attributes(self, value: Any, *, ordered: bool = True) -> list[Any]:
        names, cells = [], []
        found = object_structure.attributes(value)
        for name, one in found if ordered else sorted(found, key=lambda pair: str(pair[0])):
            names.append(name)
            cells.append(self._cell(one, f".{name.rpartition('.')[2]}"))
        return [names, cells] if names else []

    def _class(self, cls: type, kind: str) -> tuple[str, str]:
        if (kind, cls) not in self.classes:
            if kind != "reduced" and object_structure.find_global(cls.__module__, cls.__qualname__) is not cls and not self._witness:
                raise Refused(
                    f"an object of the class {cls.__qualname__}, which cannot be found as {cls.__module__}.{cls.__qualname__}: "
                    "define the class at the top level of a module"
                )
            self.classes.add((kind, cls))
        return cls.__module__, cls.__qualname__

    def _node(self, value: Any) -> Node:
        cls = type(value)
        if cls in FLOATS:
            return ("nan", _NOT_A_NUMBER.get(id(value)) or self._names().constant_of(value) or (), value)
        if cls not in _BUILT_IN and (special := self._special(value)) is not None:
            return special
        base = object_structure.c_base(cls)
        name: tuple[str, ...] = self._class(cls, base.__name__)
        home = self._names().home_of(value) if base is object else self._names().constant_of(value) if cls is tuple else None
        if home is not None:
            name += home
        elif not issubclass(base, tuple | frozenset | int | float | complex | str | bytes) and not object_structure.is_constant(value):
            self.mutable.add(id(value))
        return (base.__name__, name, *_CONTENTS[base](self, value), self._attributes(value))

    def _names(self) -> Sentinels:
        if self._sentinels is None:
            self._sentinels = Sentinels()
        return self._sentinels

    def _special(self, value: Any) -> Node | None:
        """Return the node of an object that is not encoded by its base class: named objects, scalars, objects with a reduce method."""
        cls = type(value)
        named = self._named(value)
        if named is not None:
            return named
        if cls is object and not self._witness:
            raise Refused(
                "a bare object(): a recovery makes another one, and `is` fails; give it a name at the top level of a module, or use an "
                "enum member"
            )
        if isinstance(value, _OPAQUE):
            return self._opaque(value, f"a {cls.__name__}, which cannot be restored")
        if isinstance(value, np.generic) and cls.__module__ == "numpy":
            return self._scalar(value)
        if isinstance(value, array.array):
            self._bytes_of(value, value)
            self.mutable.add(id(value))
            return ("array.array", value.typecode, value.tobytes())
        if cls in copyreg.dispatch_table or object_structure.is_reduced(cls):
            return self._reduced(value)
        return None

    def _named(self, value: Any) -> Node | None:
        """Return the node of what a module has by name: classes, functions and sentinels."""
        if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType) or (
            isinstance(value, np.ufunc) and hasattr(value, "__qualname__")
        ):
            if isinstance(value, types.BuiltinFunctionType) and not isinstance(value.__self__, types.ModuleType | type(None)):
                return None
            module, name = getattr(value, "__module__", None) or "builtins", value.__qualname__
            if value in (type(None), type(...), type(NotImplemented)):
                module = "types"
            if object_structure.find_global(module, name) is not value and not self._witness:
                raise Refused(f"{name}, which no module has by that name (a lambda or a local function): define it at top level")
            return ("global", module, name)
        sentinel = self._names().name_of(value) if object_structure.c_base(type(value)) in (object, np.ndarray) else None
        return None if sentinel is None else ("global", *sentinel, type(value).__qualname__)

    def _opaque(self, value: Any, why: str) -> Node:
        if not self._witness:
            raise Refused(f"{why}; keep it outside of the item, or make it anew with job.derived")
        return ("opaque", type(value).__module__, type(value).__qualname__)

    def _scalar(self, value: Any) -> Node:
        if isinstance(value, np.void) and (value.base is not None or value.dtype.names):
            return self._opaque(
                value, "a row of a structured array, which may be a view into it: keep its index, or np.array(row), instead"
            )
        if value.dtype.hasobject:
            return self._opaque(value, "a structured scalar that holds Python objects")
        return ("scalar", _dtype(value.dtype), value.tobytes())

    def _reduced(self, value: Any) -> Node:
        """Return the node of an object with a reduce method."""
        if isinstance(value, np.random.SeedSequence):
            self.mutable.add(id(value))
            state = value.state
            return ("seeds", [self._cell(state["entropy"], ".entropy"), self._cell(state["spawn_key"], ".spawn_key")],
                    state["pool_size"], state["n_children_spawned"])  # fmt: skip
        if isinstance(value, np.random.BitGenerator):
            self.mutable.add(id(value))
            name = self._class(type(value), "bits")
            return ("bits", name, self._cell(value.state, ".state"), self._cell(value.seed_seq, ".seed_seq"))
        if isinstance(value, np.random.Generator | np.random.RandomState):
            self.mutable.add(id(value))
            extra: list[Any] = []
            if isinstance(value, np.random.RandomState):
                legacy: Any = value.get_state(legacy=False)
                extra = [legacy["has_gauss"], legacy["gauss"]]
            return ("rng", self._class(type(value), "rng"), self._cell(bits_of(value), ".bit_generator"), extra)
        if type(value).__module__.partition(".")[0] == "pandas" and type(value).__name__ in ("DataFrame", "Series"):
            return self._opaque(
                value, f"a pandas {type(value).__name__}, which pickling does not restore exactly: keep its columns as arrays "
                "({name: frame[name].to_numpy() for name in frame}) and make the frame in the superstep"
            )  # fmt: skip
        try:
            reducer = copyreg.dispatch_table.get(type(value))
            reduced = value.__reduce_ex__(4) if reducer is None else reducer(value)
        except Exception as error:
            return self._opaque(value, f"a {type(value).__name__} that cannot be pickled ({error})")
        if isinstance(reduced, str):
            module = pickle.whichmodule(value, reduced)  # type: ignore[attr-defined]
            if object_structure.find_global(module, reduced) is not value:
                return self._opaque(value, f"{reduced}, which is not {module}.{reduced}")
            return ("global", module, reduced)
        function, arguments, state, elements, pairs = (*reduced, None, None, None)[:5]
        if type(state) is dict and not state and isinstance(value, BaseException):
            state = None  # an exception has one as soon as somebody has looked at its __dict__
        if len(reduced) > 5:
            return self._opaque(value, f"a {type(value).__name__} with a state setter of its own")
        if state is not None or elements is not None or pairs is not None or object_structure.may_change(value):
            self.mutable.add(id(value))
        node = (
            "reduced", self._class(type(value), "reduced"), self._cell(function, ""), self._cell(tuple(arguments), ""),
            self._cell(state, ""),
            self._cells([] if elements is None else elements), self._pairs([] if pairs is None else pairs),
        )  # fmt: skip
        is_cache = isinstance(value, PurePath)  # what its attributes hold follows from its parts, and comes when it is asked for
        return (*node, self._attributes(value, ordered=False)) if self._witness and not is_cache else node

    # ---- contents of the bases ------------------------------------------------------------------------------------------------

    def _of_set(self, value: Any) -> list[Any]:
        if not set_layout.is_supported():
            raise Refused("a set, whose order cannot be restored in this interpreter: use a dict with the value None")
        elements = list(frozenset.__iter__(value) if isinstance(value, frozenset) else set.__iter__(value))
        mask, finger, marks, slots, hashes = set_layout.layout_of(value)
        if any(map(_hashed_by_address, elements)):
            raise Refused("a set of objects that are hashed by their address, so that its order is another one in each process: use a dict")
        self._may_be_ids(elements)
        return [self._cells(elements), (mask, finger, list(marks), list(slots), list(hashes))]

    def _of_array(self, value: Any) -> list[Any]:
        plain = value.view(np.ndarray) if type(value) is not np.ndarray else value
        if is_mapped_file(value):
            raise Refused("an array in a mapped file: copy it with numpy.array")
        flags = bool(value.flags.writeable)
        if value.dtype.hasobject:
            order = "C" if value.flags.c_contiguous else "F" if value.flags.f_contiguous else ""
            if not order or value.dtype.names:
                raise Refused("a strided or structured array of Python objects: copy it with numpy.array")
            self.arrays.append((self._at, extent(plain)))
            return ["O", list(value.shape), order, self._cells(plain.ravel("C" if order == "C" else "F").tolist()), flags]
        self.arrays.append((self._at, extent(plain)))
        return [_dtype(value.dtype), list(value.shape), list(value.strides), self._at, flags]

    def _bytes_of(self, value: Any, data: Any) -> None:
        self.arrays.append((self._at, extent_of_buffer(data)))

    def _of_bytearray(self, value: Any) -> list[Any]:
        self._bytes_of(value, value)
        return [bytes(value)]


def bits_of(value: Any) -> Any:
    """Return the bit generator of a `Generator` or a `RandomState`."""
    return value._bit_generator


def _dtype(dtype: np.dtype[Any]) -> Any:
    """Return a dtype as a plain value."""
    if dtype.kind in SCALAR_KINDS and dtype.metadata is None and dtype.subdtype is None and type(dtype).__module__.startswith("numpy"):
        return dtype.str
    return pickle.dumps(dtype, 4)


def _hashed_by_address(value: Any) -> bool:
    """Return whether an object's hash follows from an address: its own, or that of what it consists of."""
    if isinstance(value, tuple | frozenset):
        return any(map(_hashed_by_address, value))
    if object_structure.is_constant(value) and not isinstance(value, int | float | complex | str | bytes):
        return any(_hashed_by_address(one) for _, one in object_structure.attributes(value))
    return value is None or (isinstance(value, type | types.FunctionType) or getattr(type(value), "__hash__", None) is object.__hash__)


def _items(base: Any) -> Callable[[Encoding, Any], list[Any]]:
    return lambda walk, value: [walk._pairs(base.items(value))]


_CONTENTS: Final[dict[type, Callable[[Encoding, Any], list[Any]]]] = {
    object: lambda walk, value: [],
    dict: _items(dict),
    OrderedDict: _items(OrderedDict),
    defaultdict: lambda walk, value: [walk._pairs(dict.items(value)), walk._cell(value.default_factory, ".default_factory")],
    list: lambda walk, value: [walk._cells(list.__iter__(value))],
    tuple: lambda walk, value: [walk._cells(tuple.__iter__(value))],
    deque: lambda walk, value: [walk._cells(deque.__iter__(value)), value.maxlen],
    set: Encoding._of_set,
    frozenset: Encoding._of_set,
    bytearray: Encoding._of_bytearray,
    np.ndarray: Encoding._of_array,
    int: lambda walk, value: [int.__int__(value)],
    float: lambda walk, value: [float.__float__(value)],
    complex: lambda walk, value: [complex.__pos__(value)],
    str: lambda walk, value: [str.__str__(value)],
    bytes: lambda walk, value: [bytes.__bytes__(value) if hasattr(bytes, "__bytes__") else bytes(bytearray(value))],
}
