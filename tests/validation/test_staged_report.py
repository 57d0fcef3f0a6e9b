"""Stages in what inspect, the report, the loader and the curves show."""

from __future__ import annotations

import numpy as np
from click.testing import CliRunner

import gpts_data
from gpts_data.cli.main import cli
from gpts_data.mixer.format.mix import Mix
from gpts_data.validation.inspect import inspect
from gpts_data.validation.report.charts import shares_of_parts
from gpts_data.validation.report.collect import collect_report
from gpts_data.validation.report.page import render_html


def test_inspect_lists_the_stages(staged: Mix, mix: Mix) -> None:
    first, second = inspect(staged)["stages"]
    assert (first["start"], first["stop"], second["start"], second["windows"]) == (0, 219, 219, 94)
    assert second["sources"]["books"] == {"wanted": 0, "share": 0, "windows": 0}
    assert first["sources"]["web"]["wanted"] == 0.7
    shares = {name: source["wanted"] for name, source in inspect(staged)["sources"].items()}
    assert abs(shares["books"] - 219 / 313 * 0.25) < 1e-12 and abs(sum(shares.values()) - 1) < 1e-12
    assert [stage["windows"] for stage in inspect(mix)["stages"]] == [mix.windows]
    assert gpts_data.inspect(staged).stages == inspect(staged)["stages"]
    output = CliRunner().invoke(cli, ["inspect", str(staged.path)]).output
    assert "stages of the training order" in output and "42.86%, 40 windows" in output


def test_the_report_shows_the_stages(staged: Mix, mix: Mix) -> None:
    page = render_html(collect_report(staged))
    assert "2, from window 219" in page and "which is that of the stages up to there" in page
    assert "weights change over the training order" not in render_html(collect_report(mix))


def test_parts_of_the_shares_chart_end_at_boundaries() -> None:
    positions = np.arange(1, 1001)
    counts = np.stack([np.minimum(positions, 333), np.maximum(positions - 333, 0)], axis=1)
    edges, shares = shares_of_parts(positions, counts, [333])
    assert (edges[0], edges[-1]) == (0, 1000) and 333 in edges
    assert (shares[edges[1:] <= 333] == [1, 0]).all() and (shares[edges[1:] > 333] == [0, 1]).all()
