"""Processors, memory and open files that this machine or container allows, and the state of its processes.

For disks see storage/disk.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Files of a control group with its limit and its usage, and the key of memory.stat for file cache that can be dropped.
CGROUP_V2 = ("memory.max", "memory.current", "inactive_file")
CGROUP_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_processors() -> int:
    """Return how many processors this process may use; a container's quota of processor time is not looked up."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Memory:
    """Memory that a new process can use."""

    available: int
    """Bytes."""
    limit: str
    """What limits it: "machine" or "container"."""


def available_memory(root: Path = Path("/")) -> Memory:
    """Return the free memory of the machine or of the control groups of this process, whichever is less.

    `root` is where /proc and /sys are looked up.
    """
    import psutil

    machine = int(psutil.virtual_memory().available)
    container = min(_cgroup_memory(root), default=machine)
    return Memory(container, "container") if container < machine else Memory(machine, "machine")


def _cgroup_memory(root: Path) -> Iterator[int]:
    """Yield the free bytes of each control group of this process, up to the top; none where they cannot be read."""
    groups = root / "proc/self/cgroup"
    for line in groups.read_text(encoding="utf-8").splitlines() if groups.exists() else ():
        number, controllers, path = line.split(":", 2)
        top = root / "sys/fs/cgroup"
        names = CGROUP_V2
        if "memory" in controllers.split(","):
            top, names = top / "memory", CGROUP_V1
        elif number != "0":
            continue
        group = top / path.lstrip(
            "/"
        )  # in a container often the host's path, which does not exist: then the top counts
        for folder in (group, *group.parents):
            if folder.is_relative_to(top) and (free := _free_in_group(folder, *names)) is not None:
                yield free


def _free_in_group(folder: Path, limit_file: str, usage_file: str, cache_key: str) -> int | None:
    """Return limit minus usage, without file cache that the kernel can drop; None when there is no limit."""
    try:
        limit = (folder / limit_file).read_text(encoding="utf-8").strip()
        usage = int((folder / usage_file).read_text(encoding="utf-8"))
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError):
        return None
    if not limit.isdigit():
        return None
    return max(int(limit) - usage + int(statistics.get(cache_key, 0)), 0)


def open_file_limit() -> int | None:
    """Return how many files this process may have open (the soft limit); None when there is no limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def is_stopped(pid: int) -> bool:
    """Return whether a signal, such as SIGSTOP, has stopped a process."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False
