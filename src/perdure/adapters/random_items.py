"""The random sources of a rank as an item: taken apart anew only when one was drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.adapters import random_states
from perdure.adapters.change_detection import Memo
from perdure.adapters.encoding import Encoding
from perdure.adapters.object_items import ObjectItem, TakenObject
from perdure.core.snapshot_index import Form, Item, Kind

Bytes = NDArray[np.uint8]


class RandomItem:
    """`job.rng` and the global random sources of the process. See `DeclaredItem`."""

    def __init__(self, name: str, rng: np.random.Generator) -> None:
        self.live: dict[str, Any] = {"rng": rng}
        self._object = ObjectItem(name=name, kind=Kind.PRIVATE, live=self.live)
        self._last: tuple[tuple[Any, ...], TakenObject] | None = None
        self.name, self.kind, self.form = name, Kind.PRIVATE, Form.OBJECT
        self.global_shape, self.axis, self.place, self.declared_nbytes = (), 0, None, 0

    def live_nbytes(self, item: Item) -> int:
        """See `DeclaredItem`: nothing of the program's."""
        return 0

    def take(self, memo: Memo) -> TakenObject:
        """See `DeclaredItem`. What was taken last, if no source was drawn from and none has spawned children since."""
        now = random_states.fingerprint(self.live["rng"])
        if self._last is None or self._last[0] != now:
            self.live.update(random_states.taken(self.live["rng"]))
            self._last = now, self._object.take(memo)
        return self._last[1]

    def parts(self) -> Encoding:
        """See `DeclaredItem`."""
        return self._object.parts()

    def restore(self, item: Item, source: Bytes) -> bool:
        """See `DeclaredItem`. The global sources go on from there."""
        if not self._object.restore(item, source):
            return False
        random_states.put_back(self.live)
        return True
