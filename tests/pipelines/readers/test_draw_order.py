"""Every prefix of the draw order is a sample of the whole source, and a longer one begins with a shorter one."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from gpts_data.pipelines.readers.draw_order import Draw, draw_units, spread
from gpts_data.pipelines.readers.source import SourceFile, Unit

GOLDEN = (  # size of the file and number of the unit
    "30:11 10:4 30:24 30:3 7:2 30:16 10:9 30:29 30:8 1:0 30:21 30:0 7:4 30:13 10:1 30:26 30:5 7:1 30:18 10:6 "
    "30:10 30:23 2:1 30:2 30:15 7:6 30:28 10:3 30:7 30:20 7:3 30:12 10:8 0:0 30:25 10:0 30:4 30:17 7:0 30:9 "
    "10:5 30:22 30:1 2:0 30:14 30:27 7:5 30:6 10:2 30:19 10:7"
)
SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=20)


def files_of(sizes: list[int]) -> list[SourceFile]:
    return [SourceFile(f"{n:02d}.jsonl", f"/{n:02d}.jsonl", size, None) for n, size in enumerate(sizes)]


def split(file: SourceFile) -> list[Unit]:
    return [Unit(file, start, start + 1, 1) for start in range(file.size)]


@given(SIZES, st.integers(0, 3), st.sampled_from(["spread", "file"]))
def test_every_unit_comes_once(sizes: list[int], seed: int, order: str) -> None:
    files = files_of(sizes)
    names = [unit.name for unit in draw_units(files, split, Draw(order, seed), "web")]
    assert sorted(names) == sorted(unit.name for file in files for unit in split(file))
    if order == "file":
        assert names == [unit.name for file in files for unit in split(file)]


@given(st.integers(2, 16), st.integers(1, 30), st.integers(0, 9))
def test_a_prefix_reaches_every_file(n_files: int, per_file: int, seed: int) -> None:
    """Of n equal files, 2.2 n visits leave none out (the largest gap of the multiples is below 2.2 / n)."""
    units = draw_units(files_of([per_file] * n_files), split, Draw(seed=seed), "web")
    drawn = Counter(unit.file.name for unit in islice(units, int(2.2 * n_files) + 1))
    assert len(drawn) == n_files or sum(drawn.values()) == n_files * per_file


def test_large_files_are_drawn_from_more_often() -> None:
    sizes = [4000, 1000, 2000, 3000]
    drawn = Counter(u.file.name for u in islice(draw_units(files_of(sizes), split, Draw(), "web"), 1000))
    assert [abs(drawn[f"{n:02d}.jsonl"] - size / 10) <= 3 for n, size in enumerate(sizes)] == [True] * 4


@given(st.integers(1, 500), st.integers(0, (1 << 64) - 1), st.integers(1, 20))
def test_a_prefix_is_spread_over_a_file(n: int, key: int, parts: int) -> None:
    order = spread(range(n), key)
    assert sorted(order) == list(range(n))
    taken = order[: -(-n // parts)]
    gaps = [b - a for a, b in zip(sorted(taken), sorted(taken)[1:], strict=False)]
    assert max(gaps, default=0) <= 3 * parts + 1


def test_a_file_that_is_not_visited_is_not_opened() -> None:
    opened = []

    def opening(file: SourceFile) -> list[Unit]:
        opened.append(file.name)
        return split(file)

    next(draw_units(files_of([10] * 1000), opening, Draw(), "web"))
    assert len(opened) == 1


def test_seeds_and_names_give_other_orders() -> None:
    orders = {
        tuple(unit.name for unit in draw_units(files_of([9] * 9), split, Draw(seed=seed), name))
        for seed, name in ((0, "a"), (1, "a"), (0, "b"))
    }
    assert len(orders) == 3


def test_the_order_never_changes() -> None:
    """Mixes in the world depend on it: these names are those of version 0.2.0."""
    names = [unit.name for unit in islice(draw_units(files_of([3, 5, 2]), split, Draw(), "web"), 5)]
    assert names == ["01.jsonl:3-4", "00.jsonl:1-2", "01.jsonl:0-1", "00.jsonl:0-1", "02.jsonl:0-1"]
    files = [*files_of([10, 30, 0, 7, 1]), *files_of([2])]
    names = [f"{unit.file.size}:{unit.start}" for unit in draw_units(files, one_at_least, Draw(), "web")]
    assert " ".join(names) == GOLDEN


def one_at_least(file: SourceFile) -> list[Unit]:
    return split(file) or [Unit(file, 0, 0, 0)]
