"""A tokenizer for the estimate, trained on the samples of the sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from gpts_data.mixer.planning.piece import Piece
from gpts_data.mixer.planning.source_sample import SourceSample
from gpts_data.mixer.recipe import Recipe
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.tokenizer import artifact
from gpts_data.tokenizer.bpe import train_bpe
from gpts_data.tokenizer.encode import Encoder
from gpts_data.tokenizer.train import plan_sample, truncate


def train_on_samples(
    recipe: Recipe, samples: Sequence[SourceSample], folder: Path, fetch_options: FetchOptions
) -> Encoder:
    """Train a tokenizer into `folder`: that of the build where the samples are all of the sources, else one like it."""
    if all(sample.is_whole for sample in samples):
        texts = list(_texts_of_build(recipe, samples, folder, fetch_options))
    else:
        texts = _texts_by_weight(recipe, samples)
    trained = train_bpe(texts, recipe.tokenizer.vocab_size, recipe.tokenizer.special)
    artifact.save(trained.to_str(), folder, recipe.window)
    return Encoder(folder)


def _texts_of_build(
    recipe: Recipe, samples: Sequence[SourceSample], folder: Path, fetch_options: FetchOptions
) -> Iterator[list[str]]:
    """The texts that the build's tokenizer is trained on."""
    sources = [
        (source, sample.listing, recipe.cleaning(source))
        for source, sample in zip(recipe.weighted_sources, samples, strict=True)
    ]
    pieces = {sample.source.name: sample.pieces_of_unit for sample in samples}
    for task in plan_sample(sources, recipe.tokenizer, recipe.unit, folder, fetch_options, recipe.draw):
        yield _first(_texts(pieces[task.source.name][task.unit.name]), task.quota)


def _texts_by_weight(recipe: Recipe, samples: Sequence[SourceSample]) -> list[list[str]]:
    """Random texts of the samples, of each source in proportion to its part of the build's training text."""
    texts = [_texts(sample.pieces) for sample in samples]
    sizes = np.array([sum(map(_size, of_source)) for of_source in texts], dtype=np.float64)
    available = sizes / np.array([max(sample.sampled, 1e-9) for sample in samples])
    quotas = np.minimum(np.array(recipe.weights) / sum(recipe.weights) * recipe.tokenizer.sample, available)
    has_text = sizes > 0
    scale = min([1.0, *(sizes[has_text] / np.maximum(quotas[has_text], 1)).tolist()])
    rng = np.random.default_rng(0)
    shuffled = [[of_source[i] for i in rng.permutation(len(of_source)).tolist()] for of_source in texts]
    return [_first(of_source, quota * scale) for of_source, quota in zip(shuffled, quotas.tolist(), strict=True)]


def _texts(pieces: Sequence[Piece]) -> list[str]:
    arrays = [texts for piece in pieces for texts in piece.texts]
    return [truncate(text) for text in pa.chunked_array(arrays, pa.string()).to_pylist()]


def _first(texts: Sequence[str], quota: float) -> list[str]:
    """The first texts, with `quota` bytes in all; the last of them is whole."""
    ends = np.cumsum([_size(text) for text in texts])
    return list(texts[: int(np.searchsorted(ends, quota)) + 1])


def _size(text: str) -> int:
    return len(text.encode())
