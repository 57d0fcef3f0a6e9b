"""Memory limits of control groups, versions 1 and 2, and limits of open files."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from gpts_data.pipelines import machine
from gpts_data.pipelines.machine import Memory, available_memory, open_file_limit

HUGE = "9223372036854771712"  # what version 1 of control groups has for no limit


def group(root: Path, folder: str, names: tuple[str, str, str], limit: str, used: int, cache: int) -> None:
    place = root / "sys/fs/cgroup" / folder
    place.mkdir(parents=True, exist_ok=True)
    for name, value in ((names[0], limit), (names[1], used), ("memory.stat", f"anon 1\n{names[2]} {cache}")):
        (place / name).write_text(f"{value}\n", encoding="utf-8")


def belongs(root: Path, *lines: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_a_group_of_version_2_and_those_above_it(tmp_path: Path) -> None:
    belongs(tmp_path, "0::/a/b")
    group(tmp_path, "a/b", machine.CGROUP_V2, "max", 50_000_000, 0)
    group(tmp_path, "a", machine.CGROUP_V2, "100000000", 60_000_000, 10_000_000)
    assert available_memory(tmp_path) == Memory(50_000_000, "container")


def test_a_group_of_version_1_seen_from_inside_a_container(tmp_path: Path) -> None:
    """There /proc has the host's path of the group, and the folder itself is the group."""
    belongs(tmp_path, "5:cpu:/docker/1", "4:memory:/docker/1", "0::/")
    group(tmp_path, "memory", machine.CGROUP_V1, "70000000", 80_000_000, 30_000_000)
    assert available_memory(tmp_path) == Memory(20_000_000, "container")


def test_more_used_than_allowed_is_nothing_left(tmp_path: Path) -> None:
    belongs(tmp_path, "0::/")
    group(tmp_path, "", machine.CGROUP_V2, "100", 200, 0)
    assert available_memory(tmp_path) == Memory(0, "container")


@pytest.mark.parametrize("limit", [HUGE, "max", ""])
def test_no_limit_leaves_the_machine_s(tmp_path: Path, limit: str) -> None:
    belongs(tmp_path, "4:memory:/", "0::/")
    group(tmp_path, "memory", machine.CGROUP_V1, limit, 5, 0)
    assert available_memory(tmp_path).limit == "machine"
    assert available_memory(tmp_path / "nothing readable").available > 0


def test_the_limit_of_open_files_is_the_soft_one(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from gpts_data.pipelines.machine import open_file_limit; print(open_file_limit())"
    command = f"ulimit -S -n 77 && {sys.executable} -c '{code}'"
    assert (
        subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, encoding="utf-8").stdout
        == "77\n"
    )
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda which: unlimited)
    assert open_file_limit() is None
