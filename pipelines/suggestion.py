"""The end of a message about an unknown name: the known name that was probably meant, or else all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` is probably a misspelling of, whatever its case; None if none is near."""
    by_folded = {other.casefold(): other for other in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, 1)
    return by_folded[close[0]] if close else None


def suggest(name: str, known: Iterable[str]) -> str:
    """`did you mean text?`, or `expected one of id, text, url` when no known name is near."""
    known = list(known)
    close = closest(name, known)
    return f"did you mean {close}?" if close else f"expected one of {', '.join(known)}"
