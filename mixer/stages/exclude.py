"""EXCLUDE: which prepared documents are in the lists of `[exclude]`.

Ids and URLs are in the unit files, so a new list reads no text again. The decision comes before DEDUP: an excluded
document is never the kept one of a duplicate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpts_data.mixer.recipe_exclude import KINDS, ExclusionList
from gpts_data.mixer.stages.unit_file import unit_batches
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.pipelines.text.hosts import canonical_url, parents, url_host, url_hosts

EXCLUDED_REASONS = ("excluded_id", "excluded_url", "excluded_domain")
"""Why a document is dropped, in the order of KINDS."""
NOT_EXCLUDED = len(KINDS)


class Exclusions(NamedTuple):
    """The documents of a unit that are in the lists."""

    kinds: NDArray[np.uint8]
    """For each document the first kind of list that has it, as its index in KINDS; NOT_EXCLUDED for none."""
    documents: tuple[int, ...]
    """Documents in each list."""


class Excluder:
    """Finds the documents that are in some lists.

    Memory: the lists, and one byte for each document of the units it was asked about.
    """

    def __init__(self, lists: Sequence[ExclusionList]) -> None:
        self._lists = [_Matcher(exclusion_list) for exclusion_list in lists]
        self._units: dict[AnyPath, Exclusions] = {}

    def unit(self, path: AnyPath) -> Exclusions | None:
        """The excluded documents of a unit file; None without lists. A later round does not read the unit again."""
        if not self._lists:
            return None
        if path not in self._units:
            parts = [self.find(batch.column("id"), batch.column("url")) for batch in unit_batches(path, ("id", "url"))]
            kinds = np.concatenate([np.empty(0, np.uint8), *(part.kinds for part in parts)])
            counts = [sum(part.documents[n] for part in parts) for n in range(len(self._lists))]
            self._units[path] = Exclusions(kinds, tuple(counts))
        return self._units[path]

    def find(self, ids: pa.Array, urls: pa.Array) -> Exclusions:
        """The excluded ones among documents with these ids and URLs (strings; a URL may be null)."""
        hosts = url_hosts(urls)
        kinds = np.full(len(ids), NOT_EXCLUDED, np.uint8)
        counts = []
        for matcher in self._lists:
            matches = matcher.matches(ids, urls, hosts)
            kinds[matches] = np.minimum(kinds[matches], matcher.kind)
            counts.append(int(matches.sum()))
        return Exclusions(kinds, tuple(counts))

    def without(self, rows: Iterable[tuple[int, dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
        """The sampled documents (draw, row with `id` and `url`) that are in no list."""
        documents = list(rows)
        if not self._lists:
            return documents
        columns = [pa.array([row[key] for _, row in documents], pa.string()) for key in ("id", "url")]
        kinds = self.find(*columns).kinds
        return [document for document, kind in zip(documents, kinds, strict=True) if kind == NOT_EXCLUDED]


class _Matcher:
    """One list, ready to compare with many documents."""

    def __init__(self, exclusion_list: ExclusionList) -> None:
        self.kind = KINDS.index(exclusion_list.kind)
        self._entries = frozenset(exclusion_list.entries)
        self._ids = pa.array(exclusion_list.entries, pa.string()) if self.kind == 0 else None
        self._hosts = {url_host(url) for url in exclusion_list.entries} if self.kind == 1 else set()

    def matches(self, ids: pa.Array, urls: pa.Array, hosts: pa.DictionaryArray) -> NDArray[np.bool_]:
        """Whether the list has each document: bool, shape (documents,). hosts: of the URLs."""
        if self._ids is not None:
            matches: NDArray[np.bool_] = pc.is_in(pc.utf8_trim_whitespace(ids), value_set=self._ids).to_numpy(
                zero_copy_only=False
            )
            return matches
        if KINDS[self.kind] == "domains":
            return self._by_host(hosts, [host is not None and self._has_domain(host) for host in _values(hosts)])
        matches = self._by_host(hosts, [host in self._hosts for host in _values(hosts)])
        if None in self._hosts:  # an entry that is no URL is compared as it is
            matches |= hosts.indices.is_null().to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(matches).tolist():
            url = urls[row].as_py()
            matches[row] = url is not None and canonical_url(url) in self._entries
        return matches

    def _has_domain(self, host: str) -> bool:
        return any(domain in self._entries for domain in parents(host))

    def _by_host(self, hosts: pa.DictionaryArray, is_match: Sequence[bool]) -> NDArray[np.bool_]:
        """Whether the host of each URL matches, from a verdict on each distinct one."""
        verdicts = np.array([*is_match, False])  # the last one is that of null
        indices: NDArray[np.int32] = pc.fill_null(hosts.indices, len(is_match)).to_numpy()
        matches: NDArray[np.bool_] = verdicts[indices]
        return matches


def _values(hosts: pa.DictionaryArray) -> list[str | None]:
    values: list[str | None] = hosts.dictionary.to_pylist()
    return values
