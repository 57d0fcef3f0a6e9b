"""Commands that hand over: export."""

from __future__ import annotations

from pathlib import Path

import click

from gpts_data.cli.options import json_option, mix_argument, print_json
from gpts_data.cli.progress import progress

FORMAT_NAMES = ("nanogpt", "llmc", "datatrove", "megatron", "parquet", "mds")  # of FORMATS, which takes long to import


@click.command()
@mix_argument
@click.option(
    "--format",
    "name",
    required=True,
    type=click.Choice(FORMAT_NAMES),
    help="nanoGPT, llm.c, datatrove (nanotron), Megatron, parquet (datasets), MDS (MosaicML streaming).",
)
@click.option("--out", required=True, metavar="PATH", type=click.Path(path_type=Path), help="The export's folder.")
@json_option
def export(folder: Path, name: str, out: Path, as_json: bool) -> None:
    """Write a mix in another trainer's format; held-out windows and tokenizer too.

    Where the bytes are the mix's, files are hard links to it: to change one is to change both. Run the same command
    again to go on after a kill.

    Example: gpts-data export mix --format nanogpt --out mix-nanogpt
    """
    from gpts_data.mixer.export.export import export as write
    from gpts_data.mixer.format.mix import open_mix

    with progress() as show:
        done = write(open_mix(folder), name, out, show)
    if as_json:
        print_json({**done.manifest, "linked": done.linked, "exported": done.created})
        return
    if not done.created:
        click.echo(f"{out} already holds this export; nothing to do")
    for file in done.manifest["files"]:
        note = "  (a link)" if file["file"] in done.linked else ""
        click.echo(f"{out / file['file']}  {file['bytes']:,} bytes{note}")
    held = done.manifest["validation_windows"]
    click.echo(f"{done.manifest['windows']:,} windows of {done.manifest['window']} ids to train on, {held:,} held out")
