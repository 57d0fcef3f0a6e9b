"""A draft of the public summary of training content that the AI Act of the EU asks for, in Markdown.

Article 53(1)(d) of Regulation (EU) 2024/1689, in the order of the template that the Commission published in July 2025:
general information, list of data sources, aspects of data processing. What the mix does not know is left for a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from gpts_data.mixer.format.dataset_card import markdown
from gpts_data.mixer.format.find_document import table_entries
from gpts_data.mixer.format.manifest_types import RecipeSourceEntry
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.mix_encoder import open_encoder
from gpts_data.pipelines.text.hosts import url_hosts
from gpts_data.validation.report.collect import all_id_bytes, bytes_per_token

MAX_DOMAINS = 1000  # that are listed: as many as the template asks of a small or medium-sized enterprise at most
MERGED = 1_000_000  # rows of counts by domain that are held before they are added up: about 50 MB
TODO = "**To be added by a person:**"
_RANGES = ((10**9, "less than 1 billion tokens"), (10**13, "1 billion to 10 trillion tokens"))
_SNAPSHOT = re.compile(r"CC-MAIN-\d{4}-\d{2}")


def training_summary(mix: Mix) -> str:
    """The draft for a mix. Memory: the counts of its distinct domains, and one document table."""
    return "\n".join(chain(_general(mix), _sources(mix), _domains(mix), _other_sources(), _processing(mix))) + "\n"


def count_domains(mix: Mix) -> pa.Table:
    """Documents and tokens of each host in the URLs of the training documents: columns host, documents, tokens.

    The host with the most tokens is first. `www.` is left out; other subdomains count apart.
    """
    total, parts, rows = _NO_DOMAINS.empty_table(), [], 0
    for entry in (entry for name in mix.sources for entry in table_entries(mix, name, held_out=False)):
        table = mix.table(entry, ["url", "tokens"])
        for batch in table.combine_chunks().to_batches():
            parts.append(_count(batch))
            rows += parts[-1].num_rows
        if rows > MERGED:
            total, parts, rows = _add_up([total, *parts]), [], 0
    total = _add_up([total, *parts])
    return total.sort_by([("tokens", "descending"), ("host", "ascending")])


_NO_DOMAINS = pa.schema([("host", pa.string()), ("documents", pa.int64()), ("tokens", pa.int64())])


def _count(batch: pa.RecordBatch) -> pa.Table:
    hosts = url_hosts(batch.column("url")).dictionary_decode()
    hosts = pc.replace_substring_regex(hosts, r"^www\.", "")
    ones = pa.repeat(pa.scalar(1, pa.int64()), batch.num_rows)
    table = pa.table([hosts, ones, batch.column("tokens").cast(pa.int64())], schema=_NO_DOMAINS)
    return _add_up([table.filter(pc.is_valid(hosts))])


def _add_up(tables: list[pa.Table]) -> pa.Table:
    sums = pa.concat_tables(tables).group_by("host").aggregate([("documents", "sum"), ("tokens", "sum")])
    return sums.rename_columns({"documents_sum": "documents", "tokens_sum": "tokens"}).select(_NO_DOMAINS.names)


def _general(mix: Mix) -> Iterator[str]:
    tokens = sum(mix.manifest["sources"][name]["pass_windows"] for name in mix.sources) * mix.window
    size = next((name for limit, name in _RANGES if tokens < limit), "more than 10 trillion tokens")
    yield "# Public summary of training content: draft"
    yield ""
    yield (
        "**This is a draft.** gpts-data wrote it from the mix "
        f"`{markdown(mix.manifest['recipe']['name'])}` (root digest `{mix.manifest['root_digest']}`). It follows the "
        "template of the European Commission for Article 53(1)(d) of the AI Act (Regulation (EU) 2024/1689), covers "
        "this pretraining data only, and is no legal advice. A person must check every statement and fill in what "
        f"begins with {TODO}"
    )
    yield "\n## 1. General information\n\n### 1.1 Provider\n"
    yield f"{TODO} name and contact of the provider, and of an authorised representative in the Union.\n"
    yield "### 1.2 Model\n"
    yield f"{TODO} names and versions of the models, models that they are based on, date of placing on the market.\n"
    yield "### 1.3 Modalities and size\n"
    yield f"- Modality: text. Size: {size}."
    yield f"- Distinct training tokens: {tokens:,}; with repeated epochs {mix.tokens:,}."
    yield f"- {TODO} types of content, languages, latest date at which data was acquired, other characteristics."


def _sources(mix: Mix) -> Iterator[str]:
    yield "\n## 2. Data sources\n\nAll sources of the mix. Bytes of text are estimated from a sample.\n"
    yield "| source | origin | revision | license | documents | tokens | share | bytes of text | dates |"
    yield "|---|---|---|---|---:|---:|---:|---:|---|"
    lengths = all_id_bytes(mix, open_encoder(mix))
    recipe = mix.manifest["recipe"]
    for number, source in enumerate(recipe["source"]):
        entry = mix.manifest["sources"][source["name"]]
        tokens = entry["pass_windows"] * mix.window
        n_bytes = round(tokens * bytes_per_token(mix, number, lengths, recipe["seed"]))
        origin, revision = markdown(source["dataset"] or "local files"), markdown(entry["revision"] or "-")
        yield (
            f"| {source['name']} | {origin} | {revision} | {_license(source)} | {entry['documents']:,} | {tokens:,} "
            f"| {entry['share']:.2%} | {n_bytes:,} | {_dates(mix, source['name'])} |"
        )
    public = [source for source in recipe["source"] if source["dataset"]]
    local = [source for source in recipe["source"] if not source["dataset"]]
    yield "\n### 2.1 Publicly available datasets\n"
    for source in public:
        name = markdown(source["dataset"] or "")
        yield f"- {name}: https://huggingface.co/datasets/{name} ({source['name']})"
    yield "" if public else "None of the sources is a dataset of the Hugging Face hub.\n"
    yield f"{TODO} whether each is public, its date, and a description; other public datasets among the local files.\n"
    if local:
        names = ", ".join(source["name"] for source in local)
        yield f"{TODO} the section from 2.1 to 2.6 that each source of local files belongs to: {names}.\n"
    yield "### 2.2 Private datasets of third parties\n"
    yield f"{TODO} data licensed from rightsholders, and other private datasets; or that there are none.\n"


def _domains(mix: Mix) -> Iterator[str]:
    counts = count_domains(mix)
    tenth, twentieth = -(-counts.num_rows // 10), min(-(-counts.num_rows // 20), MAX_DOMAINS)
    yield "### 2.3 Data crawled and scraped from online sources\n"
    yield f"{TODO} names of own crawlers, their purpose and behaviour, the period, and the kinds of sites; or none.\n"
    if not counts.num_rows:
        yield "No source of the mix has URLs, so its domains are not known."
        return
    shown = min(max(tenth, 1), MAX_DOMAINS)
    with_url, all_documents = pc.sum(counts["documents"]).as_py(), sum(_documents(mix))
    yield (
        f"{with_url:,} of {all_documents:,} training documents have a URL; they come from {counts.num_rows:,} domains "
        "(hosts without `www.`; subdomains count apart). The template asks for the top 10% by size of content "
        f"({tenth:,}), of small and medium-sized enterprises for the top 5% or {MAX_DOMAINS:,}, whichever is less "
        f"({twentieth:,}). The {shown:,} with the most tokens, among datasets of others too:\n"
    )
    yield "| domain | documents | tokens |\n|---|---:|---:|"
    for row in counts.slice(0, shown).to_pylist():
        yield f"| {markdown(row['host'])} | {row['documents']:,} | {row['tokens']:,} |"
    if tenth > shown:
        yield f"\n{TODO} the other {tenth - shown:,} domains of the top 10%, unless the provider is small."


def _documents(mix: Mix) -> list[int]:
    return [mix.manifest["sources"][name]["documents"] for name in mix.sources]


def _other_sources() -> Iterator[str]:
    yield "\n### 2.4 User data\n"
    yield f"{TODO} data from users of the provider's services or products; or none.\n"
    yield "### 2.5 Synthetic data\n"
    yield f"{TODO} which of the sources were written by models, and by which.\n"
    yield "### 2.6 Other sources\n"
    yield f"{TODO} other sources; or none."


def _processing(mix: Mix) -> Iterator[str]:
    yield "\n## 3. Data processing\n\n### 3.1 Reservation of rights (text and data mining)\n"
    lists = mix.manifest.get("exclusions", [])
    for entry in lists:
        in_list = f"{entry['documents']:,} documents of the texts that were read are in it"
        yield f"- List of {entry['kind']} to exclude, {entry['entries']:,} entries: {in_list}; none is in the mix."
    yield "" if lists else "The recipe has no list of documents to exclude.\n"
    yield f"{TODO} how opt-outs (Article 4(3) of Directive (EU) 2019/790) were found and respected, by whom.\n"
    yield "### 3.2 Removal of illegal content\n"
    yield f"{TODO} measures against illegal content. The filters below are of quality and know nothing of the law.\n"
    yield "### 3.3 Other processing\n"
    yield "Documents that were read and dropped, by reason:\n"
    yield "| source | read | kept | dropped |\n|---|---:|---:|---|"
    for name in mix.sources:
        fall = mix.manifest["waterfall"][name]
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in fall["dropped"].items())
        yield f"| {name} | {fall['read']:,} | {fall['kept']:,} | {reasons or '-'} |"


def _license(source: RecipeSourceEntry) -> str:
    return ", ".join(source["license"]) or "unknown"


def _dates(mix: Mix, source: str) -> str:
    """The first and the last crawl of Common Crawl that the names of a source's files tell, as year and week."""
    names = (file["name"] for file in mix.manifest["sources"][source]["files"])
    crawls = sorted({crawl for name in names for crawl in _SNAPSHOT.findall(name)})
    return f"{crawls[0]} to {crawls[-1]}" if crawls else "unknown"
