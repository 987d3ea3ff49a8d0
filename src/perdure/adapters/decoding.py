"""A table of nodes (`encoding`) made into an object again: a new one, or in place, part by part, into one that the program holds.

In place means: a part of the object that stands where a committed part of the same kind and class stood gets its contents and keeps its
identity, so a name that the program has for it goes on meaning it. Parts that have no such place are made anew.

Order. First every part that can exist without its contents is there (`_shells`). Then the parts get their contents, in the order of
`fill_order`.
"""

from __future__ import annotations

import array
import pickle
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from perdure.adapters import object_structure, set_layout
from perdure.adapters.encoding import Encoding
from perdure.adapters.fill_order import UNMADE, FillOrder
from perdure.adapters.matching import Matching, is_refilled
from perdure.adapters.nodes import IMMUTABLE, Node
from perdure.errors import UsageError

Array = NDArray[Any]
Bytes = NDArray[np.uint8]


class Decoding:
    """One object made of its table.

    Attributes:
        value: the object.
        kept: the ids of the parts of the old object that are parts of the new one.
    """

    def __init__(self, item: str, nodes: list[Node], buffers: list[Bytes], onto: Encoding | None = None, *, copy: bool = True) -> None:
        """Make the object of `nodes`. `onto`: the object to be restored in place, taken apart just now. Without `copy` arrays are views of
        `buffers`, which is for a trial.

        Raises:
            UsageError: a class is not there any more, or not what it was.
        """
        self._item, self._nodes, self._buffers, self._copy = item, nodes, buffers, copy
        self._made: list[Any] = [UNMADE] * len(nodes)
        self._order = FillOrder(nodes, self._made)
        self._segments: dict[int, Bytes] = {}
        self._old: dict[int, int] = {}
        self._onto = onto
        if onto is not None:
            self._old = Matching(nodes, buffers, onto).old
            for index, old in self._old.items():
                if nodes[index][0] not in IMMUTABLE:
                    self._made[index] = onto.parts[old]
        self.kept = {id(one) for index, one in enumerate(self._made) if one is not UNMADE}
        self._shells()
        self._fill_all()
        self.value = self._made[0]

    # ---- cells --------------------------------------------------------------------------------------------------------------

    def _get(self, cell: Any) -> Any:
        return self._made[cell[0]] if type(cell) is tuple else cell

    def _all(self, cells: Iterable[Any]) -> list[Any]:
        return [self._made[cell[0]] if type(cell) is tuple else cell for cell in cells]

    def _class(self, name: tuple[str, ...]) -> Any:
        found = object_structure.find_global(*name[:2])
        if found is object_structure.MISSING:
            raise UsageError(f"the item {self._item!r} was committed with an object of {name[0]}.{name[1]}, which does not exist any more")
        return found

    # ---- shells --------------------------------------------------------------------------------------------------------------

    def _shells(self) -> None:
        for index, node in enumerate(self._nodes):
            if self._made[index] is not UNMADE:
                continue
            make = _SHELLS.get(node[0])
            if make is not None:
                self._made[index] = make(self, node)

    def _array(self, node: Node) -> Array:
        cls, dtype, shape, strides, place = self._class(node[1]), node[2], tuple(node[3]), node[4], node[5]
        if dtype == "O":
            return np.ndarray.__new__(cls, shape, object, None, 0, None, node[4])
        kind = _dtype(dtype)
        buffer, start = self._memory_of(place, kind, shape, tuple(strides))
        made: Array = np.ndarray.__new__(cls, shape, kind, buffer, start, tuple(strides))
        return made

    def _memory_of(self, place: Any, kind: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[Any, int]:
        match place:
            case ("none",):
                return np.zeros(max(1, kind.itemsize), np.uint8), 0
            case ("own", number):
                return self._bytes(number), 0
            case ("in", number, start, _):
                if number not in self._segments:
                    self._segments[number] = self._bytes(number)
                return self._segments[number], start
            case ("spread", number):
                lowest = sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True) if stride < 0)
                highest = sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True) if stride > 0)
                memory = np.zeros(highest - lowest + kind.itemsize, np.uint8)
                self._spread(np.ndarray(shape, kind, memory, -lowest, strides), number)
                return memory, -lowest
        raise AssertionError(place)

    def _bytes(self, number: int) -> Bytes:
        return self._buffers[number].copy() if self._copy else self._buffers[number]

    def _spread(self, target: Array, number: int) -> None:
        source = self._buffers[number]
        if target.dtype.names:
            target = target.view(np.dtype((np.void, target.itemsize)))
        target[...] = source.view(target.dtype).reshape(target.shape)

    # ---- contents ------------------------------------------------------------------------------------------------------------

    def _fill_all(self) -> None:
        if not self._order.run(lambda index: self._construct(index, self._nodes[index]), self._complete):
            raise UsageError(
                f"the item {self._item!r} holds an immutable object that refers to itself through the objects that it is made of: "
                "keep one of the references outside of it"
            )

    def _construct(self, index: int, node: Node) -> None:
        """Create an object from its constructor's arguments as soon as these exist; its state follows later."""
        if node[0] == "rng":
            if self._made[index] is UNMADE:
                self._made[index] = self._class(node[1])(self._get(node[2]))
        elif self._made[index] is UNMADE and not self._order.lacks(node[:4]):
            self._made[index] = self._get(node[2])(*self._get(node[3]))
        elif self._made[index] is not UNMADE and not is_refilled(self._made[index]):
            self._clear(self._made[index], node)

    def _complete(self, index: int) -> None:
        node, value = self._nodes[index], self._made[index]
        if node[0] in IMMUTABLE:
            self._made[index] = self._immutable(index, node)
        elif node[0] == "reduced":
            if value is UNMADE:
                self._construct(index, node)
            elif is_refilled(value):
                self._refill_attributes(value, node)
                return
            self._set_state(self._made[index], node)
        elif node[0] == "ndarray":
            self._fill_array(index, value, node)
            self._set_attributes(value, node[-1])
        else:
            _FILLERS[node[0]](self, value, node)
            if node[0] not in ("bits", "array.array", "rng", "seeds"):
                self._set_attributes(value, node[-1])

    def _refill_attributes(self, value: Any, node: Node) -> None:
        """Set the attributes of an existing object to those of one that is created from constructor arguments."""
        made = self._get(node[2])(*self._get(node[3]))
        self._set_state(made, node)
        object_structure.set_attributes(value, dict(object_structure.attributes(made)))

    def _set_attributes(self, value: Any, found: Any) -> None:
        names, cells = found or ((), ())
        if names or object_structure.namespace(value) or object_structure.slot_names(type(value)):
            object_structure.set_attributes(value, dict(zip(names, self._all(cells), strict=True)))

    def _immutable(self, index: int, node: Node) -> Any:
        match node[0]:
            case "nan":
                found = object_structure.find_global(*node[1]) if node[1] else object_structure.MISSING
                return found if type(found) is type(node[2]) and found != found else _fresh(node[2])
            case "global":
                return self._global(node)
            case "scalar":
                return np.frombuffer(node[2], _dtype(node[1]))[0] if node[2] else _dtype(node[1]).type()
            case "opaque":
                return None
        cls = self._class(node[1])
        if node[0] == "tuple":
            parts = self._all(node[2])
            old = self._onto.parts[self._old[index]] if self._onto is not None and index in self._old else None
            home = object_structure.find_global(*node[1][2:]) if len(node[1]) > 2 else object_structure.MISSING
            if type(home) is tuple and repr(home) == repr(tuple(parts)):
                value = home
            elif (
                old is not None and len(old) == len(parts) and all(one is two for one, two in zip(tuple.__iter__(old), parts, strict=True))
            ):
                value = old
            else:
                value = tuple.__new__(cls, parts)
        elif node[0] == "frozenset":
            value = self._frozenset(cls, self._all(node[2]), node[3])
        else:
            value = _BASES[node[0]].__new__(cls, node[2])
        self._set_attributes(value, node[-1])
        return value

    def _global(self, node: Node) -> Any:
        found = self._class(node[1:3])
        if len(node) > 3 and type(found).__qualname__ != node[3]:
            raise UsageError(
                f"the item {self._item!r} was committed with {node[1]}.{node[2]}, a {node[3]} then and a {type(found).__qualname__} now: "
                "give the object a name that always means it"
            )
        return found

    def _frozenset(self, cls: Any, elements: list[Any], layout: Any) -> Any:
        layout = tuple(layout[:2]) + tuple(tuple(one) for one in layout[2:])
        self._check_hashes(layout, elements)
        made = set_layout.frozen(layout, elements)
        return made if cls is frozenset else frozenset.__new__(cls, made)

    def _set(self, value: Any, node: Node) -> None:
        elements, layout = self._all(node[2]), node[3]
        layout = tuple(layout[:2]) + tuple(tuple(one) for one in layout[2:])
        self._check_hashes(layout, elements)
        set_layout.arrange(value, layout, elements)

    def _check_hashes(self, layout: Any, elements: list[Any]) -> None:
        if not set_layout.hashes_are(layout, elements):
            raise UsageError(
                f"the item {self._item!r} holds a set whose elements have other hashes in this process, and its order cannot be restored: "
                "use a dict with the value None"
            )

    def _set_state(self, value: Any, node: Node) -> None:
        """Set what `pickle` would set of an object (its module's `load_build`, `load_appends`, `load_setitems`)."""
        state = self._get(node[4])
        if state is not None:
            setter = getattr(value, "__setstate__", None)
            if setter is not None:
                setter(state)
            else:
                own, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
                if own:
                    value.__dict__.update(own)
                for name, one in (slots or {}).items():
                    object.__setattr__(value, name, one)
        for one in self._all(node[5]):
            value.append(one)
        for key, one in zip(*map(self._all, node[6]), strict=True):
            value[key] = one

    def _clear(self, value: Any, node: Node) -> None:
        """Empty an object whose state is set next. One that has no state is what it is made of, an enum member for example."""
        if node[4] is not None:
            if object_structure.slot_names(type(value)):
                object_structure.set_attributes(value, {})
            own = getattr(value, "__dict__", None) if type(value).__dictoffset__ else None
            if isinstance(own, dict):
                own.clear()
        if isinstance(value, dict | list | deque | set):
            value.clear()

    def _fill_array(self, index: int, value: Array, node: Node) -> None:
        plain = value.view(np.ndarray)
        if node[2] == "O":
            flat = plain.reshape(-1, order=node[4])
            for at, one in enumerate(self._all(node[5])):
                flat[at] = one
        elif index in self._old and node[-2]:
            self._refill(plain, node)
        if value.flags.writeable != node[-2]:  # an array of a row's memory refuses even the value that it has
            value.flags.writeable = node[-2]

    def _refill(self, plain: Array, node: Node) -> None:
        place = node[5]
        if place[0] == "spread":
            self._spread(plain, place[1])
        elif place[0] != "none":
            start = place[2] if place[0] == "in" else 0
            source = np.ndarray(plain.shape, plain.dtype, self._buffers[place[1]], start, plain.strides)
            if plain.dtype.names:
                raw = np.dtype((np.void, plain.itemsize))
                plain, source = plain.view(raw), source.view(raw)
            plain[...] = source


def _fresh(value: float | complex) -> float | complex:
    """Return a NaN with the same bits that is an object of its own."""
    return pickle.loads(pickle.dumps(value))  # type: ignore[no-any-return]


def _dtype(text: Any) -> np.dtype[Any]:
    found: np.dtype[Any] = pickle.loads(text) if isinstance(text, bytes) else np.dtype(text)
    return found


def _new_object(walk: Decoding, node: Node) -> Any:
    """Return what the program has by the name of the object, if it had one (`modules.Sentinels.home_of`); otherwise a new object."""
    cls = walk._class(node[1])
    home = object_structure.find_global(*node[1][2:]) if len(node[1]) > 2 else object_structure.MISSING
    return home if type(home) is cls else object.__new__(cls)


def _empty(base: Any) -> Callable[[Decoding, Node], Any]:
    return lambda walk, node: base.__new__(walk._class(node[1]))


def _fill_dict(base: Any) -> Callable[[Decoding, Any, Node], None]:
    def fill(walk: Decoding, value: Any, node: Node) -> None:
        base.clear(value)
        for key, one in zip(*map(walk._all, node[2]), strict=True):
            base.__setitem__(value, key, one)

    return fill


def _fill_default(walk: Decoding, value: Any, node: Node) -> None:
    _fill_dict(dict)(walk, value, node)
    _DEFAULT_FACTORY.__set__(value, walk._get(node[3]))


def _fill_list(walk: Decoding, value: Any, node: Node) -> None:
    list.__setitem__(value, slice(None), walk._all(node[2]))


def _new_deque(walk: Decoding, node: Node) -> Any:
    made = deque.__new__(walk._class(node[1]))
    deque.__init__(made, (), node[3])
    return made


def _fill_deque(walk: Decoding, value: Any, node: Node) -> None:
    deque.clear(value)
    deque.extend(value, walk._all(node[2]))


def _fill_bytes(walk: Decoding, value: Any, node: Node) -> None:
    value[:] = node[2] if isinstance(value, bytearray) else array.array(node[1], node[2])


def _new_bits(walk: Decoding, node: Node) -> Any:
    return walk._class(node[1])(0)


def _fill_bits(walk: Decoding, value: Any, node: Node) -> None:
    value.__setstate__((walk._get(node[2]), walk._get(node[3])))


def _fill_seeds(walk: Decoding, value: Any, node: Node) -> None:
    """Make a `SeedSequence` another one: its constructor sets all that it has."""
    entropy, spawn_key = walk._all(node[1])
    np.random.SeedSequence.__init__(value, entropy, spawn_key=spawn_key, pool_size=node[2], n_children_spawned=node[3])


def _fill_rng(walk: Decoding, value: Any, node: Node) -> None:
    bits = walk._get(node[2])
    if value._bit_generator is not bits:
        raise UsageError(f"the item {walk._item!r} was committed with random generators that share their bits otherwise: make them alike")
    if node[3]:
        state = {**bits.state, "has_gauss": node[3][0], "gauss": node[3][1]}
        value.set_state(state)


_DEFAULT_FACTORY: Final[Any] = vars(defaultdict)["default_factory"]
_BASES: Final[dict[str, Any]] = {"int": int, "float": float, "complex": complex, "str": str, "bytes": bytes}
_SHELLS: Final[dict[str, Callable[[Decoding, Node], Any]]] = {
    "object": _new_object, "dict": _empty(dict), "OrderedDict": _empty(OrderedDict), "defaultdict": _empty(defaultdict),
    "list": _empty(list), "set": _empty(set), "bytearray": _empty(bytearray), "deque": _new_deque, "ndarray": Decoding._array,
    "array.array": lambda walk, node: array.array(node[1]), "bits": _new_bits,
    "seeds": lambda walk, node: np.random.SeedSequence(0),
}  # fmt: skip
_FILLERS: Final[dict[str, Callable[[Decoding, Any, Node], None]]] = {
    "object": lambda walk, value, node: None, "dict": _fill_dict(dict), "OrderedDict": _fill_dict(OrderedDict),
    "defaultdict": _fill_default, "list": _fill_list, "set": Decoding._set, "bytearray": _fill_bytes, "deque": _fill_deque,
    "array.array": _fill_bytes, "bits": _fill_bits, "rng": _fill_rng, "seeds": _fill_seeds,
}  # fmt: skip
