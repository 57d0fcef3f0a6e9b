"""All ranks and workers together read the training order; a loader put down goes on at the very next window."""

from __future__ import annotations

import itertools
import pickle
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader  # noqa: E402

from gpts_data.mixer.export.window_files import document_start_mask  # noqa: E402
from gpts_data.mixer.format.mix import Mix, open_mix  # noqa: E402
from gpts_data.mixer.format.training_order import TrainingOrder  # noqa: E402
from gpts_data.pipelines.errors import UsageError, VerificationError  # noqa: E402
from gpts_data.validation.loader import (  # noqa: E402
    Batches,
    Loader,
    TrainingWindows,
    Windows,
    document_numbers,
    document_positions,
    document_starts,
)
from tests.validation.training.test_metrics import WINDOW, write_mix  # noqa: E402

SIZES = (5, 1, 10, 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mix, np.ndarray]:
    """A mix of 19 windows in four shards, and the windows."""
    return write_mix(tmp_path_factory.mktemp("mix"), SIZES)


def taken(batches: Iterable[Any], count: int) -> np.ndarray:
    found = list(itertools.islice(batches, count))
    assert all(batch.dtype == torch.int64 for batch in found)
    return torch.stack(found).numpy()


def in_order(windows: np.ndarray, start: int, count: int) -> np.ndarray:
    return windows[np.arange(start, start + count) % len(windows)]


@given(st.data())
def test_any_positions(made: tuple[Mix, np.ndarray], data: st.DataObject) -> None:
    mix, windows = made
    start, count, step = (data.draw(st.integers(low, 60)) for low in (0, 0, 1))
    found = TrainingOrder(mix).read(start, count, step)
    assert found.dtype == np.int64 and found.shape == (count, WINDOW)
    assert np.array_equal(found, windows[(start + step * np.arange(count)) % len(windows)])


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_ranks_together_read_the_training_order(made: tuple[Mix, np.ndarray], ranks: int, batch_size: int) -> None:
    """Step by step: the windows of step s are the next ones, each at one rank, interleaved."""
    mix, windows = made
    of_rank = [taken(Batches(mix, batch_size, rank=rank, ranks=ranks), 9) for rank in range(ranks)]
    together = np.stack(of_rank, axis=2)  # (step, row, rank, window)
    assert np.array_equal(together.reshape(-1, WINDOW), in_order(windows, 0, 9 * batch_size * ranks))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(made: tuple[Mix, np.ndarray], workers: int) -> None:
    mix, _ = made
    alone = taken(Batches(mix, 2, rank=1, ranks=3, start=4), 8)
    loader = DataLoader(Batches(mix, 2, rank=1, ranks=3, start=4), batch_size=None, num_workers=workers)
    assert np.array_equal(taken(loader, 8), alone)


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_put_down_and_taken_up(made: tuple[Mix, np.ndarray], ahead: int) -> None:
    mix, windows = made
    loader = Loader(mix, 2, rank=1, ranks=2, ahead=ahead)
    before = taken(loader, 7)  # past the end of the first epoch, with batches read ahead
    state = pickle.loads(pickle.dumps(loader.state_dict()))
    assert state == {"position": 28, "mix_root_digest": "0" * 64}
    fresh = Loader(mix, 2, rank=1, ranks=2, ahead=ahead)
    fresh.load_state_dict(state)
    after = taken(fresh, 4)
    whole = in_order(windows, 0, 44).reshape(11, 2, 2, WINDOW)[:, :, 1]
    assert np.array_equal(np.concatenate([before, after]), whole)
    assert fresh.state_dict()["position"] == 44


def test_to_iterate_again_is_to_go_on(made: tuple[Mix, np.ndarray]) -> None:
    mix, windows = made
    loader = Loader(mix, 3)
    found = [batch for _ in range(3) for _, batch in zip(range(2), loader, strict=False)]
    assert np.array_equal(torch.cat(found).numpy(), in_order(windows, 0, 18))


def test_another_number_of_ranks_goes_on_at_the_same_window(made: tuple[Mix, np.ndarray]) -> None:
    mix, windows = made
    first = Loader(mix, 2, rank=0, ranks=4)
    taken(first, 1)
    rest = [Loader(mix, 3, rank=rank, ranks=2) for rank in range(2)]
    for loader in rest:
        loader.load_state_dict(first.state_dict())
    together = np.stack([taken(loader, 2) for loader in rest], axis=2)
    assert np.array_equal(together.reshape(-1, WINDOW), in_order(windows, 8, 12))


def test_the_state_of_another_mix(made: tuple[Mix, np.ndarray]) -> None:
    for state in ({"position": 3, "mix_root_digest": "1" * 64}, {"position": 3}):
        with pytest.raises(UsageError, match="the state is of mix"):
            Loader(made[0], 1).load_state_dict(state)


def test_by_position(made: tuple[Mix, np.ndarray]) -> None:
    mix, windows = made
    dataset = Windows(mix)
    assert len(dataset) == len(windows)
    assert all(np.array_equal(dataset[i].numpy(), window) for i, window in enumerate(windows))
    assert np.array_equal(dataset[-1].numpy(), windows[-1])
    for position in (len(windows), -len(windows) - 1):
        with pytest.raises(IndexError, match="windows 0 to 18"):
            dataset[position]
    found = torch.cat(list(DataLoader(dataset, batch_size=4, num_workers=2)))
    assert np.array_equal(found.numpy(), windows)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_in_a_data_loader(made: tuple[Mix, np.ndarray], workers: int) -> None:
    mix, windows = made
    loader = Loader(mix, 2)
    found = taken(DataLoader(loader, batch_size=None, num_workers=workers), 12)
    assert np.array_equal(found.reshape(-1, WINDOW), in_order(windows, 0, 24))
    assert loader.position == (0 if workers else 24)


def test_batches_with_document_starts(made: tuple[Mix, np.ndarray]) -> None:
    loader = Loader(made[0], 3)
    for ids, starts in itertools.islice(loader.with_document_starts(), 4):
        assert torch.equal(starts, document_starts(ids, made[0].eos_id))
    assert loader.position == 12


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_of_an_epoch_repeat_no_window(made: tuple[Mix, np.ndarray], workers: int) -> None:
    mix, windows = made
    for rank in range(2):
        dataset = TrainingWindows(mix, rank=rank, ranks=2, position_ids=True)
        found = list(DataLoader(dataset, batch_size=2, num_workers=workers))
        ids = torch.cat([batch["input_ids"] for batch in found])
        expected = windows[rank:18:2]  # of 19 windows, the last is left out
        assert len(dataset) == len(expected) == len(ids)
        assert sorted(ids.tolist()) == sorted(expected.tolist())
        assert workers or np.array_equal(ids.numpy(), expected)
        assert torch.equal(torch.cat([batch["labels"] for batch in found]), ids)
        positions = torch.cat([batch["position_ids"] for batch in found])
        assert torch.equal(positions, document_positions(ids, mix.eos_id))
    assert set(next(iter(TrainingWindows(mix)))) == {"input_ids", "labels"}
    with pytest.raises(UsageError, match="rank = 2 of 2"):
        TrainingWindows(mix, rank=2, ranks=2)


@pytest.mark.parametrize("kind", [Windows, lambda mix: Batches(mix, 2)])
def test_a_pickle_is_small(made: tuple[Mix, np.ndarray], kind: type[Windows]) -> None:
    """Workers that are spawned get one: a memory map in it would be a copy of the shard."""
    dataset = kind(made[0])
    next(iter(dataset))
    before = len(pickle.dumps(kind(made[0])))
    assert len(pickle.dumps(dataset)) == before
    assert torch.equal(next(iter(pickle.loads(pickle.dumps(dataset)))), next(iter(dataset)))


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"rank": 2, "ranks": 2}, {"rank": -1}, {"ranks": 0}, {"start": -1}]
)
def test_what_cannot_be_meant(made: tuple[Mix, np.ndarray], options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="expected a batch_size of at least"):
        Batches(made[0], **{"batch_size": 1, **options})


def test_no_windows(tmp_path: Path) -> None:
    mix, _ = write_mix(tmp_path, (0,))
    with pytest.raises(UsageError, match="no windows"):
        Loader(mix, 1)


def test_a_shard_cut_short_is_not_read_as_if_it_were_whole(tmp_path: Path) -> None:
    mix, _ = write_mix(tmp_path, (3, 4))
    mix.shards[1].write_bytes(mix.shards[1].read_bytes()[: -2 * WINDOW])
    for batches in (iter(Batches(mix, 3)), iter(Loader(mix, 3))):
        next(batches)
        with pytest.raises(VerificationError, match="train-00001.bin: 48 bytes, expected 64; run gpts-data verify"):
            next(batches)


@given(st.lists(st.lists(st.integers(0, 2), min_size=6, max_size=6), min_size=1, max_size=4))
def test_documents_begin_behind_end_of_text(rows: list[list[int]]) -> None:
    ids = torch.tensor(rows)
    first = document_start_mask(np.array(rows, dtype="<u2"), 0)
    assert document_starts(ids, 0).tolist() == [*np.flatnonzero(first), ids.numel()]
    assert document_starts(ids, 0).dtype == torch.int32
    assert np.array_equal(document_numbers(ids, 0).numpy(), first.cumsum(1) - 1)
    lengths = np.diff(document_starts(ids, 0).numpy())
    assert document_positions(ids, 0).flatten().tolist() == [i for length in lengths for i in range(length)]


def test_documents_of_a_real_mix(mix: Mix) -> None:
    """Each document but a window's last ends with the window's only end-of-text of that document."""
    ids = next(iter(Loader(mix, 40)))
    bounds = document_starts(ids, mix.eos_id).tolist()
    flat = ids.flatten().tolist()
    pieces = [flat[a:b] for a, b in itertools.pairwise(bounds)]
    assert len(pieces) > 40 and sum(pieces, []) == flat
    assert all(mix.eos_id not in piece[:-1] for piece in pieces)
    ends = [b % mix.window == 0 or piece[-1] == mix.eos_id for piece, b in zip(pieces, bounds[1:], strict=True)]
    assert all(ends)


def test_a_changed_shard_is_refused_when_it_is_first_read(mix: Mix, tmp_path: Path) -> None:
    copy = open_mix(shutil.copytree(mix.path, tmp_path / "mix"))
    stride = copy.manifest["shards"][0]["windows"]
    ids = np.fromfile(copy.shards[1], "<u2")
    ids[5], ids[6] = ids[6], ids[5]
    ids.tofile(copy.shards[1])
    assert len(list(itertools.islice(Loader(copy, stride), 2))) == 2  # a size is all that is compared otherwise
    with pytest.raises(VerificationError, match=r"train-00001\.bin: the sha256 is .*; the file was changed"):
        list(itertools.islice(Loader(copy, stride, verify=True), 2))
    for windows in (Windows(mix, verify=True), TrainingWindows(mix, verify=True), Batches(mix, 4, verify=True)):
        next(iter(windows))
