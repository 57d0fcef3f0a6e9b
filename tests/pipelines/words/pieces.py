"""Texts made of what spaCy's rules for English words care about."""

from __future__ import annotations

from hypothesis import strategies as st

AFFIXES = [*"([{\"'“‘”’*_#$<&,;:!?)]}.…—–%>=", ""]
SPACES = [*" \n\t\v\f\x1c\x1f\x85\xa0\u1680\u2009\u2028\u3000", "  ", "\r\n"]
CHUNKS = [
    "The", "end.", "don't", "can't've", "they’re", "cannot", "gonna", "U.S.A.", "e.g.", "10a.m.",
    "Dr.", "co-operate", "https://example.org/a?b=c#d", "me@example.org", "$1,000.00", "50%",
    "3.14", "“quoted”", "(see", "below).", "and/or", "naïve", "漢字かな交じり文", "Привет,", "🙂🙂",
    "👩\u200d👩\u200d👧", "é", "\u200b", "\ufeff", "---", "...", "…", "#tag", "a\u00adb", "'em", "x=y",
    "\x01", "a\x01", "a\x7f", "wo" * 40, "a-" * 20 + "b", "x" * 63, "x" * 64 + ".", "é" * 40 + "/b",
]  # fmt: skip
CORES = [
    "ox", "2005-11-17", "D", "o", "XD", "Mr", "He", "it", "am", "8", "10",
    "1,000", "3.5", "Ill", "cannot", "s", "US", "km", "H2O", "5km", "1990s", "SOX2abcde",
]  # fmt: skip
PROSE = st.lists(st.sampled_from(CHUNKS) | st.sampled_from(SPACES), max_size=30).map("".join)
ANY = st.text(st.characters(codec="utf-8"), max_size=40)
AFFIX = st.sampled_from([*AFFIXES, "", "", "/", "+", "-", "~", "@"])
CORE = st.lists(st.sampled_from(CORES), min_size=1, max_size=4).flatmap(
    lambda cores: st.sampled_from(["-", "--", "---", "–", "—"]).map(lambda hyphen: hyphen.join(cores))
)
ENDS = st.sampled_from(["", "", "'s", "’s", "'S"])
SHAPE = st.tuples(AFFIX, AFFIX, CORE, ENDS, AFFIX, AFFIX, AFFIX).map("".join)
PIECES = [
    *CORES, *AFFIXES, "..", "...", "……", "—", "——", "--", "---", "~", "+", "-", "*", "^", "/", "<", "§", "¬", "|", "`",
    "@", "s", "'s", "'S", "’s", "°", "°C", "K", "F", "km", "m/s", "km²", "µg", "кг", "€", "£", "US$", "C$", "A$", "S$",
    "₿", "0", "1", "23", "٣", "²", "a", "B", "é", "É", "ß", "я", "Я", "ω", "中", "あ", "가", "ª", "º", "©", "☃", "🙂",
    "\u0301", "http://", "https://", "é://", "a+b://", "www.", "org", "example.org", "a_b.co.uk", ".com", ":8080",
    ":123456", "?q=1", "#x", "me@", "10.0.0.1", "93.184.216.34", "x.Y", "1.5.2", "8.8.8.8٣/a-b",
    "1٣.1.2.4",
]  # fmt: skip
PEELED = st.lists(st.sampled_from(PIECES), min_size=1, max_size=7).map("".join)
