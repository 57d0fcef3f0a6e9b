"""What `gpts_data.inspect` returns: the keys of `gpts-data inspect --json` as attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class SourceSummary:
    """One source of a mix."""

    wanted: float
    """The share of the windows that the recipe asks for, 0 to 1."""
    share: float
    """The share that it has."""
    windows: int
    tokens: int
    documents: int
    """Documents kept for training."""
    epochs: float
    """How often its windows are in the training order, on average."""
    repeats: dict[str, int]
    """How many of its distinct windows are in the training order once ("1"), twice ("2") and so on."""
    files_read: int
    """Files that text was read from."""
    files_total: int
    """Files of the source, without empty ones."""
    leftover_tokens: int
    """Tokens at the end of its stream that fill no window."""
    revision: str | None
    """Commit of the hub dataset; None for local files."""
    validation: dict[str, Any] = field(repr=False)
    """Its held-out documents: their number, windows and tokens."""


@dataclass(frozen=True)
class MixSummary:
    """A mix by its manifest. `print` shows the sizes and the sources; the other attributes are left out."""

    name: str
    windows: int
    tokens: int
    window: int
    """Tokens of a window."""
    shards: int
    stages: list[dict[str, Any]] = field(repr=False)
    """The parts of the training order with weights of their own: `start`, `stop`, `windows` and by source the share
    that the weights ask for (`wanted`), the share and the windows. One, unless the recipe has `[[stage]]` tables."""
    sources: dict[str, SourceSummary]
    """By name, in recipe order."""
    waterfall: dict[str, Any] = field(repr=False)
    """By source: documents read, kept, and dropped by reason."""
    overlap: dict[str, Any] = field(repr=False)
    """By source: documents dropped because another source has them."""
    tokenizer: dict[str, Any] = field(repr=False)
    """Size of the vocabulary, id of the end-of-text token, digest."""
    root_digest: str = field(repr=False)
    """sha256 over everything that the mix is a function of, and over its files."""
    decontamination: dict[str, Any] | None = field(default=None, repr=False)
    """Counts by benchmark; None when the recipe does not decontaminate."""
    exclusions: list[dict[str, Any]] | None = field(default=None, repr=False)
    """The lists of `[exclude]`, with the number of documents in each; None when the recipe has none."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> MixSummary:
        """From what `validation.inspect.inspect` returns."""
        sources = {name: SourceSummary(**_known(SourceSummary, source)) for name, source in content["sources"].items()}
        return cls(**_known(cls, {**content, "sources": sources}))


def _known(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are fields of the dataclass `kind`."""
    return {f.name: values[f.name] for f in fields(kind) if f.name in values}
