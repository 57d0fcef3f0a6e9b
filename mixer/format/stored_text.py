"""Texts of the documents of a mix, decoded from its windows."""

from __future__ import annotations

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.mix_encoder import open_encoder
from gpts_data.mixer.format.trace import stream


def stored_text(mix: Mix, source: str, held_out: bool, start: int, n_tokens: int) -> tuple[str, bool]:
    """The text of a document as far as the mix has it, and whether it has all of it.

    start, n_tokens: the document's tokens in the stream of the source's training or held-out documents.
    """
    if held_out:
        ids = mix.validation(source).reshape(-1)[start : start + n_tokens]
    else:
        number = mix.sources.index(source)
        end = mix.epoch_order(number).windows * mix.window
        ids = stream(mix, number, start, min(start + n_tokens, end)) if start < end else mix.shard(0)[:0].reshape(-1)
    return open_encoder(mix).decode(ids[ids != mix.eos_id]), len(ids) == n_tokens
