"""A console of rich that escapes control characters in everything that it prints, tables and bars included."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from gpts_data.pipelines.text.control_characters import escape


class EscapingConsole(Console):
    """Escapes strings before they are measured, so that columns fit, and any other text when it is rendered.

    rich's own codes for colours and the cursor are not text and stay.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(escape(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=escape(segment.text))
