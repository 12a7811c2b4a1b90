"""Addresses, pages and rules of web sites, as a crawl reads them: without a network."""

import time

import pytest

from f.knowledge import visits
from f.knowledge.charsets import codec
from f.knowledge.fetching import FetchError, Page
from f.knowledge.robots import Robots
from f.knowledge.sites import Site, decoded, is_alike, kind_of, read_markup, read_sitemap, shape
from f.knowledge.visits import read_sitemaps

SITE = Site("https://shop.example/es/")


@pytest.mark.parametrize(
    ("link", "address"),
    [
        ("precios?b=1&utm_source=x&c", "https://shop.example/es/precios?b=1&c"),
        ("//www.shop.example/ñ#top", "https://www.shop.example/%C3%B1"),
        ("http://SHOP.example:80/x", "https://shop.example/x"),
        ("/a;jsessionid=A1?q=a b&amp;z=%C3%B1", "https://shop.example/a?q=a%20b&z=%C3%B1"),
        ("../../y/./z", "https://shop.example/y/z"),
        ("https://other.example/", None),
        ("https://shop.example.other.example/", None),
        ("https://shop.example:8443/", None),
        ("https://shop.example@other.example/", None),
        ("https://user@shop.example/", None),
        ("https://shop.example:99999/", None),
        ("http://[::1", None),
        ("http://169.254.169.254/latest/meta-data/", None),
        ("javascript:alert(1)", None),
        ("mailto:a@shop.example", None),
        ("/photo.JPG", None),
        ("/a/b/a/b/a/b", None),
        ("/" + "x/" * 20, None),
        ("/" + "x" * 500, None),
        ("/?" + "&".join(f"p{n}=1" for n in range(9)), None),
    ],
)
def test_one_spelling_or_none(link: str, address: str | None):
    assert SITE.address(link) == address


def test_shapes_are_what_numbers_and_parameters_leave():
    assert shape("https://shop.example/calendar/2026/11?day=3") == "/calendar/#/#?day"
    assert shape("https://shop.example/prices") == "/prices"


@pytest.mark.parametrize(
    ("content_type", "url", "kind"),
    [
        ("text/html; charset=x", "/", "html"),
        ("application/xhtml+xml", "/", "html"),
        ("application/pdf", "/", "pdf"),
        ("application/octet-stream", "/a.pdf", "pdf"),
        ("", "/a.docx", "docx"),
        ("", "/", None),
        ("text/plain", "/a.html", None),
        ("image/png", "/a.pdf", None),
    ],
)
def test_what_becomes_knowledge(content_type: str, url: str, kind: str | None):
    assert kind_of(content_type, f"https://shop.example{url}") == kind


def test_what_a_page_says():
    markup = read_markup(
        b"""<title>Precios &amp; m\xc3\xa1s</title><base href="/d/"><link rel="alternate canonical" href='/x'>
        <meta name="Robots" content="noindex, follow"><script><a href="no"></script><!-- <a href="hidden"> -->
        <a class=k href=e>k</a><a rel="nofollow" href=f>k</a><a href="mailto:x">k</a><A HREF='/g?x=1&amp;y=2'>k</A>
        <meta http-equiv=refresh content="0;url=http://127.0.0.1/"><meta http-equiv=refresh content="0;url=/next">
        <form><input type="password"></form>""",
        "text/html",
        "https://shop.example/es/",
        SITE,
    )
    assert markup.title == "Precios & más" and markup.canonical == "https://shop.example/x"
    paths = ["d/hidden", "d/e", "g?x=1&y=2", "next"]
    assert markup.links == [f"https://shop.example/{path}" for path in paths], "and not where the network's insides are"
    assert markup.has_password and not markup.may_be_indexed


def test_pages_that_say_the_same_but_for_the_address():
    words = frozenset(f"word{n}" for n in range(400))
    assert is_alike(words, words | {"another", "path"})
    assert not is_alike(words, words | {f"new{n}" for n in range(20)})


def test_a_sitemap_is_read_however_it_is_written():
    urls = list(
        read_sitemap(b"<ns:loc >\n <![CDATA[https://a.example/?x=1&y=2]]> </ns:loc><loc>b&amp;c</loc>").addresses()
    )
    assert urls == ["https://a.example/?x=1&y=2", "b&c"]
    assert list(read_sitemap(b"https://a.example/\nhttps://b.example/").addresses())[1] == "https://b.example/"
    assert read_sitemap(b"<?xml?><SitemapIndex>").is_index
    assert list(read_sitemap(b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><loc>&a;</loc>').addresses()) == [
        "&a;"
    ]


@pytest.mark.parametrize(
    "piece",
    [
        "<a ",
        '<a href="',
        "<a x='",
        "<",
        "<script>",
        "<title ",
        "<a a=",
        "<meta a='b' ",
        "<loc>",
        "<loc ",
        "<loc>" + " " * 190,
        "</script",
    ],
)
def test_no_page_keeps_it_busy(piece: str):
    data = (piece * (1_000_000 // len(piece))).encode()
    began = time.process_time()
    read_markup(data, "text/html", "https://shop.example/", SITE)
    list(read_sitemap(data).addresses())
    assert time.process_time() - began < 3


@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "utf-7", "base64", "no such", "\0"])
def test_an_encoding_that_is_not_of_the_web_is_read_as_utf_8(charset: str):
    data = "Más ".encode() * 400_000
    began = time.process_time()
    assert decoded(data, f"text/html; charset={charset}").startswith("Más ")
    assert codec(charset) is None and time.process_time() - began < 1


def test_encodings_of_the_web():
    assert decoded("café".encode("cp1252"), "text/html; charset=ISO-8859-1") == "café"
    assert decoded("Привет".encode("koi8-r"), "text/html; charset=KOI8-R") == "Привет"
    assert decoded("営業".encode("shift_jis"), "text/html; charset=Shift_JIS") == "営業"


@pytest.mark.parametrize("bad", ["https://[bad/x.xml", "https://shop.example:99999/x.xml", "//[::1", "http://a]b/"])
def test_an_address_that_is_none_ends_nothing(bad: str):
    index = f"<sitemapindex><loc>{bad}</loc><loc>https://shop.example/good.xml</loc></sitemapindex>".encode()
    good = b"<urlset><loc>https://shop.example/a</loc></urlset>"
    pages = {"https://shop.example/sitemap.xml": index, "https://shop.example/good.xml": good}

    def read(url: str, **_: object) -> Page:
        if url not in pages:
            raise FetchError("address_refused", "the address is not one of the web")
        return Page(url, "text/xml", pages[url])

    for rules in (Robots(""), Robots(f"Sitemap: {bad}\nSitemap: /good.xml")):
        found, _ = read_sitemaps(read, SITE, rules, 10, rest=lambda seconds: None)
        assert found == ["https://shop.example/a"]
    page = f'<base href="{bad}"><a href="{bad}">x</a><a href="/b">y</a>'.encode()
    assert read_markup(page, "text/html", "https://shop.example/", SITE).links == ["https://shop.example/b"]


def test_sitemaps_are_given_up_when_their_time_is_over(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(visits, "SITEMAP_SECONDS", 0.2)
    many = b"".join(b"<loc>https://shop.example/%d</loc>" % n for n in range(200_000))
    rules = Robots("User-agent: *\n" + "".join(f"Disallow: /{n}x\n" for n in range(2000)) + "Disallow: /")
    began = time.monotonic()
    found, told = read_sitemaps(
        lambda url, **_: Page(url, "text/xml", many), SITE, rules, 10, rest=lambda seconds: None
    )
    assert (found, told[-1]) == ([], "it has more sitemaps than are read")
    assert time.monotonic() - began < 5


def test_rules_for_us_and_for_all():
    rules = Robots("User-agent: *\nDisallow: /\n\nUser-agent: millrace-knowledge\nDisallow: /cart\nCrawl-delay: 99\n")
    assert rules.allows("https://shop.example/") and not rules.allows("https://shop.example/cart/1")
    assert rules.pause == 30 and Robots("").pause == 1 and Robots("User-agent: *\nCrawl-delay: soon").pause == 1


def test_rules_that_would_take_hours_forbid_more():
    rules = Robots("User-agent: *\nDisallow: /" + "a*" * 300 + "b\nAllow: /" + "*c" * 300)
    began = time.process_time()
    assert not rules.allows("https://shop.example/" + "a" * 490)
    assert time.process_time() - began < 1
