"""Small pictures of the waves on their way from the ranks to whoever watches.

Each rank sends the picture rows that lie in its own block as one datagram to an abstract Unix socket: never blocking, dropped when nobody
listens, at most one every PERIOD_S. It is no part of the state: a picture may be lost, and the waves don't care.

A datagram is HEADER, then one signed byte per cell, rows from south to north: LAND, or the height as `127 * sign * sqrt(|m| / FULL_M)`, so
that a centimetre is still seen beside a metre. A picture takes every `stride`-th cell of the grid in both directions.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from tsunami_picture import EAST_DEG, SOUTH_DEG, WEST_DEG
from tsunami_solver import ROWS, SOUTHMOST_ROW, Array, Floor

Cells = NDArray[np.int8]

HEADER = struct.Struct("!4sHIIfHHHH")  # magic, rank, superstep, supersteps, simulated s, first row, rows, rows of the whole, columns
MAGIC = b"tsu1"
LAND = -128
FULL_M = 1.0  # the height that saturates a byte
COLUMNS = 360  # of a picture, about: half of it is the Pacific, which a large terminal shows in 180 columns
PERIOD_S = 0.2  # five pictures a second look alive
CELLS_A_DEGREE = 6  # of the finest grid
BOTTOM_DEG, TOP_DEG = (row / CELLS_A_DEGREE - 90 for row in (SOUTHMOST_ROW, SOUTHMOST_ROW + ROWS))  # of every picture
ASPECT = (TOP_DEG - SOUTH_DEG) / (EAST_DEG - WEST_DEG)  # of the Pacific: height by width, a degree as high as wide


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One rank's rows of a picture."""

    rank: int
    superstep: int
    supersteps: int
    seconds: float
    """Simulated time since the earthquake."""
    first_row: int
    rows_of_whole: int
    cells: Cells
    """(rows, columns)"""


def encode(frame: Frame) -> bytes:
    """A frame as a datagram."""
    rows, columns = frame.cells.shape
    fields = (frame.rank, frame.superstep, frame.supersteps, frame.seconds, frame.first_row, rows, frame.rows_of_whole, columns)
    return HEADER.pack(MAGIC, *fields) + frame.cells.tobytes()


def decode(datagram: bytes) -> Frame | None:
    """The frame in a datagram; None if it is none."""
    if len(datagram) < HEADER.size:
        return None
    magic, rank, superstep, supersteps, seconds, first, rows, whole, columns = HEADER.unpack_from(datagram)
    if magic != MAGIC or len(datagram) != HEADER.size + rows * columns or first + rows > whole:
        return None
    cells = np.frombuffer(datagram, np.int8, offset=HEADER.size).reshape(rows, columns)
    return Frame(rank=rank, superstep=superstep, supersteps=supersteps, seconds=seconds, first_row=first, rows_of_whole=whole, cells=cells)


def to_cells(eta: Array, land: NDArray[np.bool_]) -> Cells:
    """Heights in m as bytes."""
    size = np.sqrt(np.minimum(np.abs(eta) / FULL_M, 1.0))
    return np.where(land, LAND, np.rint(127 * np.copysign(size, eta))).astype(np.int8)


def to_heights(cells: Cells) -> Array:
    """Bytes as heights in m, nan on land."""
    size = cells / 127.0
    return np.where(cells == LAND, np.nan, FULL_M * size * np.abs(size))


class Sender:
    """A rank's end: takes the height of its rows now and then, and sends their picture."""

    def __init__(self, name: str, floor: Floor, rows: slice, rank: int, supersteps: int) -> None:
        """Prepares for the socket `name` ("" for nobody) and the global rows `rows`."""
        stride = max(1, round(floor.depth.shape[1] / COLUMNS))
        first = -(-rows.start // stride)
        self._picked = (slice(first * stride - rows.start, rows.stop - rows.start, stride), slice(None, None, stride))
        self._land = floor.depth[rows][self._picked] == 0
        self._fixed = {"rank": rank, "supersteps": supersteps, "first_row": first, "rows_of_whole": -(-floor.depth.shape[0] // stride)}
        self._address = "\0" + name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if name else None
        if self._socket:
            self._socket.setblocking(False)
        self._next = 0.0

    def __enter__(self) -> Self:
        """Itself; the socket is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the socket."""
        if self._socket:
            self._socket.close()

    def send(self, eta: Array, superstep: int, seconds: float) -> None:
        """Sends the picture of `eta` (own rows, borrowed), unless the last one was a moment ago. Never blocks, never fails."""
        if not self._socket or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PERIOD_S
        cells = to_cells(eta[self._picked], self._land)
        datagram = encode(Frame(superstep=superstep, seconds=seconds, cells=cells, **self._fixed))
        with contextlib.suppress(OSError):  # nobody listens, or its queue is full: the next picture will do
            self._socket.sendto(datagram, self._address)


class Canvas:
    """The watcher's end: puts the ranks' rows together."""

    def __init__(self, name: str) -> None:
        """Listens at the abstract socket `name`."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name)
        self._socket.setblocking(False)
        self.cells: Cells = np.full((0, 0), LAND, np.int8)
        """The whole picture as it is known, rows from south to north, columns from 0 E eastwards."""
        self.ranks: NDArray[np.int64] = np.zeros(0, np.int64)
        """Whose the rows are: (rows,), -1 where nothing was received yet."""
        self.latest: Frame | None = None

    def receive(self) -> int:
        """Takes in what has come, without waiting; says how many frames that was."""
        count = 0
        while True:
            try:
                frame = decode(self._socket.recv(1 << 20))
            except BlockingIOError:
                return count
            if frame is not None:
                self.put(frame)
                count += 1

    def put(self, frame: Frame) -> None:
        """Draws one rank's rows."""
        shape = (frame.rows_of_whole, frame.cells.shape[1])
        if self.cells.shape != shape:
            self.cells, self.ranks = np.full(shape, LAND, np.int8), np.full(shape[0], -1)
        self.ranks[frame.first_row : frame.first_row + frame.cells.shape[0]] = frame.rank
        self.cells[frame.first_row : frame.first_row + frame.cells.shape[0]] = frame.cells
        self.latest = frame

    def close(self) -> None:
        """Stops listening."""
        self._socket.close()


def colours(cells: Cells) -> NDArray[Any]:
    """A picture's bytes as colours, (rows, columns, 3) uint8: crests warm, troughs light blue, the calm sea deep blue, land grey."""
    crest, trough = np.clip(cells / 127.0, 0, 1), np.clip(-cells / 127.0, 0, 1)
    levels = np.array([0.0, 0.25, 0.6, 1.0])
    warm = np.array([(10, 26, 58), (176, 60, 100), (250, 140, 80), (255, 246, 190)])
    cold = np.array([(10, 26, 58), (24, 104, 160), (90, 190, 220), (220, 250, 255)])
    channels = [np.where(cells > 0, np.interp(crest, levels, warm[:, k]), np.interp(trough, levels, cold[:, k])) for k in range(3)]
    return np.where((cells == LAND)[..., None], 72, np.stack(channels, axis=-1)).astype(np.uint8)


def pacific(canvas: Canvas, rows: int, columns: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The Pacific as it is known, north up, in so many pixels, each the mean of the cells in it.

    Returns:
        Colours, (rows, columns, 3) uint8, and the rank of each row of pixels, (rows,), -1 where nothing was received yet.
    """
    height, width = canvas.cells.shape
    if not height:
        return np.full((rows, columns, 3), colours(np.zeros((1, 1), np.int8))), np.full(rows, -1)
    south = round((SOUTH_DEG - BOTTOM_DEG) / (TOP_DEG - BOTTOM_DEG) * height)
    down = np.linspace(0, height - south, rows, endpoint=False).astype(int)
    across = np.linspace(WEST_DEG / 360 * width, EAST_DEG / 360 * width, columns, endpoint=False).astype(int)
    shown = canvas.cells[south:][::-1, : round(EAST_DEG / 360 * width)]
    return _means(_means(colours(shown).astype(float), down, 0), across, 1).astype(np.uint8), canvas.ranks[south:][::-1][down]


def _means(pixels: NDArray[np.float64], starts: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
    """The mean of the pixels from each of `starts` to the next along an axis; where two are equal, the pixel there."""
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    counts = np.maximum(np.diff(starts, append=pixels.shape[axis]), 1).reshape(shape)
    return np.add.reduceat(pixels, starts, axis) / counts
