"""A mix, opened for reading."""

from __future__ import annotations

from gpts_data.mixer.format.mix import Mix


def test_repr_is_one_short_line(mix: Mix) -> None:
    assert repr(mix) == f"Mix({str(mix.path)!r}, 313 windows of 64, 3 sources)"
