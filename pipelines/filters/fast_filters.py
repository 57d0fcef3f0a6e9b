"""Fast versions of datatrove's quality filters, with the same parameters, reasons and verdicts.

Each is a subclass of datatrove's filter and can take its place in a datatrove pipeline. It judges a batch of documents
at once (judges.py). Settings that the kernels do not implement, such as another language or a stop string of two
characters, go through datatrove's own code.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from datatrove.data import Document
from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter

from gpts_data.pipelines.filters.judges import FineWebJudge, GopherJudge, Judge, RepetitionJudge
from gpts_data.pipelines.words.word_arrays import split_words

BATCH_DOCUMENTS = 256


class FastFilter(Judge):
    """The base of the fast filters: datatrove's batch interface on top of a judge."""

    def __init__(self, *args: Any, **thresholds: Any) -> None:
        super().__init__(*args, **thresholds)
        self.batch_size = BATCH_DOCUMENTS

    def filter_batch(self, batch: list[Document]) -> list[bool | tuple[bool, str]]:
        """Judge a batch through datatrove's interface. Raises what datatrove raises for a text without words."""
        if not self.fast or any(not document.text or document.text.isspace() for document in batch):
            return [self.filter(document) for document in batch]  # type: ignore[attr-defined]
        texts = pa.array([document.text for document in batch], pa.large_string())
        return [(False, self.reasons[code - 1]) if code else True for code in self.judge(texts, split_words(texts))]


class FastGopherRepetition(FastFilter, RepetitionJudge, GopherRepetitionFilter):  # type: ignore[misc]
    pass


class FastGopherQuality(FastFilter, GopherJudge, GopherQualityFilter):  # type: ignore[misc]
    pass


class FastFineWebQuality(FastFilter, FineWebJudge, FineWebQualityFilter):  # type: ignore[misc]
    pass
