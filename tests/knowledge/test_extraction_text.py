"""Plain text: encodings, and cleaning, whatever the text is."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_documents import read_one, text_of

from f.knowledge import markup
from f.knowledge.documents import ExtractionError, Limits
from f.knowledge.plain_text import decode

SPANISH = "Atención: el envío tarda 3 días; año nuevo, niño, você, não, coração."
TEXTS = st.text(max_size=200)
LINES = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=60)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
def test_spanish_in_any_encoding(encoding: str) -> None:
    assert text_of(SPANISH.encode(encoding), "text") == SPANISH


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Мы открыты с понедельника по пятницу с девяти до шести, доставка по городу бесплатно."),
        ("shift-jis", "営業時間は月曜日から金曜日までの九時から十八時までです。配送は無料です。"),
        ("big5", "我們的營業時間是星期一至星期五上午九時至下午六時，免費送貨。"),
    ],
)
def test_other_scripts_without_a_claim(encoding: str, text: str) -> None:
    found, warnings = decode(text.encode(encoding))
    assert found == text or encoding != "cp1251"
    assert warnings and "encoding" in warnings[0]
    assert decode(text.encode(encoding), encoding) == (text, [])


def test_markdown_stays_as_it_is() -> None:
    text = "# Title\r\n\r\n\r\n\r\n- a  \r\n- b\r\n\r\n| a | b |\r\n|---|---|"
    assert text_of(text.encode(), "markdown") == "# Title\n\n- a\n- b\n\n| a | b |\n|---|---|"


@pytest.mark.parametrize("data", [b" \n\t\n", "\u200b\ufeff".encode(), b"\xef\xbb\xbf"])
def test_a_file_without_text_is_refused(data: bytes) -> None:
    with pytest.raises(ExtractionError) as error:
        read_one(data, "text")
    assert error.value.code == "invalid"


def test_too_much_text_is_refused() -> None:
    with pytest.raises(ExtractionError) as error:
        read_one(b"word " * 100, "text", Limits(characters=100))
    assert error.value.code == "too_large"


@pytest.mark.parametrize(
    ("given_text", "cleaned"),
    [
        ("ofﬁce eﬀort", "office effort"),
        ("ﺔﻴﺑﺮﻌﻟﺍ", "ةيبرعلا"),
        ("co\u00adoperate", "cooperate"),
        ("a\u200bb\u202ec", "abc"),
        ("hi\U000e0049\U000e0067", "hi"),
        ("\uf0b7 item", "• item"),
        ("bell\x07", "bell"),
    ],
)
def test_clean(given_text: str, cleaned: str) -> None:
    assert markup.clean(given_text) == cleaned


@given(TEXTS)
def test_cleaning_is_done_once(text: str) -> None:
    once = markup.clean(text)
    assert markup.clean(once) == once
    assert unicodedata.is_normalized("NFKC", once)
    assert not re.search("[\u00ad\u200b\u202a-\u202e\ufeff\U000e0000-\U000e007f\x00]", once)


@given(TEXTS)
def test_tidy_text_has_one_kind_of_line_break(text: str) -> None:
    tidied = markup.tidy(text)
    assert "\r" not in tidied and "\n\n\n" not in tidied and not re.search(r"[ \t]\n", tidied)


@given(LINES, LINES)
def test_joining_lines_loses_no_letter(first: str, second: str) -> None:
    joined = markup.join_lines(first, second)
    hyphens = r"[-\u2010\u00ad\s]"
    assert re.sub(hyphens, "", joined) == re.sub(hyphens, "", first + second)


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("bicy-", "cles", "bicycles"),
        ("well-known state-of-", "the-art", "well-known state-of-the-art"),
        ("COVID-", "19 rules", "COVID-19 rules"),
        ("from 3 -", "5 days", "from 3 - 5 days"),
        ("営業", "時間", "営業時間"),
        ("one", "two", "one two"),
    ],
)
def test_joining_lines(first: str, second: str, joined: str) -> None:
    assert markup.join_lines(first, second) == joined


@given(st.lists(st.lists(LINES, min_size=1, max_size=4), min_size=1, max_size=5))
def test_every_row_of_a_table_has_as_many_cells(rows: list[list[str]]) -> None:
    lines = markup.table(rows).splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line.replace("\\\\", ""))) for line in lines}) <= 1


@pytest.mark.parametrize(
    ("text", "address", "written"),
    [
        ("our page", "https://example.com/a_(b)", "[our page](https://example.com/a_%28b%29)"),
        ("example.com", "https://example.com/", "example.com"),
        ("click", "javascript:alert(1)", "click"),
        ("click", "file:///etc/passwd", "click"),
        ("call us", "tel:+34954000000", "[call us](tel:+34954000000)"),
    ],
)
def test_links(text: str, address: str, written: str) -> None:
    assert markup.link(text, address) == written


@given(st.binary(max_size=300))
def test_any_bytes_are_decoded(data: bytes) -> None:
    text, _ = decode(data)
    assert isinstance(text, str)
