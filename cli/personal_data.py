"""The lines on personal data and licenses that `plan` and `inspect` print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gpts_data.cli.terminal import echo

if TYPE_CHECKING:
    from gpts_data.mixer.format.mix import Mix
    from gpts_data.pipelines.text.personal_data import PersonalData


def show_personal_data(sources: Mapping[str, PersonalData]) -> None:
    """Print how many e-mail addresses and card numbers were found in a sample of each source, by its name."""
    from gpts_data.cli.tables import new_table, print_table

    columns = ("source", "sampled tokens", "e-mail addresses", "card numbers")
    table = new_table("personal data: found, and per million tokens", columns)
    for name, found in sources.items():
        counts = (f"{count:,} ({found.per_million(count):,.1f})" for count in (found.emails, found.card_numbers))
        table.add_row(name, f"{found.tokens:,}", *counts)
    print_table(table)


def show_missing_licenses(licenses: Mapping[str, Sequence[str]]) -> None:
    """Warn of the sources for which the recipe names no license. `licenses`: those of each source, by its name."""
    if missing := [name for name, named in licenses.items() if not named]:
        echo(
            f" no license: {', '.join(missing)}. The dataset card will say unknown; set license in each [[source]], "
            'such as license = "odc-by"'
        )


def show_data_notes(mix: Mix, found: Mapping[str, PersonalData]) -> None:
    """Print the personal data that was found in a mix, by source, and the sources without a license."""
    if found:
        show_personal_data(found)
    show_missing_licenses({source["name"]: source["license"] for source in mix.manifest["recipe"]["source"]})
