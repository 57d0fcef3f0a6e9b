"""Characters that command a terminal or a text renderer instead of being shown, and how they are shown.

A text, an id or a name of a dataset may hold escape sequences: ESC ] 52 writes to the clipboard, ESC [ 2 J clears the
screen, CR overwrites the line, and U+202E reverses what follows. Whatever is printed passes `escape` first.
"""

from __future__ import annotations

import re

_C0, _C1 = r"\x00-\x08\x0b-\x1f\x7f", r"\x80-\x9f"  # without tab and line feed
_SEPARATORS, _DIRECTIONS = r"\u2028\u2029", r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_NO_WIDTH = r"\ufeff"  # two ids that differ only in a byte order mark would look alike
_SURROGATES = r"\ud800-\udfff"  # bytes of a file's name that are not UTF-8; no terminal takes them
_HIDDEN = re.compile(f"[{_C0}{_C1}{_SEPARATORS}{_DIRECTIONS}{_NO_WIDTH}{_SURROGATES}]")
_HIDDEN_OR_BREAK = re.compile(f"[{_C0}\t\n{_C1}{_SEPARATORS}{_DIRECTIONS}{_NO_WIDTH}{_SURROGATES}]")


def escape(text: str) -> str:
    """`text` with visible escapes such as `\\x1b` for control characters; tabs and line feeds stay."""
    return _HIDDEN.sub(_as_escape, text)


def escape_line(text: str) -> str:
    """As `escape`, with tabs and line feeds escaped too: for a value that must stay in its line."""
    return _HIDDEN_OR_BREAK.sub(_as_escape, text)


def has_control_characters(text: str) -> bool:
    """Whether `escape_line` would change the text."""
    return _HIDDEN_OR_BREAK.search(text) is not None


def _as_escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")
