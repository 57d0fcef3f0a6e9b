"""A source without a held-out window is named at the end of a build, with the key to change."""

from __future__ import annotations

from typing import Any

from gpts_data.mixer.recipe import Validation
from gpts_data.mixer.stages.finalize import missing_validation


def source(windows: int, documents: int, leftover: int) -> dict[str, Any]:
    held_out = {"windows": windows, "documents": documents, "leftover_tokens": leftover}
    return {"documents": 1200, "validation": held_out}


def test_sources_without_a_held_out_window_are_named() -> None:
    sources = {"web": source(1, 2, 7), "books": source(0, 2, 301), "notes": source(0, 0, 0)}
    books = "books: no validation set: its 2 held-out documents have 301 tokens, which fill no window of 512; "
    notes = "notes: no validation set: none of its 1,200 documents was held out; "
    too_short = "it needs all others for training: give it more files"
    assert list(missing_validation(sources, Validation(), 512)) == [books + too_short, notes + too_short]
    key = "set [validation] minimum = 1, or raise fraction = 0.0005"
    assert list(missing_validation(sources, Validation(minimum=0), 512)) == [books + key, notes + key]
    assert not list(missing_validation(sources, Validation(0), 512))  # holding nothing out was asked for
