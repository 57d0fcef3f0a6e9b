"""Every prefix of the draw order is a sample of the whole source, and a longer one begins with a shorter one."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from gpts_data.pipelines.readers.draw_order import Draw, draw_units, spread
from gpts_data.pipelines.readers.source import SourceFile, Unit

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
