"""What this machine has to offer a build, in bytes and counts: memory and open files; the disk: pipelines/disk.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

UNIFIED = ("memory.max", "memory.current", "inactive_file")
OLD = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


@dataclass(frozen=True)
class Memory:
    """Bytes that can still be had; `limit` says what sets them: "machine" or "container"."""

    available: int
    limit: str


def available_memory(root: Path = Path("/")) -> Memory:
    """What the machine has left, or a control group this process is in, whichever is less."""
    import psutil

    machine = int(psutil.virtual_memory().available)
    container = min(_rooms(root), default=machine)
    return Memory(container, "container") if container < machine else Memory(machine, "machine")


def _rooms(root: Path) -> Iterator[int]:
    """What each control group of ours, up to the top, still allows; none where nothing can be read."""
    groups = root / "proc/self/cgroup"
    for line in groups.read_text().splitlines() if groups.exists() else ():
        number, controllers, path = line.split(":", 2)
        top = root / "sys/fs/cgroup"
        names = UNIFIED
        if "memory" in controllers.split(","):
            top, names = top / "memory", OLD
        elif number != "0":
            continue
        folder = top / path.lstrip("/")  # inside a container often the host's name, which is not there: then the top
        for place in (folder, *folder.parents):
            if place.is_relative_to(top) and (room := _room(place, *names)) is not None:
                yield room


def _room(folder: Path, limit: str, usage: str, reclaimable: str) -> int | None:
    """Limit minus usage, file cache that the kernel can drop not counted; None without a limit."""
    try:
        allowed, used = (folder / limit).read_text().strip(), int((folder / usage).read_text())
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if not allowed.isdigit():
        return None
    return max(int(allowed) - used + int(statistics.get(reclaimable, 0)), 0)


def open_file_limit() -> int | None:
    """How many files this process may have open now; None where there is no such limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft
