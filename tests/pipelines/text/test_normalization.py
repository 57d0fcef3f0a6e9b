"""The table of letters against Python's strings and datatrove's simplify_text."""

from __future__ import annotations

import unicodedata

from datatrove.utils.text import PUNCTUATION, simplify_text

from gpts_data.pipelines.text.normalization import NOTHING, SEPARATOR, ZERO, normalization_table

TABLE = normalization_table().tolist()


def test_ascii_is_lower_case_letters_zeros_and_separators() -> None:
    for code_point in range(128):
        c = chr(code_point)
        expected = ord(c.lower()) if c.isalpha() else ZERO if c.isdigit() else SEPARATOR
        assert TABLE[code_point] == expected


def test_datatroves_punctuation_and_all_whitespace_separate() -> None:
    other = {c for c in PUNCTUATION if TABLE[ord(c)] != SEPARATOR}
    assert other == {"\uff11"}  # a fullwidth 1 in datatrove's list: a digit
    assert all(TABLE[i] == SEPARATOR for i in range(0x10000) if chr(i).isspace())


def test_case_and_accents_do_not_count() -> None:
    for one, other in [
        "\xc9e",
        "\xe9e",
        "\u0130i",
        "\u0391\u03b1",
        "\u0416\u0436",
        "\u03a3\u03c2",
        "\u0178y",
        "\uff21\uff41",
    ]:
        assert TABLE[ord(one)] == TABLE[ord(other)], (one, other)
    assert TABLE[0x301] == TABLE[0xAD] == TABLE[0x200D] == TABLE[0xFEFF] == NOTHING


def test_letters_are_what_datatrove_makes_of_them() -> None:
    """Letters and digits of Unicode 3.2 that datatrove makes one character of, in the scripts with case or accents."""
    seen = 0
    for code_point in (*range(0x3100), *range(0xFF00, 0xFFF0)):
        c = chr(code_point)
        simple = simplify_text(c)
        if (
            c != "\u03c2"
            and unicodedata.ucd_3_2_0.category(c)[0] in "LN"
            and unicodedata.category(c) != "No"
            and len(simple) == 1
            and c not in PUNCTUATION
        ):
            assert TABLE[code_point] == ord(simple), hex(code_point)
            seen += 1
    assert seen > 4000


def test_what_came_after_unicode_3_2_is_a_letter_as_it_is() -> None:
    assert TABLE[0x0221] == 0x0221
    assert TABLE[0x2E18] == 0x2E18  # an interrobang of Unicode 5.1
