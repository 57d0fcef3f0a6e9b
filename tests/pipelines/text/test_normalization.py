"""The table of letters against Python's strings and datatrove's simplify_text."""

from __future__ import annotations

import unicodedata

from datatrove.utils.text import PUNCTUATION, TextNormConfig, simplify_text

from gpts_data.pipelines.text.normalization import ALONE, NOTHING, SEPARATOR, normalization_table

TABLE = normalization_table().tolist()


def test_ascii_is_lower_case_letters_digits_and_separators() -> None:
    for code_point in range(128):
        c = chr(code_point)
        expected = ord(c.lower()) if c.isalnum() else SEPARATOR
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
    """Letters of Unicode 3.2 that datatrove makes one character of, in the scripts with case or accents."""
    seen = 0
    for code_point in (*range(0x3100), *range(0xFF00, 0xFFF0)):
        c = chr(code_point)
        simple = simplify_text(c, TextNormConfig(norm_numbers=False))
        if c != "\u03c2" and unicodedata.ucd_3_2_0.category(c)[0] == "L" and len(simple) == 1 and c not in PUNCTUATION:
            assert TABLE[code_point] == ord(simple), hex(code_point)
            seen += 1
    assert seen > 4000


def test_digits_of_all_scripts_are_ascii_digits() -> None:
    for five in "5\u0665\u096b\u0e55\uff15":
        assert TABLE[ord(five)] == ord("5")


def test_what_came_after_unicode_3_2_is_a_letter_as_it_is() -> None:
    assert TABLE[0x0221] == 0x0221
    assert TABLE[0x2E18] == 0x2E18  # an interrobang of Unicode 5.1


def test_characters_of_scripts_without_spaces_are_marked_only_where_that_is_asked_for() -> None:
    split = normalization_table(split_unspaced=True).tolist()
    for letter in "\u4e2d\u3400\u3042\u30a2\u0e01\u0ea5\u1000\u1780":
        assert split[ord(letter)] == TABLE[ord(letter)] | int(ALONE)
    for other in "aZ9\xe9\u0416\ud55c\u3002\u0e49\u0e53 ":  # punctuation, a mark and a digit among them
        assert split[ord(other)] == TABLE[ord(other)] < ALONE
