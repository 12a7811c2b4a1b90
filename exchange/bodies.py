"""What readers give: believed as the content of what their ticket is for, and as nothing else.

A reader may have been taken over by what it read. So sizes, states and addresses are looked at once more here, since
the steps that come next believe them.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Base64Bytes, BaseModel, ConfigDict, Field

from f.knowledge import sites
from f.knowledge.documents import Extraction, Limits, Page, clean
from f.knowledge.sites import Document, Outcome, Scouted, Site

LIMITS = Limits()

#: Bytes of a body: a file as base64, or as many characters of text as one may have, and what is around them.
MAX_BODY = max(LIMITS.file_bytes * 4 // 3, LIMITS.characters * 4) + (2 << 20)

#: As PostgreSQL stores it.
Text = Annotated[str, AfterValidator(clean)]
Short = Annotated[Text, Field(max_length=500)]
Validator = Annotated[Text, Field(max_length=200)] | None
Code = Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PageBody(Body):
    number: int = Field(ge=1, le=1_000_000)
    markdown: Text


class TextBody(Body):
    """What was read of a source."""

    pages: list[PageBody] = Field(max_length=LIMITS.pages)
    warnings: list[Text] = Field(max_length=1000)
    etag: Validator
    last_modified: Validator

    def extraction(self) -> Extraction:
        return Extraction([Page(page.number, page.markdown) for page in self.pages], self.warnings)


class FailureBody(Body):
    code: Code
    message: Text


class SiteBody(Body):
    """What is known of a site before its first page."""

    robots: Text = Field(max_length=1 << 20)
    pause: float = Field(ge=sites.PAUSE, le=sites.LONGEST_PAUSE)
    absent_words: list[Short] = Field(max_length=5000)
    addresses: list[Text] = Field(max_length=200_000)
    warnings: list[Text] = Field(max_length=20)

    def scouted(self, site: Site, most: int) -> Scouted:
        addresses = _own(site, self.addresses)[:most]
        return Scouted(self.robots, self.pause, self.absent_words, addresses, self.warnings)


class NextBody(Body):
    """Which page is next."""

    has_turn: bool


def _whole(data: bytes) -> bytes:
    """A `max_length` would count the base64."""
    if len(data) > LIMITS.file_bytes:
        raise ValueError(f"more than {LIMITS.file_bytes} bytes")
    return data


class DocumentBody(Body):
    data: Annotated[Base64Bytes, AfterValidator(_whole)]
    content_type: Annotated[Text, Field(max_length=200)]
    name: Annotated[Text, Field(max_length=200, min_length=1)]


class OutcomeBody(Body):
    """What became of the page `url`."""

    url: Short
    state: Literal["taken", "unchanged", "skipped", "failed", "gone", "waiting"]
    reason: Code | None
    links: list[Short] = Field(max_length=sites.MOST_LINKS)
    instead: Short | None
    document: DocumentBody | None
    etag: Validator
    last_modified: Validator
    sent: int = Field(ge=0, le=1 << 40)

    def outcome(self, site: Site) -> Outcome:
        given = self.document
        document = Document(given.data, given.content_type, given.name) if given else None
        return Outcome(
            "failed" if self.state == "taken" and document is None else self.state,
            self.reason,
            links=_own(site, self.links),
            instead=site.address(self.instead) if self.instead else None,
            document=document,
            etag=self.etag,
            last_modified=self.last_modified,
            sent=max(self.sent, len(document.data) if document else 0),
        )


def _own(site: Site, urls: list[str]) -> list[str]:
    """Those of the site."""
    return list(dict.fromkeys(address for url in urls if (address := site.address(url))))
