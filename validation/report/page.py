"""The report as one HTML file: no script from elsewhere, no font, no picture that is not in it.

Whatever comes from text is escaped; colours follow the reader's scheme; nothing is wider than a phone.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import numpy as np

from gpts_data.mixer.stages.dedup import OVER_BUDGET_REASON
from gpts_data.pipelines.dedup.signatures import REASONS as DUPLICATES
from gpts_data.validation.inspect import Window, inspect
from gpts_data.validation.report.charts import colour, lengths, losses, shares
from gpts_data.validation.report.collect import DocumentSpan, Report

SHORT = 1500  # characters of a text that are shown
UNUSED = 60
FATES = ("kept", "read beyond the budget", "repeats of others", "filtered out")

STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#1d2430, #dfe5ec); --paper: light-dark(#fff, #14181e);
  --soft: light-dark(#5d6878, #96a2b1); --line: light-dark(#dde3ea, #2c343e); --card: light-dark(#f6f8fa, #1b2129);
  --added: light-dark(#c9efd2, #1f4d2d); --lost: light-dark(#fad4d2, #5c2626); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: .5rem 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
p, li { max-width: 45rem; } .soft { color: var(--soft); } small { color: var(--soft); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } tr.total td { font-weight: 600; }
svg { width: 100%; height: auto; max-width: 42rem; display: block; }
.bar { display: flex; height: 1.4rem; border-radius: .3rem; overflow: hidden; margin: .15rem 0 .5rem;
  max-width: 46rem; }
.part { display: block; min-width: 6rem;
  background: linear-gradient(to left, color-mix(in srgb, var(--of) 40%, transparent) var(--share), transparent 0); }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .35em; }
details { border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .7rem; margin: .4rem 0; }
summary { cursor: pointer; } .text { white-space: pre-wrap; background: var(--card); padding: .6rem; margin: .4rem 0;
  border-radius: .3rem; font-size: .9rem; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: .6rem; } @media (max-width: 40rem) { .two {
  grid-template-columns: 1fr; } }
ins { background: var(--added); text-decoration: none; } del { background: var(--lost); text-decoration: none; }
.document { border-left: 4px solid var(--of); padding-left: .6rem; margin: .5rem 0; white-space: pre-wrap;
  font-size: .9rem; } .document:nth-child(even) { background: var(--card); }
@media (max-width: 40rem) { table { font-size: .74rem; width: 100%; } th, td { padding-right: .25rem; }
  th, td:first-child { white-space: normal; overflow-wrap: break-word; } .part { min-width: 3rem; } }
.text, .document { unicode-bidi: plaintext; } /* each paragraph runs as its own letters do */
code { font-size: .85em; background: var(--card); padding: .05em .3em; border-radius: .2em; white-space: pre-wrap; }
"""


def render_html(found: Report) -> str:
    """The whole file, the same for the same mix and run."""
    facts = inspect(found.mix)
    title = f"{facts['name']}: {facts['tokens']:,} tokens"
    shards = f"{facts['shards']:,} shard{'s' * (facts['shards'] > 1)}"
    sections = [
        f"<h1>{escape(title)}</h1><p class=soft>{facts['windows']:,} windows of {facts['window']} in "
        f"{shards}; vocabulary of {facts['tokenizer']['vocab_size']:,}.</p>",
        *_mix(found, facts), *_waterfall(facts), *_dropped(found), *_overlap(facts), *_contamination(facts),
        *_lengths(found), *_entries(found), *_training(found), *_windows(found), *_provenance(found, facts),
    ]  # fmt: skip
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{escape(title)}</title>"
    head += f"<style>{STYLE}</style>"
    return f"<!doctype html>\n<html lang=en><head>{head}</head>\n<body>{''.join(sections)}</body></html>\n"


def _mix(found: Report, facts: dict[str, Any]) -> Iterator[str]:
    yield "<h2>The mix</h2>"
    for what in ("wanted", "share"):
        parts = "".join(
            f"<span style='width:{source[what]:.4%};background:{colour(i)}'></span>"
            for i, source in enumerate(facts["sources"].values())
        )
        yield f"<small>{'wanted' if what == 'wanted' else 'got'}</small><div class=bar>{parts}</div>"
    rows = [
        (_dot(i) + escape(name), f"{source['wanted']:.2%}", f"{source['share']:.4%}", f"{source['windows']:,}",
         f"{source['documents']:,}", f"{source['epochs']:.2f}")
        for i, (name, source) in enumerate(facts["sources"].items())
    ]  # fmt: skip
    yield _table(("source", "wanted", "got", "windows", "documents", "passes"), rows)
    wanted = [source["wanted"] for source in facts["sources"].values()]
    yield "<p>At every prefix of the training order each source is within one window of its share:</p>"
    yield shares(found.positions, found.counts, wanted, list(facts["sources"]))


def _waterfall(facts: dict[str, Any]) -> Iterator[str]:
    falls = facts["waterfall"]
    reasons = list(dict.fromkeys(reason for fall in falls.values() for reason in fall["dropped"]))
    reasons.sort(key=lambda reason: -sum(fall["dropped"].get(reason, 0) for fall in falls.values()))
    yield "<h2>Every document that was read</h2>"
    yield f"<p>From the left: {', '.join(FATES)}.</p>"
    yield from (_fates(i, name, fall) for i, (name, fall) in enumerate(falls.items()))
    rows = [("read", *(f"{fall['read']:,}" for fall in falls.values()))]
    rows += [
        (
            f"&minus;&nbsp;{escape(reason).replace('_', '_<wbr>')}",
            *(_part(i, fall, reason) for i, fall in enumerate(falls.values())),
        )
        for reason in reasons
    ]
    rows.append(("= kept", *(f"{fall['kept']:,}" for fall in falls.values())))
    yield _table(("", *map(escape, falls)), rows, last=True)
    held = ", ".join(f"{escape(name)} {fall['validation']:,}" for name, fall in falls.items())
    yield f"<p class=soft>Of the kept, held out for validation and in no shard: {held}.</p>"
    lost = [fall["read"] - fall["kept"] - sum(fall["dropped"].values()) for fall in falls.values()]
    yield f"<p class=soft>Unexplained: {sum(lost)}.</p>"


def _fates(source: int, name: str, fall: dict[str, Any]) -> str:
    """A bar of all documents read, in the source's colour, paler for each fate."""
    rest = dict(fall["dropped"])
    beyond, repeated = rest.pop(OVER_BUDGET_REASON, 0), sum(rest.pop(reason, 0) for reason in DUPLICATES)
    counts = (fall["kept"], beyond, repeated, sum(rest.values()))
    parts = "".join(
        f"<span style='width:{n / max(fall['read'], 1):.4%};background:{colour(source)};opacity:{opacity}' "
        f"title='{n:,} {fate}'></span>"
        for fate, n, opacity in zip(FATES, counts, (1, 0.6, 0.35, 0.15), strict=True)
    )
    return f"<small>{escape(name)}: {fall['kept'] / max(fall['read'], 1):.0%} kept</small><div class=bar>{parts}</div>"


def _part(source: int, fall: dict[str, Any], reason: str) -> str:
    """How many documents of a source a reason dropped, over a bar of their share of those read."""
    n = fall["dropped"].get(reason, 0)
    share = n / max(fall["read"], 1)
    return f"<span class=part style='--of:{colour(source)};--share:{share:.2%}'>{n:,}</span>"


def _dropped(found: Report) -> Iterator[str]:
    """Of each source and reason the documents that were kept for show; a duplicate beside what it repeats."""
    if not any(found.dropped.values()):
        if not found.mix.manifest["recipe"]["keep_dropped"]:
            yield "<p class=soft>Build with --keep-dropped 3 to see some of the dropped documents here.</p>"
        return
    yield "<h2>Some of those that were dropped</h2>"
    for i, (name, rows) in enumerate(found.dropped.items()):
        yield f"<details><summary>{_dot(i)}{escape(name)} <small>{len(rows):,} shown</small></summary>"
        for reason in dict.fromkeys(row["reason"] for row in rows):
            mine = [row for row in rows if row["reason"] == reason]
            yield f"<details><summary>{escape(reason)} <small>{len(mine)} shown</small></summary>"
            yield from (_one_dropped(row) for row in mine)
            yield "</details>"
        yield "</details>"


def _one_dropped(row: dict[str, Any]) -> str:
    head = f"<p><small>{escape(str(row['id']))} {escape(str(row['url'] or ''))}</small></p>"
    if "kept" not in row:
        return f"{head}<div class=text>{escape(_cut(row['text']))}</div>"
    kept = row["kept"]
    left, right = _marked(_cut(row["text"]), _cut(kept["text"]))
    return (
        f"{head}<div class=two><div class=text><small>dropped</small>\n{left}</div>"
        f"<div class=text><small>kept, in {escape(kept['source'])}: {escape(str(kept['id']))}</small>\n{right}</div>"
        "</div>"
    )


def _marked(one: str, other: str) -> tuple[str, str]:
    """Both texts with the words that differ marked."""
    a, b = (re.findall(r"\s+|[^\s]+", text) for text in (one, other))
    left, right = [], []
    for kind, i, j, k, m in difflib.SequenceMatcher(a=a, b=b, autojunk=False).get_opcodes():
        was, now = escape("".join(a[i:j])), escape("".join(b[k:m]))
        left.append(was if kind == "equal" or not was else f"<del>{was}</del>")
        right.append(now if kind == "equal" or not now else f"<ins>{now}</ins>")
    return "".join(left), "".join(right)


def _overlap(facts: dict[str, Any]) -> Iterator[str]:
    names = list(facts["sources"])
    yield "<h2>Duplicates between sources</h2><p>Documents of the row's source that were already in the column's:</p>"
    yield _table(("", *map(escape, names)), [
        (escape(name), *(f"{facts['overlap'][name][other]:,}" for other in names)) for name in names
    ])  # fmt: skip


def _contamination(facts: dict[str, Any]) -> Iterator[str]:
    if "decontamination" not in facts:
        return
    names, found = list(facts["sources"]), facts["decontamination"]
    yield "<h2>Questions of benchmarks</h2><p>Documents that hold one, and were dropped for it:</p>"
    yield _table(("benchmark", "items", "searched", *map(escape, names)), [
        (escape(name), f"{one['items']:,}", f"{one['searched']:,}", *(f"{one['contaminated'][n]:,}" for n in names))
        for name, one in found["benchmarks"].items()
    ])  # fmt: skip
    for one in found["documents"]:
        yield f"<p><small>{escape(one['document'])}: {escape(one['benchmark'])} {escape(one['item'])}</small> "
        yield f"{escape(one['ngram'])}</p>"


def _lengths(found: Report) -> Iterator[str]:
    names = list(found.mix.sources)
    yield "<h2>Lengths</h2>"
    yield lengths(found.lengths, names)
    yield _table(("source", "documents", "median tokens", "mean", "longest", "bytes per token"), [
        (_dot(i) + escape(name), f"{len(n):,}", *([f"{int(np.median(n)):,}", f"{n.mean():,.0f}", f"{n.max():,}"]
         if len(n) else ["", "", ""]), f"{found.bytes_per_token[i]:.3f}")
        for i, (name, n) in enumerate(zip(names, found.lengths, strict=True))
    ])  # fmt: skip


def _entries(found: Report) -> Iterator[str]:
    yield f"<h2>Entries</h2><p>In a sample of {found.sampled:,} tokens the most frequent are:</p><p>"
    yield " ".join(f"<code>{escape(text)}</code>&nbsp;{n / found.sampled:.2%}" for text, n in found.entries)
    yield f"</p><p>{len(found.unused):,} never occur in it"
    if found.unused:
        yield ": " + " ".join(f"<code>{escape(text)}</code>" for text in found.unused[:UNUSED])
    yield f"{' ...' if len(found.unused) > UNUSED else '.'}</p>"


def _training(found: Report) -> Iterator[str]:
    if found.run is None:
        return
    lines, result = found.run
    yield f"<h2>A model of it</h2><p>{result['parameters']:,} parameters, {result['steps']:,} updates, loss "
    yield f"{result['first_loss']:.3f} to {result['last_loss']:.3f}; a model without context reaches "
    yield f"{result['unigram_entropy']:.3f}.</p>{losses(lines, result['unigram_entropy'])}"
    bits = result["validation_bits_per_byte"]
    yield _table(("bits per byte, held out", ""), [
        (escape(name), "" if bits.get(name) is None else f"{bits[name]:.3f}") for name in found.mix.sources
    ])  # fmt: skip


def _windows(found: Report) -> Iterator[str]:
    yield "<h2>Windows</h2><p>From the whole training order, one of each twelfth; a bar for each document.</p>"
    for n, (window, parts) in enumerate(found.windows):
        yield _one_window(found, window, parts, " open" * (n == 0))


def _one_window(found: Report, window: Window, parts: Sequence[DocumentSpan], state: str) -> str:
    source = found.mix.sources.index(window.source)
    body = "".join(
        f"<div class=document style='--of:{colour(source)}'><small>{escape(part.document_id)} "
        f"{escape(part.url or '')}</small>\n{escape(part.text)}"
        f"{'<small> &#9632; end of document</small>' if part.ended else ''}</div>"
        for part in parts
    )
    return (
        f"<details{state}><summary>{_dot(source)}{escape(window.source)} <small>window {window.position:,}, "
        f"{escape(window.shard)} row {window.row:,}</small></summary>{body}</details>"
    )


def _provenance(found: Report, facts: dict[str, Any]) -> Iterator[str]:
    manifest = found.mix.manifest
    yield "<h2>Provenance</h2>"
    licenses = {source["name"]: ", ".join(source["license"]) for source in manifest["recipe"]["source"]}
    yield _table(("source", "revision", "files", "licence"), [
        (escape(name), escape(str(source["revision"] or "files of one's own")), f"{len(source['files']):,}",
         escape(licenses[name] or "not named"))
        for name, source in ((name, manifest["sources"][name]) for name in found.mix.sources)
    ])  # fmt: skip
    libraries = ", ".join(f"{name} {version}" for name, version in manifest["environment"]["libraries"].items())
    for what, value in (
        ("root digest", facts["root_digest"]), ("build", manifest["build_id"]),
        ("tokenizer", facts["tokenizer"]["digest"]), ("made with", libraries),
    ):  # fmt: skip
        yield f"<p><small>{what} <code>{escape(value)}</code></small></p>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], last: bool = False) -> str:
    """Cells are HTML already."""
    body = "".join(
        f"<tr{' class=total' if last and i == len(rows) - 1 else ''}>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
        for i, row in enumerate(rows)
    )
    return f"<div class=wide><table><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>{body}</table></div>"


def _dot(source: int) -> str:
    return f"<span class=dot style='background:{colour(source)}'></span>"


def _cut(text: str) -> str:
    return text if len(text) <= SHORT else text[:SHORT] + " [...]"
