"""The `export` command."""

from __future__ import annotations

from pathlib import Path

import click

from gpts_data.cli.options import Name, json_option, mix_argument, print_json
from gpts_data.cli.progress import progress
from gpts_data.cli.terminal import echo

FORMAT_NAMES = (
    "nanogpt",
    "llmc",
    "modded-nanogpt",
    "datatrove",
    "megatron",
    "parquet",
    "mds",
)  # keys of FORMATS, whose module is slow to import


@click.command()
@mix_argument
@click.option(
    "--format",
    "name",
    required=True,
    type=Name(FORMAT_NAMES),
    help="Format of nanoGPT, llm.c, modded-nanogpt, datatrove (nanotron), Megatron, Parquet (datasets) or MDS "
    "(MosaicML streaming).",
)
@click.option(
    "--out", required=True, metavar="PATH", type=click.Path(path_type=Path), help="Folder to write the export to."
)
@json_option
def export(folder: Path, name: str, out: Path, as_json: bool) -> None:
    """Write a mix in the format of another trainer, and print the command that trains on it.

    The export includes the validation set and the tokenizer. A file that is equal to one of the mix is a hard link to
    it: changing one changes both. If the export is interrupted, run the same command again to resume it.

    Example: gpts-data export mix --format nanogpt --out mix-nanogpt
    """
    from gpts_data.mixer.export.commands import command, missing_validation, unmasked_padding
    from gpts_data.mixer.export.export import export as export_mix
    from gpts_data.mixer.format.mix import open_mix

    mix = open_mix(folder)
    with progress() as show:
        exported = export_mix(mix, name, out, show)
    manifest = exported.manifest
    if as_json:
        print_json({**manifest, "linked": exported.linked, "exported": exported.created})
        return
    if not exported.created:
        echo(f"{out} already holds this export; nothing to do")
    for file in manifest["files"]:
        note = "  (hard link)" if file["file"] in exported.linked else ""
        echo(f"{out / file['file']}  {file['bytes']:,} bytes{note}")
    echo(
        f"{manifest['windows']:,} training windows of {manifest['window']} tokens, "
        f"{manifest['validation_windows']:,} validation windows"
    )
    if missing := missing_validation(manifest):
        echo(missing)
    if mix.is_packed:
        echo(unmasked_padding(mix.eos_id))
    echo(command(manifest, out))
