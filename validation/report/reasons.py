"""Why documents were dropped: one sentence for each reason, with the threshold that the recipe has for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.outcomes import CONTAMINATED
from gpts_data.mixer.stages.dedup import OVER_BUDGET_REASON
from gpts_data.pipelines.filters.cleaner import TOO_LONG, TOO_SHORT
from gpts_data.pipelines.filters.measure import filter_of, thresholds_of
from gpts_data.pipelines.readers.damage import DAMAGE
from gpts_data.validation.explain.reread import cleaning, recipe_source, score_limit

# {} stands for the threshold, {%} for the threshold as a percentage, {/} for the words per symbol.
_RULES = {
    "gopher_short_doc": ("has fewer than {} words", "min_doc_words"),
    "gopher_long_doc": ("has more than {} words", "max_doc_words"),
    "gopher_below_avg_threshold": ("its words have fewer than {} letters on average", "min_avg_word_length"),
    "gopher_above_avg_threshold": ("its words have more than {} letters on average", "max_avg_word_length"),
    "gopher_too_many_hashes": ("has more than one # per {/} words", "max_symbol_word_ratio"),
    "gopher_too_many_ellipsis": ("has more than one ellipsis per {/} words", "max_symbol_word_ratio"),
    "gopher_too_many_bullets": ("more than {%} of its lines begin with a bullet", "max_bullet_lines_ratio"),
    "gopher_too_many_end_ellipsis": ("more than {%} of its lines end with an ellipsis", "max_ellipsis_lines_ratio"),
    "gopher_below_alpha_threshold": ("fewer than {%} of its words have a letter", "max_non_alpha_words_ratio"),
    "gopher_enough_stop_words": ("has fewer than {} of the most common English words", "min_stop_words"),
    "dup_line_frac": ("more than {%} of its lines are repeats", "dup_line_frac"),
    "dup_para_frac": ("more than {%} of its paragraphs are repeats", "dup_para_frac"),
    "dup_line_char_frac": ("more than {%} of its characters are in repeated lines", "dup_line_char_frac"),
    "dup_para_char_frac": ("more than {%} of its characters are in repeated paragraphs", "dup_para_char_frac"),
    "line_punct_ratio": ("fewer than {%} of its lines end with sentence punctuation", "line_punct_thr"),
    "short_line_ratio": ("more than {%} of its lines have {short} characters or fewer", "short_line_thr"),
    "char_dup_ratio": ("more than {%} of its characters are in repeated lines", "char_duplicates_ratio"),
    "list_ratio": ("has more than {} line breaks per word", "new_line_ratio"),
    "too_few_sentences": ("has fewer than {} sentences", "min_num_sentences"),
}
_OTHERS = {
    "lorem_ipsum": "contains \u201clorem ipsum\u201d",
    "curly_bracket": "contains a curly bracket",
    "empty_text": "is nothing but white space",
    "empty": "is nothing but white space",
    "null_text": "has no text",
    "nul_character": "contains a NUL character",
    "oversized_document": "is larger than max_document_bytes",
    "exact_duplicate": "has the text of an earlier document in the mix",
    "id_duplicate": "has the id of an earlier document in the mix",
    "url_duplicate": "has the URL of an earlier document in the mix",
    "excluded_id": "its id is in a list of [exclude]",
    "excluded_url": "its URL is in a list of [exclude]",
    "excluded_domain": "its domain is in a list of [exclude]",
    OVER_BUDGET_REASON: "its source already had its tokens; nothing is wrong with it",
}


def describe_reason(mix: Mix, reason: str) -> str:
    """One sentence on the documents that were dropped for a reason.

    Sources with thresholds of their own are named with them.
    """
    sources: dict[str, list[str]] = {}
    for name in mix.sources:
        if reason in mix.manifest["waterfall"][name]["dropped"]:
            sources.setdefault(_of_source(mix, name, reason), []).append(name)
    if len(sources) < 2:
        return "".join(sources) or reason.replace("_", " ")
    return "; ".join(f"{', '.join(names)}: {sentence}" for sentence, names in sources.items())


def _of_source(mix: Mix, name: str, reason: str) -> str:
    recipe = mix.manifest["recipe"]
    if reason in _OTHERS:
        return _OTHERS[reason]
    if reason in DAMAGE:
        return f"damaged: {DAMAGE[reason]}"
    if reason == "near_duplicate":
        minhash: dict[str, Any] = recipe["dedup"].get("minhash") or {}
        if not minhash.get("jaccard"):
            return "shares a MinHash band with an earlier document in the mix"
        similarity = f"a Jaccard similarity of at least {minhash['jaccard']:g}"
        return f"its {minhash['ngrams']}-grams have {similarity} with those of an earlier document in the mix"
    if reason == CONTAMINATED:
        table: Mapping[str, Any] = recipe.get("decontaminate") or {"ngram": 13}
        return f"contains {table['ngram']} consecutive words of a benchmark, or a whole shorter item"
    clean = cleaning(mix, name)
    if reason in (TOO_SHORT, TOO_LONG):
        short = reason == TOO_SHORT
        limit = clean.min_characters if short else clean.max_characters
        return f"has {'fewer' if short else 'more'} than {limit:,} characters"
    if bound := score_limit(recipe_source(mix, name), reason):
        return f"its {bound[0]} is {'below' if bound[2] else 'not below'} {bound[1]:g}"
    if reason.endswith("_not_a_number"):
        return f"its {reason.removesuffix('_not_a_number')} is not a number"
    return _rule(reason, thresholds_of(filter_of(reason), clean) if filter_of(reason) else {})


def _rule(reason: str, thresholds: dict[str, Any]) -> str:
    if match := re.fullmatch(r"(top|duplicated)_(\d+)_(?:gram|n_grams)", reason):
        n = int(match[2])
        limit = dict(thresholds["top_n_grams" if match[1] == "top" else "dup_n_grams"])[n]
        what = f"its most frequent {n}-gram holds" if match[1] == "top" else f"repeated {n}-grams hold"
        return f"{what} more than {limit:.0%} of its characters"
    if reason not in _RULES:
        return reason.replace("_", " ")
    sentence, key = _RULES[reason]
    value = float(thresholds[key])
    places = {
        "{}": f"{value:,.6g}",
        "{%}": f"{100 * value:.3g}%",
        "{/}": f"{1 / value:.3g}" if value else "any number of",
        "{short}": str(thresholds.get("short_line_length")),
    }
    return re.sub(r"\{.*?\}", lambda match: places[match[0]], sentence)
