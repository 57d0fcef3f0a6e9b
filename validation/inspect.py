"""INSPECT: the contents of a mix as plain values, and single windows decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpts_data.mixer.format.manifest_types import SourceEntry
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.mix_encoder import open_encoder
from gpts_data.mixer.format.training_order import window_of_source
from gpts_data.mixer.recipe_stages import target_shares
from gpts_data.mixer.schedule.training_stages import TrainingStage
from gpts_data.pipelines.errors import UsageError
from gpts_data.tokenizer.encode import Encoder

_SOURCE_KEYS = (
    "windows",
    "tokens",
    "documents",
    "share",
    "epochs",
    "files_read",
    "files_total",
    "validation",
    "leftover_tokens",
    "revision",
)


@dataclass(frozen=True)
class Window:
    """One window of the training order, decoded."""

    position: int
    """Its position in the training order."""
    shard: str
    """Name of the shard file that holds it."""
    row: int
    """Its row in the shard."""
    source: str
    """Name of its source."""
    window: int
    """Its number in the source's stream."""
    ids: list[int]
    """Its token ids."""
    text: str
    """Its text, with `<|endoftext|>` at the end of each document."""


def inspect(mix: Mix) -> dict[str, Any]:
    """The counts of each source, the waterfall and the digests: the object that `gpts-data inspect --json` prints.

    docs/formats.md lists the keys that programs may rely on.
    """
    manifest = mix.manifest
    shares = dict(zip(mix.sources, target_shares(mix.stages), strict=True))
    return {
        "name": manifest["recipe"]["name"],
        "windows": mix.windows,
        "tokens": mix.tokens,
        "window": mix.window,
        "shards": len(mix.shards),
        "stages": [_stage(mix, stage) for stage in mix.stages],
        "sources": {
            name: {
                "wanted": shares[name],
                **{key: dict(manifest["sources"][name])[key] for key in _SOURCE_KEYS},
                "repeats": repeats(manifest["sources"][name]["windows"], manifest["sources"][name]["pass_windows"]),
                **_padding(manifest["sources"][name], mix.window),
            }
            for name in mix.sources
        },
        "waterfall": {name: manifest["waterfall"][name] for name in mix.sources},
        "overlap": {name: {other: manifest["overlap"][name][other] for other in mix.sources} for name in mix.sources},
        **({"decontamination": manifest["decontamination"]} if "decontamination" in manifest else {}),
        **({"exclusions": manifest["exclusions"]} if "exclusions" in manifest else {}),
        "tokenizer": manifest["tokenizer"],
        "root_digest": manifest["root_digest"],
    }


def repeats(windows: int, distinct: int) -> dict[str, int]:
    """How often a source's distinct windows are in the training order: windows by the number of times.

    windows: those of the source in the training order. distinct: those of one epoch. The last epoch may be a part.
    """
    times, more = divmod(windows, distinct)
    return {str(n): count for n, count in ((times, distinct - more), (times + 1, more)) if count}


def _padding(source: SourceEntry, window: int) -> dict[str, Any]:
    """The padding in one epoch of a source with packed windows; nothing for others. window: its tokens."""
    if "packing" not in source:
        return {}
    tokens = source["packing"]["padding"]
    return {"padding": {"tokens": tokens, "share": tokens / (source["pass_windows"] * window)}}


def _stage(mix: Mix, stage: TrainingStage) -> dict[str, Any]:
    """A stage of the training order: its windows, and the share of each source in them."""
    total = sum(stage.weights)
    sources = zip(mix.sources, stage.weights, stage.windows, strict=True)
    return {
        "start": stage.start,
        "stop": stage.stop,
        "windows": stage.length,
        "sources": {
            name: {"wanted": weight / total, "share": windows / stage.length, "windows": windows}
            for name, weight, windows in sources
        },
    }


def decode_window(mix: Mix, position: int, coder: Encoder | None = None) -> Window:
    """Window `position` of the training order, decoded.

    `coder` is the mix's encoder, for callers that decode many windows; without it the mix's tokenizer is loaded. Raises
    `UsageError` when the mix has no such window.
    """
    if not 0 <= position < mix.windows:
        raise UsageError(f"window {position:,}: the mix has windows 0 to {mix.windows - 1:,}")
    shard, row = mix.locate(position)
    ids = mix.row(shard, row)
    source, window = window_of_source(mix, shard, row)
    text = (coder or open_encoder(mix)).decode(ids, ends=True)
    name = mix.manifest["shards"][shard]["file"]
    return Window(position, name, row, mix.sources[source], window, ids.tolist(), text)
