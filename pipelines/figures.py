"""A matplotlib figure as bytes: the same bytes for the same figure, on any day and in any process."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# matplotlib's default salt is random; text stays text, so that a page can be searched and its fonts be chosen
_SVG = {"svg.hashsalt": "", "svg.fonttype": "none"}


def figure_bytes(
    draw: Callable[[], Figure],
    kind: str = "svg",
    *,
    style: dict[str, Any] | None = None,
    transparent: bool = False,
) -> bytes:
    """Call `draw` under the matplotlib settings `style` and return its figure as `kind`: svg, png (150 dpi) or pdf."""
    from matplotlib import rc_context

    out = BytesIO()
    settings: Any = {**_SVG, **(style or {})}
    with rc_context(settings):
        metadata = {"Date": None, "Creator": None} if kind == "svg" else None
        draw().savefig(out, format=kind, dpi=150, transparent=transparent, metadata=metadata)
    return out.getvalue()
