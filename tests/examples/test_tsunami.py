"""The tsunami: is it right, does it not depend on how it is split or interrupted, and can it be watched?

The job here is a stand-in but for the rehearsal: ranks are threads, messages go through queues. What the real runtime adds is tested in
`tests/faults`.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import matplotlib.image as plt_image
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

EXAMPLE = Path(__file__).parents[2] / "examples" / "tsunami"
sys.path.insert(0, str(EXAMPLE))

import tsunami  # noqa: E402
from tsunami_check import shortest_times, solve  # noqa: E402
from tsunami_event import FOOT, GAUGES, PEAK_M, came_at, gauge_cell, hump  # noqa: E402
from tsunami_picture import DPI, EAST_DEG, WEST_DEG, WIDTH_IN, save_map  # noqa: E402
from tsunami_solver import FRONT_M, GRAVITY, Floor, Solver, load_floor, longest_step, water_volume  # noqa: E402
from tsunami_view import COLUMNS, LAND, Canvas, Frame, Sender, colours, decode, encode, to_cells, to_heights  # noqa: E402

from perdure.comm import PROC_NULL  # noqa: E402
from perdure.errors import UsageError  # noqa: E402
from perdure.testing import rehearse  # noqa: E402

FIELDS = ("eta", "u", "v", "crest", "arrival")


class Post:
    """A letter box for every pair of ranks, and a table on which blocks are put together."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.objects: list[object] = [None] * size
        self.boxes = {(a, b): queue.Queue() for a in range(size) for b in range(size)}
        self.blocks: dict[str, dict[int, np.ndarray]] = {}
        self.all_here = threading.Barrier(size, timeout=30)


class FakeComm:
    """mpi4py's `Sendrecv` over queues, and `gather` over a table."""

    def __init__(self, post: Post, rank: int) -> None:
        self._post, self._rank = post, rank

    def Sendrecv(self, sendbuf, dest, sendtag=0, recvbuf=None, source=PROC_NULL, recvtag=0):  # noqa: N802
        if dest != PROC_NULL:
            self._post.boxes[self._rank, dest].put((sendtag, sendbuf.copy()))
        if source != PROC_NULL:
            tag, content = self._post.boxes[source, self._rank].get(timeout=30)
            assert tag == recvtag
            recvbuf[...] = content

    def gather(self, sendobj):
        self._post.objects[self._rank] = sendobj
        self._post.all_here.wait()
        return self._post.objects if self._rank == 0 else None


class FakeJob:
    """What `tsunami.main` uses of a job. `committed` holds whole arrays to resume from, of private ones a list by rank. Ghost rows start as
    NaN, as in the real one.
    """

    def __init__(self, post: Post, rank: int, committed: dict[str, np.ndarray], begin: int = 0, end: int | None = None) -> None:
        self.rank, self.size, self.comm = rank, post.size, FakeComm(post, rank)
        self._post, self._committed, self._begin, self._end = post, committed, begin, end
        self.kept: dict[str, np.ndarray] = {}
        self._own: dict[str, tuple[np.ndarray, tuple[slice, ...]]] = {}

    def derived(self, name, make):
        return make()

    def sharded(self, name, shape, dtype=float, axis=0, init=0, halo=0):
        bounds = np.cumsum([0] + [len(part) for part in np.array_split(np.arange(shape[0]), self.size)])
        rows = slice(int(bounds[self.rank]), int(bounds[self.rank + 1]))
        index = (rows, slice(0, shape[1]))
        local = np.full((rows.stop - rows.start + 2 * halo, shape[1]), np.nan, dtype)
        own = local[halo : local.shape[0] - halo]
        if name in self._committed:
            own[...] = self._committed[name][index]
        else:
            own[...] = init(index) if callable(init) else init
        self._own[name] = own, index
        return local

    def private(self, name, value):
        if name in self._committed:
            value[...] = self._committed[name][self.rank]
        self.kept[name] = value
        return value

    def index(self, name):
        return self._own[name][1]

    def supersteps(self, count):
        return iter(range(self._begin, count if self._end is None else self._end))

    def gather(self, name):
        self._post.blocks.setdefault(name, {})[self.rank] = self._own[name][0].copy()
        self._post.all_here.wait()
        return np.concatenate([self._post.blocks[name][rank] for rank in range(self.size)]) if self.rank == 0 else None


def run(size, committed=None, begin=0, end=None, **arguments):
    """Runs the program on threads; gives rank 0's result and the whole fields at the end."""
    post, results = Post(size), {}
    jobs = [FakeJob(post, rank, committed or {}, begin, end) for rank in range(size)]

    def work(job):
        results[job.rank] = tsunami.main(job, **arguments)

    threads = [threading.Thread(target=work, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results) == list(range(size)), "a rank raised or hangs"
    fields = {name: np.concatenate([job._own[name][0] for job in jobs]) for name in FIELDS}
    return results[0], fields | {"tide": [job.kept["tide"] for job in jobs]}


@pytest.fixture(scope="module")
def alone():
    """Three hours on one rank, on the coarsest grid."""
    return run(1, coarsen=6, hours=3.0, steps_per_superstep=7)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_any_number_of_ranks_gives_the_same_bits(alone, size):
    result, fields = run(size, coarsen=6, hours=3.0, steps_per_superstep=7)
    assert result == alone[0]
    for name in FIELDS:
        assert fields[name].tobytes() == alone[1][name].tobytes(), name
        assert np.isfinite(fields[name]).all(), name


def test_a_run_that_resumes_from_its_declared_state_ends_with_the_same_bits(alone):
    _, half = run(2, coarsen=6, hours=3.0, steps_per_superstep=7, end=3)
    result, fields = run(2, committed=half, begin=3, coarsen=6, hours=3.0, steps_per_superstep=7)
    assert result == alone[0]
    for name in FIELDS:
        assert fields[name].tobytes() == alone[1][name].tobytes(), name


def test_a_rehearsal_with_real_losses_says_that_it_recovers():
    result = rehearse(str(EXAMPLE / "tsunami.py"), rehearsals=2, arguments={"coarsen": 6, "hours": 3.0, "steps_per_superstep": 3})
    assert result.recovers, result.difference or result.error
    assert len(result.faults) == 2


def test_the_result_is_plain_and_says_where_the_front_is(alone):
    result = json.loads(json.dumps(alone[0]))
    assert 1.0 < result["travel_hours"]["DART 21413"] < 1.6
    assert result["travel_hours"]["Crescent City"] is None, "not reached after three hours"
    assert result["observed_hours"] == {"Kauai": 7.35, "Crescent City": 9.8}


def test_the_wave_comes_when_the_water_stands_at_a_share_of_its_highest():
    tide = np.array([0.0, 0.0001, 0.003, 0.1, -0.2, 0.1])
    assert came_at(tide, 10.0) == 30.0
    assert came_at(10 * tide, 10.0) == 30.0, "ten times the wave, the same time"
    assert np.isnan(came_at(tide / 20, 10.0)), "too small to be called a wave"


def test_bad_arguments_are_refused():
    for bad in ({"coarsen": 5}, {"hours": 0.0}, {"steps_per_superstep": 0}):
        with pytest.raises(UsageError):
            tsunami.main(FakeJob(Post(1), 0, {}), **bad)


@pytest.fixture(scope="module")
def crossing():
    """Ten and a half hours on cells of 20 arc-minutes."""
    floor = load_floor(2)
    return floor, solve(floor, 10.5)


def test_water_is_conserved_to_rounding(crossing):
    floor, eta = crossing[0], crossing[1].eta
    at_start = water_volume(floor, hump(floor))
    assert abs(water_volume(floor, eta) / at_start - 1) < 1e-12
    assert not eta[floor.depth == 0].any(), "land got wet"


def test_the_front_comes_when_an_independent_shortest_time_says(crossing):
    floor, solution = crossing
    shortest = shortest_times(floor, hump(floor) >= FOOT * PEAK_M, until=10 * 3600)
    cells = {gauge.name: gauge_cell(floor, gauge) for gauge in GAUGES}
    off = {name: float(solution.travel_s[name] / shortest[cell] - 1) for name, cell in cells.items()}
    assert all(abs(share) < 0.03 for share in off.values()), off


def test_the_wave_is_near_the_observed_arrivals(crossing):
    """Within 6 %: the last miles in shallow water, the rest of the source and the tide gauge's own lag are not in the model."""
    _, solution = crossing
    for gauge in GAUGES:
        if gauge.observed_hours:
            assert solution.travel_s[gauge.name] / 3600 == pytest.approx(gauge.observed_hours, rel=0.06), gauge.name


def flat_ocean():
    """Water all around between 60 S and 60 N, 4000 m deep everywhere, in cells of 3 degrees."""
    depth = np.full((41, 120), 4000.0)
    return Floor(depth=depth, elevation=-depth, lat_deg=(np.arange(41) - 20) * 3.0, lon_deg=np.arange(120) * 3.0)


def test_shortest_times_over_a_flat_floor_are_great_circles():
    floor = flat_ocean()
    source = np.zeros(floor.depth.shape, dtype=bool)
    source[20, 0] = True
    lat, lon = np.deg2rad(floor.lat_deg)[:, None], np.deg2rad(floor.lon_deg)[None, :]
    exact = 6_371_000.0 * np.arccos(np.clip(np.cos(lat) * np.cos(lon), -1, 1)) / np.sqrt(GRAVITY * 4000.0)
    inside = (np.abs(np.rad2deg(lat)) < 45) & ((lon < 1.5) | (lon > 2 * np.pi - 1.5)) & ~source
    ratio = shortest_times(floor, source)[inside] / exact[inside]
    assert ratio.min() > 0.999
    assert ratio.max() < 1.01


def test_waves_keep_their_energy_on_a_turning_sphere():
    """A solver that feeds or damps waves gives wrong heights far away; Coriolis must do no work."""
    floor = flat_ocean()
    rows, columns = floor.depth.shape
    eta, u, v = (np.zeros((rows + 2, columns)) for _ in range(3))
    lat, lon = np.deg2rad(floor.lat_deg)[:, None], np.deg2rad(floor.lon_deg)[None, :]
    eta[1:-1] = np.exp(-(((lat - 0.5) / 0.3) ** 2) - ((lon - 3) / 0.3) ** 2)
    solver, dt = Solver(floor, slice(0, rows), longest_step(floor)), longest_step(floor)

    def energy():
        north = np.cos(lat + floor.step / 2)
        kinetic = (np.cos(lat) * u[1:-1] ** 2 + north * v[1:-1] ** 2).sum() * 4000.0
        return kinetic + GRAVITY * (np.cos(lat) * eta[1:-1] ** 2).sum()

    at_start, seen = energy(), []
    for step in range(600):
        solver.advance_height_and_east(eta, u, v, np.zeros((rows, columns)), np.zeros((rows, columns)), step * dt)
        solver.advance_north(eta, u, v)
        seen.append(energy())
    assert np.mean(seen[-100:]) == pytest.approx(at_start, rel=0.03)
    assert abs(u[1:-1]).max() > 0


def test_moving_water_turns_right_in_the_north_and_left_in_the_south():
    floor = flat_ocean()
    eta, u, v = (np.zeros((43, 120)) for _ in range(3))
    u[:] = 1.0
    Solver(floor, slice(0, 41), 10.0).advance_north(eta, u, v)
    assert (v[25:40] < 0).all()
    assert (v[2:18] > 0).all()


def test_a_picture_survives_its_datagram():
    cells = np.array([[LAND, -127, 0, 127], [1, 2, 3, LAND]], np.int8)
    frame = Frame(rank=2, superstep=7, supersteps=9, seconds=60.0, first_row=3, rows_of_whole=5, cells=cells)
    got = decode(encode(frame))
    assert got is not None
    assert got.cells.tobytes() == cells.tobytes()
    assert (got.rank, got.superstep, got.supersteps, got.seconds, got.first_row, got.rows_of_whole) == (2, 7, 9, 60.0, 3, 5)
    assert decode(encode(frame)[:-1]) is None
    assert decode(b"junk") is None


def test_heights_survive_their_byte():
    eta = np.array([[-3.0, -0.25, 0.0, 0.01, 0.5, 7.0]])
    land = np.array([[False, False, True, False, False, False]])
    heights = to_heights(to_cells(eta, land))
    np.testing.assert_allclose(heights, [[-1.0, -0.25, np.nan, 0.01, 0.5, 1.0]], atol=0.006)
    assert colours(to_cells(eta, land)).shape == (1, 6, 3)


def test_the_ranks_pictures_fit_together_without_gap_or_overlap():
    floor = load_floor(2)
    name = f"perdure-test-{time.monotonic_ns()}"
    eta = np.random.default_rng(1).normal(size=floor.depth.shape)
    canvas = Canvas(name)
    bounds = [0, 55, 123, 124, 240, floor.depth.shape[0]]
    for rank, (low, high) in enumerate(itertools.pairwise(bounds)):
        with Sender(name, floor, slice(low, high), rank, 10) as sender:
            sender.send(eta[low:high], 4, 99.0)
            sender.send(eta[low:high], 5, 100.0)  # too early: dropped
    count = canvas.receive()
    stride = round(floor.depth.shape[1] / COLUMNS)
    assert count == len(bounds) - 1
    assert canvas.latest.superstep == 4
    assert canvas.cells.tobytes() == to_cells(eta[::stride, ::stride], floor.depth[::stride, ::stride] == 0).tobytes()
    canvas.close()


def test_nobody_needs_to_watch():
    floor = load_floor(6)
    with Sender(f"perdure-nobody-{time.monotonic_ns()}", floor, slice(0, 50), 0, 10) as sender:
        sender.send(np.zeros((50, floor.depth.shape[1])), 1, 1.0)


def test_the_map_shows_the_wave_where_it_is(tmp_path, alone):
    """Bright where the crest is high, the colour of a calm sea where no wave came, grey on land."""
    _, fields = alone
    save_map(tmp_path / "map.png", load_floor(6), fields["crest"], np.where(fields["crest"] >= FRONT_M, fields["arrival"], np.nan))
    picture = plt_image.imread(tmp_path / "map.png")[..., :3]
    assert picture.shape[1] == WIDTH_IN * DPI
    degree = picture.shape[1] / (EAST_DEG - WEST_DEG)
    top = float(load_floor(1).lat_deg[-1])

    def colour(lat, lon):
        row, column = round((top - lat) * degree), round((lon - WEST_DEG) * degree)
        return np.median(picture[row - 3 : row + 4, column - 3 : column + 4].reshape(-1, 3), axis=0)

    near, far, land = colour(37.0, 147.0), colour(-30.0, 250.0), colour(-25.0, 130.0)
    assert near.max() > 0.7, "metres high beside the source"
    assert far.max() < 0.2
    assert far[2] == far.max(), "a calm sea is dark blue"
    assert np.ptp(land) < 0.1, "land is grey"


def test_the_map_has_a_label_for_each_hour_and_each_gauge(tmp_path, alone, monkeypatch):
    _, fields = alone
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    hours = np.where(fields["crest"] >= FRONT_M, fields["arrival"], np.nan)
    for reached in (hours, np.full_like(hours, np.nan)):
        save_map(tmp_path / "map.png", load_floor(6), fields["crest"], reached)
    texts = [[text.get_text() for text in figure.findobj(Text)] for figure in figures]
    labels = [[words for words in found if re.fullmatch(r"\d+ h", words)] for found in texts]
    assert sorted(labels[0]) == ["1 h", "2 h"]
    assert labels[1] == []
    for found in texts:
        assert {gauge.name for gauge in GAUGES} <= set(found)


def test_ranks_that_draw_nothing_do_not_import_matplotlib():
    """It takes a second of each start, and memory of each rank."""
    code = "import sys, tsunami, tsunami_check; raise SystemExit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=EXAMPLE, check=False, timeout=60).returncode == 0


def test_a_map_without_matplotlib_is_refused_before_the_work(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"map needs matplotlib, .* pip install 'perdure\[plots\]'"):
        tsunami.main(None, map="map.png")
