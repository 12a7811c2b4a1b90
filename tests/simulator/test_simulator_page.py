"""The chat page in a real browser, on a desktop and on a phone's width."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from simulator_bots import Bot, settle_without_reply
from simulator_systems import Simulator, Webhook, new_phone, running, wait_for

from local.processes import free_port

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 375, "height": 720}
#: Set to a folder to keep what the pages looked like.
SCREENSHOTS = os.environ.get("SCREENSHOTS")


# Of this module only: while it lives, no other test could run an event loop of its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is missing: apt-get install -y chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def bot(common: Simulator, webhook: Webhook, shared_database: str) -> Bot:
    return Bot(common, webhook, shared_database)


@pytest.fixture
def open_page(browser: Browser, common: Simulator) -> Iterator[Callable[..., Page]]:
    """Pages of a new person; at the end nothing may have gone wrong in them or have been loaded from elsewhere."""
    common.http.post("/sim/people", json={"name": "Alex Morgan", "phone": common.person})
    contexts = []
    problems: list[str] = []

    def open_page(viewport: dict[str, int] = DESKTOP, url: str = common.url, **options: Any) -> Page:
        context = browser.new_context(viewport=viewport, **options)  # type: ignore[arg-type]
        context.set_default_timeout(8000)
        context.add_init_script(f"localStorage['simulator.person'] ??= '{common.person}'")
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda r: r.url.startswith(url) or problems.append(f"request to {r.url}"))
        page.on(
            "console",
            lambda message: "Content Security Policy" in message.text and problems.append(message.text),
        )
        page.goto(url)
        expect(page.get_by_role("status").filter(has_text="Connected")).to_be_attached()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, open_page: Callable[..., Page]) -> Page:
    return open_page(request.param)


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_label("Message", exact=True).press("Enter")


def choose(page: Page, name: str = "Harbour Dental") -> None:
    page.get_by_role("link", name=re.compile(name)).click()


def mine(page: Page) -> Any:
    return page.locator(".message.mine").last


def theirs(page: Page) -> Any:
    return page.locator(".message.theirs").last


def keep(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}-{page.viewport_size['width']}.png")  # type: ignore[index]


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_a_conversation(page: Page, bot: Bot, webhook: Webhook) -> None:
    keep(page, "list")
    expect(page.get_by_role("link")).to_have_count(2)
    choose(page)
    expect(page.get_by_text("Say hello to Harbour Dental")).to_be_visible()
    keep(page, "empty")
    bot.go.clear()
    bot.reply = lambda text: (
        "We are open *Monday to Friday* from _8:30 to 18:00_ and every ~third~ second Saturday.\n"
        "Directions: https://example.com/way?a=1. Your code is `HD-17`."
    )
    say(page, "When are you open on Saturdays?")
    expect(mine(page).locator(".text")).to_have_text("When are you open on Saturdays?")
    expect(mine(page).locator("time")).to_have_text(re.compile(r"\d\d:\d\d"))
    expect(mine(page).locator(".ticks")).to_have_text("Read")
    expect(page.locator("#typing")).to_be_visible()
    keep(page, "typing")
    bot.go.set()
    expect(page.locator("#typing")).to_be_hidden()
    reply = theirs(page)
    expect(reply.locator("strong")).to_have_text("Monday to Friday")
    expect(reply.locator("em")).to_have_text("8:30 to 18:00")
    expect(reply.locator("s")).to_have_text("third")
    expect(reply.locator("code")).to_have_text("HD-17")
    expect(reply.get_by_role("link")).to_have_attribute("href", "https://example.com/way?a=1")
    summary = reply.locator("summary")
    expect(summary).to_have_text("demo · 2 steps · 450 tokens · 1.2 s")
    keep(page, "reply")
    summary.click()
    expect(reply.locator(".steps li")).to_have_text(["modeldemo320 ms", "toolopening_hours45 ms"])
    expect(reply.locator("dl")).to_contain_text("412 in, 38 out")
    expect(reply.locator("dl")).to_contain_text("answered (delivery: sent)")
    reply.scroll_into_view_if_needed()
    keep(page, "details")
    assert fits(page)


def test_what_people_write_is_never_executed(page: Page, bot: Bot) -> None:
    attack = (
        "<img src=x onerror=alert(1)><script>alert(2)</script> *<b>bold</b>* javascript:alert(3) https://a.b/\"onx='1'"
    )
    bot.reply = lambda text: text
    choose(page)
    say(page, attack)
    for bubble in (mine(page), theirs(page)):
        expect(bubble.locator(".text")).to_have_text(attack.replace("*", ""))
        assert bubble.locator(".text").evaluate("e => [...e.querySelectorAll('*')].map(x => x.tagName)") == [
            "STRONG",
            "A",
        ]
        expect(bubble.locator("a")).to_have_attribute("href", "https://a.b/")


def test_a_gateway_that_does_not_take_it(page: Page, bot: Bot, webhook: Webhook) -> None:
    choose(page)
    webhook.answers = [503] * 3
    say(page, "Anyone there?")
    note = mine(page).locator(".note")
    expect(note).to_contain_text("Not delivered: the gateway answered 503. It will be retried")
    expect(mine(page).locator(".ticks")).to_have_text("Sent")
    keep(page, "not-delivered")
    expect(theirs(page).locator(".text")).to_have_text("You said: Anyone there?")
    expect(note).to_be_hidden()
    expect(mine(page).locator(".ticks")).to_have_text("Read")


def test_a_gateway_that_is_down(open_page: Callable[..., Page], tmp_path: Path) -> None:
    with running(tmp_path, f"http://127.0.0.1:{free_port()}") as alone:
        page = open_page(url=alone.url)
        choose(page)
        say(page, "Hello?")
        note = mine(page).locator(".note")
        expect(note).to_contain_text("Not delivered: the gateway does not answer")
        expect(note).to_contain_text("It will be retried, 2 attempts so far.")


def test_enter_sends_and_shift_enter_does_not(open_page: Callable[..., Page], bot: Bot) -> None:
    page = open_page()
    choose(page)
    field = page.get_by_label("Message", exact=True)
    field.press_sequentially("one")
    field.press("Shift+Enter")
    field.press_sequentially("two")
    expect(page.locator(".message")).to_have_count(0)
    field.press("Enter")
    expect(mine(page).locator(".text")).to_have_text("one\ntwo", use_inner_text=True)
    expect(field).to_have_value("")
    field.press("Enter")
    expect(page.locator(".message")).to_have_count(2)
    page.get_by_label("Message", exact=True).fill("by the button")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".message")).to_have_count(4)


def test_people(open_page: Callable[..., Page], bot: Bot, webhook: Webhook) -> None:
    phone = new_phone()
    page = open_page(PHONE)
    page.get_by_role("button", name="Add person").click()
    page.get_by_label("Name").fill("Priya Nair")
    page.get_by_label("Phone number").fill("12")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="5 to 20 digits")).to_be_visible()
    keep(page, "person")
    page.get_by_label("Phone number").fill(phone)
    page.keyboard.press("Enter")
    expect(page.get_by_label("You are")).to_have_value(phone)
    choose(page)
    say(page, "Hello from Priya")
    expect(theirs(page).locator(".text")).to_have_text("You said: Hello from Priya")
    assert webhook.messages()[0]["from"] == phone
    page.go_back()
    page.get_by_role("button", name="Add person").click()
    page.get_by_label("Name").fill("Lee")
    page.keyboard.press("Enter")
    expect(page.get_by_label("You are").locator("option:checked")).to_have_text("Lee (no number)")
    choose(page)
    expect(page.get_by_text("No messages yet. Say hello")).to_be_visible()
    say(page, "Hola")
    expect(theirs(page).locator(".text")).to_have_text("You said: Hola")
    assert "from" not in webhook.messages()[1]
    page.reload()
    expect(theirs(page).locator(".text")).to_have_text("You said: Hola")


def test_the_phone_shows_the_list_or_the_chat(open_page: Callable[..., Page], bot: Bot) -> None:
    page = open_page(PHONE)
    expect(page.locator(".main")).to_be_hidden()
    choose(page, "Bicis Ribera")
    expect(page.locator(".sidebar")).to_be_hidden()
    say(page, "x" * 400 + " https://example.com/" + "y" * 300)
    expect(theirs(page)).to_be_visible()
    assert fits(page)
    page.get_by_role("button", name="Back to the chats").click()
    expect(page.locator(".main")).to_be_hidden()
    expect(page.get_by_role("link", name=re.compile("Bicis Ribera"))).to_contain_text("You said: xxx")
    page.goto(f"{page.url.partition('#')[0]}#%E0%")
    expect(page.locator(".sidebar")).to_be_visible()


def test_news_of_another_chat_is_counted(open_page: Callable[..., Page], common: Simulator, bot: Bot) -> None:
    page = open_page()
    choose(page, "Bicis Ribera")
    common.say("Meanwhile", to="harbour-dental")
    item = page.get_by_role("link", name=re.compile("Harbour Dental"))
    expect(item).to_contain_text("1 unread")
    expect(item).to_contain_text("You said: Meanwhile")
    item.click()
    expect(page.locator(".badge")).to_have_count(0)


def test_a_message_without_reply_says_why(
    open_page: Callable[..., Page], common: Simulator, webhook: Webhook, shared_database: str
) -> None:
    page = open_page()
    choose(page)
    say(page, "Too much")
    wait_for(lambda: bool(webhook.messages()))
    message = webhook.messages()[0]
    settle_without_reply(shared_database, "100000000000002", message["id"], "refused", "quota")
    expect(mine(page).locator(".note")).to_have_text("No reply: refused (quota).")


def test_the_simulator_goes_and_comes_back(open_page: Callable[..., Page], common: Simulator, bot: Bot) -> None:
    page = open_page()
    choose(page)
    common.stop()
    expect(page.locator("#connection")).to_contain_text("does not answer")
    say(page, "Lost?")
    expect(page.get_by_role("alert").filter(has_text="Not sent")).to_be_visible()
    expect(page.get_by_label("Message", exact=True)).to_have_value("Lost?")
    keep(page, "gone")
    common.start()
    expect(page.locator("#connection")).to_have_text("Connected")
    page.get_by_label("Message", exact=True).press("Enter")
    expect(theirs(page).locator(".text")).to_have_text("You said: Lost?")


def test_dark(open_page: Callable[..., Page], bot: Bot) -> None:
    page = open_page(color_scheme="dark")
    choose(page, "Bicis Ribera")
    say(page, "¿Abrís hoy?")
    expect(theirs(page).locator("summary")).to_contain_text("demo")
    keep(page, "dark")
    colour = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert colour == "rgb(23, 21, 29)"


def test_only_the_keyboard(open_page: Callable[..., Page], bot: Bot) -> None:
    page = open_page()
    page.get_by_label("You are").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Add person")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#chat-name")).to_have_text("Bicis Ribera")
    page.keyboard.type("Hi")
    page.keyboard.press("Enter")
    expect(theirs(page).locator(".text")).to_have_text("You said: Hi")
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select, textarea')]"
        ".filter(e => !e.labels?.length && !e.textContent.trim() && !e.getAttribute('aria-label')).length"
    )
    assert unnamed == 0
