# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "babel==2.18.0", "beautifulsoup4==4.15.0", "certifi==2026.10.19.post1", "charset-normalizer==3.5.3",
#   "courlan==1.4.0", "dateparser==1.5.0", "htmldate==1.11.0", "justext==3.0.2", "lxml==6.1.3",
#   "lxml-html-clean==0.4.6", "python-dateutil==2.9.0.post0", "pytz==2026.6", "regex==2026.11.19", "six==1.17.0",
#   "soupsieve==2.10", "tld==0.13.2", "trafilatura==2.3.1", "typing-extensions==4.16.0", "tzlocal==5.4.5",
#   "urllib3==2.8.0",
# ]
# ///
"""HTML: the content of a web page as Markdown, in one page.

trafilatura finds the article among menus and footers. Pages of questions and answers it takes for menus: those are
walked with BeautifulSoup, as is a page of which trafilatura leaves little.
"""

import re
from collections.abc import Iterator
from typing import Any

from f.knowledge import markup
from f.knowledge.documents import Extraction, ExtractionError, Limits, Page
from f.knowledge.plain_text import decode

_NO_CONTENT = [
    "script",
    "style",
    "noscript",
    "template",
    "svg",
    "iframe",
    "object",
    "head",
    "canvas",
    "select",
    "textarea",
]
_AROUND = ["nav", "header", "footer", "aside", "form", "menu", "dialog"]
_BANNER = re.compile(r"cookie|consent|gdpr|newsletter|breadcrumb", re.IGNORECASE)
_FOLDED = re.compile(r"faq|accordion|answer|collaps|panel|toggle|tab-?content|tabpanel|expand", re.IGNORECASE)
_BLOCKS = set(
    "address article aside blockquote body center dd details dialog div dl dt fieldset figcaption figure footer form h1"
    " h2 h3 h4 h5 h6 header hr html li main menu nav ol p pre section summary table tbody td tfoot th thead tr"
    " ul".split()
)
#: Declarations that make an element invisible.
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*0?\.?0+\s*(?:;|!|$)"
    r"|font-size\s*:\s*(?:0|1|2)(?:\.\d+)?\s*(?:px|pt|em|rem|%)?\s*(?:;|!|$)"
    r"|(?:left|top|right|bottom|text-indent)\s*:\s*-\s*\d{3,}|clip\s*:\s*rect\(\s*0|clip-path\s*:\s*inset\(\s*(?:50|100)%"
    r"|(?:max-)?(?:height|width)\s*:\s*0(?:px)?\s*(?:;|!|$)[^{}]*overflow\s*:\s*hidden",
    re.IGNORECASE,
)
_WHITE = re.compile(
    r"(?<![-\w])color\s*:\s*(?:#fff(?:fff)?\b|white\b|transparent|rgba?\(\s*255\s*,\s*255\s*,\s*255)", re.I
)
_GROUND = re.compile(r"background(?:-color|-image)?\s*:\s*(?!\s*(?:#fff|white|transparent|none))", re.IGNORECASE)
_RULE = re.compile(r"([^{}@;]+)\{([^{}]*)\}")
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""", re.IGNORECASE)
_DEEPEST = 200
#: More markup than that is data, no article; a second tree of it would not fit into memory.
_LARGE = 1 << 20


def read(data: bytes, limits: Limits, charset: str | None = None) -> Extraction:
    """Raises ExtractionError: invalid, too_large. `charset` is what the server said."""
    if len(data) > limits.html_bytes:
        raise ExtractionError("too_large", f"The page has more than {limits.html_bytes >> 20} MB of markup.")
    stated = _CHARSET.search(data[:4096])
    text, warnings = decode(data, charset or (stated[1].decode("ascii") if stated else None))
    from bs4 import BeautifulSoup  # with lxml, a quarter of a second

    # What a browser would not resolve, a parser must not: entities of a document type of one's own.
    text = re.sub(r"<!DOCTYPE[^>\[]*\[.*?\]\s*>", "<!DOCTYPE html>", text, count=1, flags=re.DOTALL | re.IGNORECASE)
    try:
        soup = BeautifulSoup(text, "lxml")
        _refuse_depth(soup)
        title = markup.one_line(soup.title.get_text()) if soup.title else ""
        if hidden := _remove_hidden(soup):
            warnings.append(f"Hidden text was left out ({hidden} places).")
        for element in soup(_NO_CONTENT):
            element.decompose()
        faq = _is_faq(soup)
        whole = _walked(soup)
        article = "" if faq or len(text) > _LARGE else _article(soup)
    except RecursionError:
        raise ExtractionError("invalid", "The page is nested too deeply.") from None
    markdown = article if _letters(article) >= 0.5 * _letters(whole) else whole
    if not _letters(markdown):
        raise ExtractionError("no_text_layer", "The page has no text; it may be made by scripts in the browser.")
    if len(markdown) > limits.characters:
        raise ExtractionError("too_large", "The page has too much text.")
    if title and not re.search(r"^# ", markdown, re.MULTILINE):
        markdown = f"{markup.heading(1, title)}\n\n{markdown}"
    return Extraction([Page(1, markup.tidy(markdown))], warnings, "html")


def _refuse_depth(soup: Any) -> None:
    """Raise RecursionError before anything is searched: each search goes through all that is below."""
    depths = {id(soup): 0}
    for element in soup.descendants:
        depth = depths[id(element.parent)] + 1
        depths[id(element)] = depth
        if depth > _DEEPEST + 50:
            raise RecursionError


def _letters(text: str) -> int:
    return sum(letter.isalnum() for letter in re.sub(r"\]\([^)]*\)", "", text))


def _article(soup: Any) -> str:
    import trafilatura  # half a second

    found = trafilatura.extract(
        str(soup),
        output_format="markdown",
        include_links=True,
        include_tables=True,
        include_formatting=True,
        include_comments=False,
        favor_recall=True,
        deduplicate=False,
    )
    # It marks what is bold; a reader of the text needs none of that.
    return re.sub(r"(?<![\w*])\*\*(\S(?:.*?\S)?)\*\*(?![\w*])", r"\1", found or "")


# --- what nobody sees -------------------------------------------------------------------------------------------------


def _remove_hidden(soup: Any) -> int:
    """Remove what the page itself hides, except what a visitor can unfold. Returns how many texts that were."""
    from bs4 import Comment

    for comment in soup.find_all(string=lambda item: isinstance(item, Comment)):
        comment.extract()
    classes, identities = _hidden_by_style(soup)
    unfolded = {
        name.lstrip("#")
        for element in soup.find_all(True)
        for attribute in ("aria-controls", "data-target", "data-bs-target", "href")
        for name in str(element.get(attribute) or "").split()
        if attribute != "href" or name.startswith("#")
    }
    removed = 0
    for element in soup.find_all(True):
        if element.decomposed or element.name in ("script", "style", "html", "body", "head", "title", "meta", "link"):
            continue
        style = str(element.get("style") or "")
        own_classes = set(element.get("class") or [])
        hidden = (
            element.has_attr("hidden")
            or (style and _HIDING.search(style))
            or (style and _WHITE.search(style) and not _on_colour(element))
            or own_classes & classes
            or element.get("id") in identities
        )
        if hidden and not _can_be_unfolded(element, unfolded):
            removed += bool(element.get_text(strip=True))
            element.decompose()
    return removed


def _hidden_by_style(soup: Any) -> tuple[set[str], set[str]]:
    """Classes and ids that the page's own style sheets hide; only selectors of one name, outside of @media."""
    classes: set[str] = set()
    identities: set[str] = set()
    for sheet in soup("style"):
        css = re.sub(r"/\*.*?\*/", "", sheet.get_text()[:200_000], flags=re.DOTALL)
        css = re.sub(r"@(?:media|supports|keyframes)[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", css)
        for selectors, declarations in _RULE.findall(css):
            if _HIDING.search(declarations):
                for selector in selectors.split(","):
                    if match := re.fullmatch(r"\s*(?:\w+)?([.#])([\w-]+)\s*", selector):
                        (classes if match[1] == "." else identities).add(match[2])
    return classes, identities


def _can_be_unfolded(element: Any, unfolded: set[str]) -> bool:
    for one in (element, *list(element.parents)[:2]):
        names = " ".join([*(one.get("class") or []), str(one.get("id") or ""), str(one.get("role") or "")])
        if one.get("id") in unfolded or _FOLDED.search(names):
            return True
    before = element.find_previous_sibling()
    return before is not None and before.get_text(strip=True).endswith("?")


def _on_colour(element: Any) -> bool:
    """Whether white text may stand on something; what a class says of it is not known here, so a class may."""
    return any(
        _GROUND.search(str(one.get("style") or "")) or one.get("bgcolor") or one.get("class")
        for one in (element, *element.parents)
    )


# --- the walk ---------------------------------------------------------------------------------------------------------


def _is_faq(soup: Any) -> bool:
    if (
        len(soup("details")) > 1
        or len(soup("dt")) > 1
        or soup.find(attrs={"itemtype": re.compile("FAQPage|Question$")})
    ):
        return True
    if soup.find(attrs={"class": re.compile(r"(?:^|[-_])(?:faqs?|accordion)(?:$|[-_])", re.IGNORECASE)}):
        return True
    asked = soup.find_all(["h1", "h2", "h3", "h4", "h5", "h6", "button", "summary", "strong", "b", "a"])
    return sum(element.get_text(strip=True).endswith(("?", "？")) for element in asked) > 2


def _walked(soup: Any) -> str:
    root = soup.find("main") or soup.body or soup
    around = [e for e in root(_AROUND) if not (e.name in ("header", "aside", "form") and e.find_parent("article"))]
    for element in around:
        # A shop's whole page may stand in one form.
        if not element.decomposed and (element.name != "form" or len(element.get_text(strip=True)) < 500):
            element.decompose()
    for element in root.find_all(attrs={"class": _BANNER}) + root.find_all(attrs={"id": _BANNER}):
        if not element.decomposed and element.parent and len(element.get_text(strip=True)) < 2000:
            element.decompose()
    return "\n\n".join(_blocks(root, 0))


def _blocks(element: Any, depth: int) -> Iterator[str]:
    """Paragraphs, headings, lists and tables below `element`."""
    from bs4 import Tag

    if depth > _DEEPEST:
        raise RecursionError
    loose: list[Any] = []
    for child in element.children:
        if isinstance(child, Tag) and (child.name in _BLOCKS or child.name == "button" or child.find(_is_block)):
            yield from _paragraph(loose)
            loose = []
            yield from _block(child, depth + 1)
        else:
            loose.append(child)
    yield from _paragraph(loose)


def _is_block(element: Any) -> bool:
    return element.name in _BLOCKS


def _block(element: Any, depth: int) -> Iterator[str]:
    name = element.name
    if re.fullmatch(r"h[1-6]", name):
        if text := _inline(element.children):
            yield markup.heading(int(name[1]), text.replace("\n", " "))
    elif name in ("summary", "dt"):
        if text := _inline(element.children):
            yield markup.heading(3, text.replace("\n", " "))
    elif name == "button":
        text = _inline(element.children)
        if text.endswith(("?", "？")) or (text and element.has_attr("aria-controls") and len(text) > 2):
            yield markup.heading(3, text.replace("\n", " "))
    elif name in ("ul", "ol"):
        if items := "\n".join(_items(element, depth)):
            yield items
    elif name == "table":
        yield from _table(element, depth)
    elif name == "pre":
        if text := element.get_text().strip("\n"):
            yield f"```\n{text}\n```"
    elif name == "hr":
        return
    else:
        yield from _blocks(element, depth)


def _items(element: Any, depth: int, indent: str = "") -> Iterator[str]:
    for number, item in enumerate(element.find_all("li", recursive=False), start=1):
        mark = f"{number}." if element.name == "ol" else "-"
        inner = item.find_all(["ul", "ol"])
        nested = [one for one in inner if one.find_parent("li") is item]
        for one in nested:
            one.extract()
        # An item that holds headings or tables is a card, not an item.
        if item.find(["table", "h1", "h2", "h3", "h4", "details"]):
            yield "\n" + "\n\n".join(_blocks(item, depth + 1)) + "\n"
        else:
            text = " ".join(" ".join(_blocks(item, depth + 1)).split())
            if text:
                yield f"{indent}{mark} {text.removeprefix(chr(92))}"
        if depth > _DEEPEST:
            raise RecursionError
        for one in nested:
            yield from _items(one, depth + 1, indent + "  ")


def _table(element: Any, depth: int) -> Iterator[str]:
    rows = [row for row in element.find_all("tr") if row.find_parent("table") is element]
    if element.find("table") or max((len(row.find_all(["td", "th"], recursive=False)) for row in rows), default=0) < 2:
        # Tables that place things on a page.
        for row in rows:
            for cell in row.find_all(["td", "th"], recursive=False):
                yield from _blocks(cell, depth + 1)
        return
    if element.caption and (caption := _inline(element.caption.children)):
        yield caption
    grid: list[list[str]] = []
    for row in rows:
        cells: list[str] = []
        for cell in row.find_all(["td", "th"], recursive=False):
            cells.append(" ".join(" ".join(_blocks(cell, depth + 1)).split()).lstrip("#\\ "))
            span = str(cell.get("colspan") or "1")
            cells += [""] * min(max(int(span) - 1, 0) if span.isdigit() else 0, 50)
        grid.append(cells)
    if text := markup.table(grid):
        yield text


def _paragraph(children: list[Any]) -> Iterator[str]:
    if text := _inline(children):
        yield markup.paragraph(text)


def _inline(children: Any) -> str:
    text = markup.clean("".join(_pieces(children)))
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _pieces(children: Any, depth: int = 0) -> Iterator[str]:
    from bs4 import NavigableString, Tag
    from bs4.element import PreformattedString

    if depth > _DEEPEST:
        raise RecursionError
    for child in children:
        if isinstance(child, Tag):
            if child.name == "br":
                yield "\n"
            elif child.name == "a" and child.get("href"):
                yield markup.link("".join(_pieces(child.children, depth + 1)), str(child["href"]))
            else:
                yield from _pieces(child.children, depth + 1)
        elif isinstance(child, NavigableString) and not isinstance(child, PreformattedString):
            yield re.sub(r"\s+", " ", str(child))
