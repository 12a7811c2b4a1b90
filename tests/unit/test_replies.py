import pytest
from hypothesis import given
from hypothesis import strategies as st

from f.whatsapp.replies import split_reply, to_markup


@given(st.text(max_size=400), st.integers(10, 80))
def test_parts_fit_and_nothing_but_space_is_lost(text, limit):
    parts = split_reply(text, limit)
    assert all(0 < len(part) <= limit and part.strip() for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_a_part_ends_at_a_paragraph_or_sentence():
    assert split_reply("One two.\n\nThree and four.", 16) == ["One two.", "Three and four."]
    assert split_reply("First sentence. Second one.", 20) == ["First sentence.", "Second one."]
    assert split_reply("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert split_reply("  ") == []


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("**Open** until 5", "*Open* until 5"),
        ("## Prices\n- a", "*Prices*\n- a"),
        ("~~10~~ 8", "~10~ 8"),
        ("see [our page](https://example.org/a)", "see our page (https://example.org/a)"),
        ("[https://example.org](https://example.org)", "https://example.org"),
        ("2 ** 3 ** 4", "2 ** 3 ** 4"),
        ("*already* _fine_", "*already* _fine_"),
    ],
)
def test_markdown_becomes_whatsapps_markup(markdown, shown):
    assert to_markup(markdown) == shown
