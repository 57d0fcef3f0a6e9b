"""Personal data in a mix, counted in a sample of its windows."""

from __future__ import annotations

import pyarrow as pa

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.mix_encoder import open_encoder
from gpts_data.pipelines.text.personal_data import PersonalData, count_card_numbers, count_emails
from gpts_data.validation.inspect import decode_window

SAMPLE = 4096  # windows: 2M tokens of 512, one or two seconds of work


def sample_personal_data(mix: Mix, windows: int = SAMPLE) -> dict[str, PersonalData]:
    """E-mail addresses and card numbers by source, in `windows` windows that are evenly spaced in the training order.

    What is cut by the end of a window is not found.
    """
    encoder = open_encoder(mix)
    texts: dict[str, list[str]] = {name: [] for name in mix.sources}
    step = max(mix.windows / windows, 1.0)
    for number in range(min(windows, mix.windows)):
        decoded = decode_window(mix, int(number * step), encoder)
        texts[decoded.source].append(decoded.text)
    return {name: _count(parts, mix.window) for name, parts in texts.items()}


def _count(texts: list[str], window: int) -> PersonalData:
    strings = pa.array(texts, pa.large_string())
    return PersonalData(len(texts) * window, count_emails(strings), count_card_numbers(strings))
