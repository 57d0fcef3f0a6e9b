"""Write document tables (layout.DOCUMENTS) and their indexes."""

from __future__ import annotations

from typing import NotRequired, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gpts_data.mixer.format.content_digest import table_digest
from gpts_data.mixer.format.document_index import index_ids, index_name
from gpts_data.mixer.format.layout import DOCUMENTS
from gpts_data.pipelines.storage.atomic_files import ContentDigest, FileDigest, atomic_write, size_and_sha256, write_npy
from gpts_data.pipelines.storage.paths import AnyPath


class DocumentTable(TypedDict):
    """A document table that was written. When no document is in it there is no file, and only `documents` is given."""

    documents: int
    """Number of documents in the table."""
    start: NotRequired[int]
    """First token of the first document in the source's stream."""
    index: NotRequired[ContentDigest]
    """File of the hashes of the document ids."""
    bytes: NotRequired[int]
    sha256: NotRequired[str]
    content: NotRequired[str]
    """Digest of its values: content_digest.table_digest."""


def table_rows(documents: pa.RecordBatch, unit: str, start: int) -> pa.Table:
    """The rows of a document table for documents of one unit that follow each other in the stream.

    documents: with the columns id, url and tokens. start: first token of the first one in the source's stream.
    """
    table = pa.Table.from_batches([documents.select(["id", "url", "tokens"])])
    lengths = table.column("tokens").to_numpy()
    starts = start + np.cumsum(lengths, dtype=np.uint64) - lengths
    table = table.append_column("unit", pa.array([unit] * len(lengths), pa.string()))
    return table.append_column("start", pa.array(starts, pa.uint64())).select(DOCUMENTS.names)


def write_documents(path: AnyPath, tables: list[pa.Table]) -> DocumentTable:
    """Write a document table of these rows, and the index of its ids; without documents no file is written."""
    table = pa.concat_tables([DOCUMENTS.empty_table(), *tables])
    if table.num_rows == 0:
        return {"documents": 0}
    with atomic_write(path) as file:
        pq.write_table(table, file, compression="zstd", store_schema=False)
        digest = size_and_sha256(file)
    index = write_npy(path.with_name(index_name(path.name)), index_ids(table.column("id")))
    return {
        "documents": table.num_rows,
        "start": table.column("start")[0].as_py(),
        "index": index,
        **digest,
        "content": table_digest(table),
    }


def table_files(path: AnyPath, table: DocumentTable) -> dict[AnyPath, FileDigest]:
    """The files of a document table that `write_documents` wrote."""
    if table["documents"] == 0:
        return {}
    return {
        path: {"bytes": table["bytes"], "sha256": table["sha256"]},
        path.with_name(index_name(path.name)): table["index"],
    }
