"""The figures, the targets, and the page that people read."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from local.answers import page, report
from local.answers.judging import Call, Passage, Reply, judge
from local.answers.report import Asked
from local.golden import Question

CHROMIUM = Path("/usr/bin/chromium")
TENANTS = {"shop": "The <Shop>", "clinic": "Clinic"}


def asked(tenant: str, question: Question, text: str, **reply: object) -> Asked:
    given = Reply(text, ms=12, tokens=100, model="demo", **reply)  # type: ignore[arg-type]
    return Asked(tenant, question, given, judge(question, given))


HOURS = Question("When <open>?", sources=("a.md",), facts=(("nine",),))
PERSON = Question("A person, please", "tool", tool={"name": "contact_owner", "arguments": {}})
CALLED = [Call("contact_owner", {"reason": "<b>"}, "succeeded", '{"handed_over": true}')]


@pytest.fixture
def made() -> dict:
    everything = [
        asked("shop", HOURS, "At nine. <script>alert(document)</script>", cited=[Passage("a.md", "Open at nine. <i>")]),
        asked("clinic", HOURS, "At ten.", cited=[Passage("a.md", "Open at ten.")]),
        asked("shop", Question("Botox?", "unanswerable"), "I do not know. Ask our staff."),
        asked("shop", PERSON, "Yes.", calls=CALLED),
        asked("clinic", Question("and on Sundays?", "follow_up", ("a.md",), before=("When open?",)), "I do not know."),
    ]
    return report.build(everything, TENANTS, "demo", 3.21, "2026-11-26T02:12:01+00:00")


def test_the_figures(made: dict):
    assert made["kinds"]["answerable"]["tenants"] == {
        "shop": {"asked": 1, "right": 1},
        "clinic": {"asked": 1, "right": 0},
    }
    assert set(made["kinds"]) == {"answerable", "unanswerable", "follow_up", "tool"}, "only what was asked"
    assert made["checks"]["cited"] == {"made": 3, "passed": 2, "goal": None}
    assert (made["tokens"], made["seconds"]) == (500, 3.2)
    shown = report.table(made)
    assert re.search(r"answerable +1 / 1 +0 / 1", shown) and "5 questions, 500 tokens" in shown


def test_the_targets(made: dict):
    assert all(set(target) == {"name", "goal", "value", "met"} for target in made["targets"])
    met = {target["name"].split(":")[0]: target["met"] for target in made["targets"]}
    assert met["answerable"] and not met["follow_up"] and met["share of grounded replies"]
    assert report.goals_of("openai")["answerable"] > report.goals_of("demo")["answerable"]


def test_the_page_needs_nothing_else_and_runs_nothing_of_a_reply(made: dict):
    text = page.html(made)
    assert not re.search(r"(?:src|href)=|url\(|@import", text)
    assert "<script>alert" not in text and "&lt;script&gt;alert(document)" in text and "The &lt;Shop&gt;" in text
    for part in ("3 of 5 right", "26 November 2026, 02:12 UTC", "goals missed", "Open at ten.", "does not say"):
        assert part in text, part


@pytest.fixture
def shown(made: dict, tmp_path: Path) -> Iterator[Page]:
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is missing: apt-get install -y chromium"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    file = tmp_path / "report.html"
    file.write_text(page.html(made))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 390, "height": 844})
        opened.goto(file.as_uri())
        yield opened
        browser.close()


def test_failures_are_filtered_and_read(shown: Page):
    questions, count = shown.locator("details.asked"), shown.locator("#count")
    expect(count).to_have_text("5 of 5")
    shown.get_by_label("Right and wrong").select_option("wrong")
    expect(count).to_have_text("2 of 5")
    shown.get_by_label("Every kind").select_option("follow_up")
    expect(questions.filter(visible=True)).to_have_count(1)
    questions.filter(visible=True).click()
    expect(questions.filter(visible=True).get_by_text("No source")).to_be_visible()
    shown.get_by_label("Every kind").select_option("")
    shown.get_by_label("Right and wrong").select_option("")
    shown.get_by_label("Words").fill("BOTOX")
    expect(count).to_have_text("1 of 5")
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390, "a phone shows it whole"
