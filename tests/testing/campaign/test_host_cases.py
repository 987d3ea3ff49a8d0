"""The cases of a campaign on hosts: no more hosts are lost than the parity covers, and every kind of fault comes."""

from __future__ import annotations

import pytest

from perdure.core.job_events import NodeLostEvent, ProgressEvent
from perdure.launch.domains import racks
from perdure.launch.shapes import shape_of
from perdure.testing.campaign.baseline import Baseline, baseline_of
from perdure.testing.campaign.host_cases import draw
from perdure.testing.campaign.testbeds import KINDS, LOSES_NOBODY, HostFault


def baseline(parity: int, rack_count: int = 0) -> Baseline:
    labels = racks(rack_count, 5 + parity) if rack_count else {}
    shape = shape_of(5, 1, parity, parity, None, ("rack",) if rack_count else (), labels)
    return baseline_of(shape, spares=parity, supersteps=100, commits=range(0, 100, 5), wall_s=1.5)


@pytest.mark.parametrize("parity", [1, 2, 3])
def test_a_case_never_loses_more_than_the_parity_covers(parity: int) -> None:
    for seed in range(0, 400, 2):
        case = draw(seed, baseline(parity))
        strikes = [one for one in case.strikes if one.kind not in LOSES_NOBODY and not one.ms]
        assert len(strikes) + sum(fault.startswith("kill:") for fault in case.before) <= parity, case
        assert len({one.host for one in case.strikes}) == len(case.strikes), "each strikes a host of its own"


def test_every_kind_comes_and_so_do_the_faults_of_processes() -> None:
    drawn = [draw(seed, baseline(2)) for seed in range(56)]
    assert {one.kind for case in drawn for one in case.strikes} == {*KINDS}
    assert sum(bool(case.faults) for case in drawn) == 28
    assert drawn == [draw(seed, baseline(2)) for seed in range(56)]


def test_the_power_of_a_whole_rack_goes_where_parity_gives_it_back() -> None:
    drawn = [draw(seed, baseline(2, rack_count=3)) for seed in range(60)]
    lost = {frozenset(one.host for one in case.strikes) for case in drawn if case.fault == "power off domain"}
    assert lost
    assert lost <= {frozenset(range(rack, 7, 3)) for rack in range(3)}
    assert all(case.fault != "power off domain" for case in (draw(seed, baseline(2)) for seed in range(60)))


def test_a_fault_is_due_at_its_superstep_or_its_event() -> None:
    at_progress = HostFault(kind="power_off", host=2, superstep=9)
    assert [at_progress.is_due(ProgressEvent(superstep=superstep)) for superstep in (8, 9, 11)] == [False, True, True]
    assert not at_progress.is_due(NodeLostEvent(node=2, reason=""))
    in_recovery = HostFault(kind="power_off", host=2, event=NodeLostEvent)
    assert in_recovery.is_due(NodeLostEvent(node=1, reason=""))
    assert not in_recovery.is_due(ProgressEvent(superstep=50))
    assert (str(at_progress), str(in_recovery)) == ("power_off:host=2,superstep=9", "power_off:host=2,event=node_lost")


def test_one_end_of_a_cut_is_lost_and_nobody_by_what_is_soon_over() -> None:
    lost = NodeLostEvent(node=3, reason="killed by SIGKILL")
    assert HostFault(kind="cut", host=2, to=3, superstep=9).explains(lost)
    assert not HostFault(kind="power_off", host=2, superstep=9).explains(lost)
    assert not HostFault(kind="link_down", host=3, superstep=9, ms=300).explains(lost)
    assert not HostFault(kind="lossy", host=3, superstep=9).explains(lost)
