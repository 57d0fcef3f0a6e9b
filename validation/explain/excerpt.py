"""The part of a traced document around its token, as much as a terminal shows at once."""

from __future__ import annotations

from os.path import commonprefix

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.mix_encoder import open_encoder
from gpts_data.mixer.format.trace import Origin, stream

BEFORE, AFTER = 400, 560  # characters: 5 and 7 lines of 80
LINES_BEFORE, LINES_AFTER = 5, 7
MARKS = "\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}", "\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}"


def excerpt(mix: Mix, token: int, origin: Origin) -> str:
    """A screenful of the document of token `token` of the training order, with the token between MARKS.

    A line before and after it says how much of the document is left out.
    """
    begin, end = _place(mix, token, origin)
    text = origin.text
    before = _last_lines(text[max(begin - BEFORE, 0) : begin])
    after = _first_lines(text[end : end + AFTER])
    left_out = begin - len(before), len(text) - end - len(after)
    parts = [f"[{left_out[0]:,} characters before]\n" if left_out[0] else "", before]
    parts += [MARKS[0], text[begin:end] or "<|endoftext|>", MARKS[1], after]
    parts += [f"\n[{left_out[1]:,} characters after; --full prints the whole document]" if left_out[1] else ""]
    return "".join(parts)


def _place(mix: Mix, token: int, origin: Origin) -> tuple[int, int]:
    """Return where the characters of the token begin and end in the document's text."""
    number, encoder = mix.sources.index(origin.source), open_encoder(mix)
    at = origin.window_of_source * mix.window + token % mix.window
    ids = stream(mix, number, at - origin.document_token_offset, at + 1)
    # A token may end within a character: what is decoded so far then differs from the text in its last character.
    begin, end = (len(commonprefix([encoder.decode(part), origin.text])) for part in (ids[:-1], ids))
    return begin, end


def _last_lines(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[-LINES_BEFORE:])


def _first_lines(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:LINES_AFTER])
