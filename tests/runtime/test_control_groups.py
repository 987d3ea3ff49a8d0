"""A process that takes more memory than one of its control groups allows is killed, whatever the machine still has."""

from __future__ import annotations

import pathlib

import pytest

from perdure.runtime.posix import _group_rooms, available_bytes

_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = ("memory.max", "memory.current", "inactive_file")
_UNLIMITED = 0x7FFFFFFFFFFFF000
"""The limit of a group of version 1 that has none."""


def _group(root: pathlib.Path, path: str, limit: int | str, usage: int, *, names: tuple[str, str, str] = _V2, cached: int = 0) -> None:
    group = root / "sys/fs/cgroup" / path
    group.mkdir(parents=True, exist_ok=True)
    (group / names[0]).write_text(f"{limit}\n")
    (group / names[1]).write_text(f"{usage}\n")
    (group / "memory.stat").write_text(f"anon {usage - cached}\n{names[2]} {cached}\n")


def test_the_tightest_of_nested_groups_counts(tmp_path: pathlib.Path) -> None:
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)  # the root of a machine has no limit
    _group(tmp_path, "user", 1000, 900)
    _group(tmp_path, "user/job", 2000, 100)
    _group(tmp_path, "other", 10, 10)
    assert sorted(_group_rooms(tmp_path, "0::/user/job\n")) == [100, 1900]


def test_max_is_no_limit(tmp_path: pathlib.Path) -> None:
    _group(tmp_path, "user", "max", 900)
    _group(tmp_path, "user/job", 2000, 500)
    assert _group_rooms(tmp_path, "0::/user/job\n") == [1500]


def test_all_ancestors_of_version_1_count(tmp_path: pathlib.Path) -> None:
    _group(tmp_path, "memory", _UNLIMITED, 10**9, names=_V1)
    _group(tmp_path, "memory/batch", 5000, 4000, names=_V1)
    _group(tmp_path, "memory/batch/step", _UNLIMITED, 3000, names=_V1)
    _group(tmp_path, "cpu/tight", 10, 0, names=_V1)
    assert _group_rooms(tmp_path, "5:cpu,cpuacct:/tight\n4:hugetlb,memory:/batch/step\n1:name=systemd:/a:b\n") == [1000]


def test_a_hybrid_machine_has_its_limits_in_either_version(tmp_path: pathlib.Path) -> None:
    _group(tmp_path, "memory/batch", 5000, 4000, names=_V1)
    (tmp_path / "sys/fs/cgroup/unified/session").mkdir(parents=True)
    groups = "4:memory:/batch\n0::/session\n"
    assert _group_rooms(tmp_path, groups) == [1000]
    _group(tmp_path, "unified/session", 300, 100)
    assert sorted(_group_rooms(tmp_path, groups)) == [200, 1000]


@pytest.mark.parametrize("path", ["/", "/docker/0123", "/../0123", "/../../system.slice/0123"])
def test_a_container_whose_mount_begins_at_its_own_group(tmp_path: pathlib.Path, path: str) -> None:
    _group(tmp_path, "", 4000, 1000)
    assert _group_rooms(tmp_path, f"0::{path}\n") == [3000]


def test_a_group_beyond_the_root_of_the_namespace_is_found_where_the_mount_shows_it(tmp_path: pathlib.Path) -> None:
    _group(tmp_path, "", "max", 1000)
    _group(tmp_path, "sibling", 500, 100)
    assert _group_rooms(tmp_path, "0::/../sibling\n") == [400]


def test_pages_of_files_are_room(tmp_path: pathlib.Path) -> None:
    """A job that has read large files is not refused its memory."""
    _group(tmp_path, "job", 4000, 3900, cached=3000)
    _group(tmp_path, "memory/job", 4000, 3900, cached=2000, names=_V1)
    assert sorted(_group_rooms(tmp_path, "0::/job\n4:memory:/job\n")) == [2100, 3100]


def test_a_group_over_its_limit_has_no_room(tmp_path: pathlib.Path) -> None:
    _group(tmp_path, "job", 1000, 1200)
    assert _group_rooms(tmp_path, "0::/job\n") == [0]


@pytest.mark.parametrize("groups", ["", "0::/job\n", "4:memory:/job\n", "3:cpu:/job\n"])
def test_a_machine_without_control_groups_has_no_limits(tmp_path: pathlib.Path, groups: str) -> None:
    assert _group_rooms(tmp_path, groups) == []


def test_this_machine_has_memory() -> None:
    assert available_bytes() > 0
