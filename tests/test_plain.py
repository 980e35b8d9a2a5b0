"""Untrusted text is shown, not obeyed."""

import pytest

from timesformer.plain import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("\x9b31mred", r"\x9b31mred"),
        ("a\r\nb\tc\x00\x7f", r"a\r\nb\tc\x00\x7f"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\u2066x\u2069\u200f", r"\u2066x\u2069\u200f"),
        ("line\u2028break", r"line\u2028break"),
        ("\ufeffname", r"\ufeffname"),
        (b"caf\xe9.mp4".decode("utf-8", "surrogateescape"), r"caf\xe9.mp4"),
        ("\ud83d", r"\ud83d"),
    ],
)
def test_what_cannot_be_seen_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).encode("utf-8")


@pytest.mark.parametrize(
    "text",
    ["plain name.mp4", "Gähnen", "跑步", "הליכה", "می\u200cخواهم", "👩\u200d🔬", "[bold]", "a\\b", "<script>", ""],
)
def test_ordinary_text_of_all_scripts_stays(text: str) -> None:
    assert printable(text) == text
