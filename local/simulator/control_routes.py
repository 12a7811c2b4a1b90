"""Control calls: what tools, tests and the chat page do with the simulator."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from local.simulator.config import Number
from local.simulator.faults import FaultError, Faults, parse_fault
from local.simulator.feed import Feed
from local.simulator.numbers import Numbers
from local.simulator.phones import Phones, UnknownPerson, shown
from local.simulator.store import Store
from local.simulator.turns import DatabaseUnavailable, Turns

#: Characters of a text that a phone lets its owner send.
MAX_INBOUND = 65536
MAX_WITNESS = 100_000
#: Seconds between comments that keep an event stream alive.
HEARTBEAT_SECONDS = 15


class ControlError(Exception):
    """A control call that cannot be followed."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ControlRoutes:
    """Every body is JSON and says so, which a form on some web site cannot."""

    def __init__(
        self, numbers: Numbers, store: Store, feed: Feed, phones: Phones, faults: Faults, turns: Turns
    ) -> None:
        self._numbers = numbers
        self._store = store
        self._feed = feed
        self._phones = phones
        self._faults = faults
        self._turns = turns

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/health", self.health)
        app.router.add_post("/sim/messages", self.write)
        app.router.add_get("/sim/turns", self.turn)
        app.router.add_get("/witness", self.witness)
        app.router.add_get("/sim/deliveries", self.deliveries)
        app.router.add_get("/sim/faults", self.list_faults)
        app.router.add_post("/sim/faults", self.add_fault)
        app.router.add_delete("/sim/faults", self.clear_faults)
        app.router.add_get("/sim/page", self.page_state)
        app.router.add_post("/sim/people", self.add_person)
        app.router.add_post("/sim/numbers", self.buy_number)
        app.router.add_get("/sim/events", self.events)

    async def health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def write(self, request: web.Request) -> web.Response:
        """A person writes: `text`, or a whole `message` of another kind."""
        values = await read_object(request)
        number = await self._number(text_of(values, "to", required=True))
        try:
            person = self._phones.add_person(
                text_of(values, "from"), text_of(values, "user_id"), text_of(values, "profile_name")
            )
        except UnknownPerson as error:
            raise ControlError(400, "bad_person", str(error)) from error
        return web.json_response(await self._phones.write(person, number, content_of(values)))

    async def turn(self, request: web.Request) -> web.Response:
        """What became of an inbound message (`wamid`), or the turn behind a message of the chatbot's (`reply`)."""
        if wamid := request.query.get("wamid"):
            turn = await self._turns.of_message(wamid)
        elif reply := request.query.get("reply"):
            message = self._store.message(reply)
            turn = await self._turns.of_reply((message and message["callback_data"]) or "")
        else:
            raise ControlError(400, "bad_request", "wamid or reply is needed")
        if turn is None:
            raise ControlError(404, "not_found", "the platform has stored no such message yet")
        return web.json_response(turn)

    async def witness(self, request: web.Request) -> web.Response:
        """What people saw, in order; of one `person` (number or user id) and one `chatbot` if named."""
        person, chatbot = request.query.get("person"), request.query.get("chatbot")
        number = await self._number(chatbot) if chatbot else None
        if person:
            known = self._store.person(person) or self._store.person("".join(c for c in person if c.isdigit()))
            person = known.key if known else person
        limit = request.query.get("limit", str(MAX_WITNESS))
        if not limit.isdecimal() or not 0 < int(limit) <= MAX_WITNESS:
            raise ControlError(400, "bad_request", f"limit must be a number from 1 to {MAX_WITNESS}")
        rows = self._store.messages(person or None, number.phone_number_id if number else None, int(limit))
        slugs = {number.phone_number_id: number.slug for number in self._numbers.all()}
        messages = [shown(row) | {"chatbot": slugs.get(row["phone_number_id"])} for row in rows]
        return web.json_response({"messages": messages})

    async def deliveries(self, request: web.Request) -> web.Response:
        """What the gateway has not taken yet."""
        return web.json_response({"deliveries": self._store.pending()})

    async def list_faults(self, request: web.Request) -> web.Response:
        return web.json_response({"faults": self._faults.waiting()})

    async def add_fault(self, request: web.Request) -> web.Response:
        values = await read_object(request)
        if to := text_of(values, "to"):
            values["phone_number_id"] = (await self._number(to)).phone_number_id
        values.pop("to", None)
        try:
            self._faults.add(parse_fault(values))
        except FaultError as error:
            raise ControlError(400, "bad_fault", str(error)) from error
        return web.json_response({"faults": self._faults.waiting()}, status=201)

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._faults.clear()
        return web.json_response({"faults": []})

    async def page_state(self, request: web.Request) -> web.Response:
        """Bots, people and typing dots, as the page shows them when it opens."""
        names = ("phone_number_id", "display_phone_number", "name", "slug", "language")
        bots = [{name: getattr(number, name) for name in names} for number in self._numbers.all()]
        people = [vars(person) for person in self._store.people()]
        return web.json_response({"bots": bots, "people": people, "typing": self._phones.typing()})

    async def add_person(self, request: web.Request) -> web.Response:
        values = await read_object(request)
        try:
            person = self._phones.add_person(
                text_of(values, "phone"), text_of(values, "user_id"), text_of(values, "name")
            )
        except UnknownPerson as error:
            raise ControlError(400, "bad_person", str(error)) from error
        return web.json_response(vars(person), status=201)

    async def buy_number(self, request: web.Request) -> web.Response:
        """A number of Meta's that is no chatbot's yet."""
        values = await read_object(request)
        language = text_of(values, "language") or "en"
        number = self._numbers.buy(text_of(values, "name", required=True).strip(), language)
        names = ("phone_number_id", "waba_id", "display_phone_number", "name", "access_token")
        return web.json_response({name: getattr(number, name) for name in names}, status=201)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Everything that happens from now on, as server-sent events."""
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-store"})
        await response.prepare(request)
        with self._feed.subscribe() as news:
            try:
                await response.write(b"retry: 1000\nevent: open\ndata: {}\n\n")
                while (text := await next_of(news)) is not None:
                    await response.write(f"data: {text}\n\n".encode() if text else b": still here\n\n")
            except ConnectionResetError:
                return response
        return response

    async def _number(self, name: str) -> Number:
        """By what the simulator calls it, else by the chatbot that the platform has connected to it."""
        number = self._numbers.called(name)
        if number is None and (connected := await self._turns.number_of(name)):
            number = self._numbers.get(connected)
        if number is None:
            known = ", ".join(number.slug for number in self._numbers.all())
            raise ControlError(404, "unknown_chatbot", f"there is no chatbot {name!r}, only {known}")
        return number


async def next_of(news: asyncio.Queue[str | None]) -> str | None:
    """The next event, an empty text when there was none for a while, None at the end."""
    try:
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            return await news.get()
    except TimeoutError:
        return ""


def content_of(values: dict[str, Any]) -> dict[str, Any]:
    """The message that a control call describes. Raises ControlError."""
    message = values.get("message")
    if (message is None) == ("text" not in values):
        raise ControlError(400, "bad_request", "either text or message is needed")
    if message is None:
        text = text_of(values, "text", required=True)
        if len(text) > MAX_INBOUND:
            raise ControlError(400, "bad_request", f"text has more than {MAX_INBOUND} characters")
        return {"type": "text", "text": {"body": text}}
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ControlError(400, "bad_request", "message must be an object with a type")
    if "id" in message:
        text_of(message, "id", required=True)
    return message


def text_of(values: dict[str, Any], name: str, *, required: bool = False) -> str:
    """A text, empty when it is not there. Raises ControlError when it is something else, or must be there."""
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise ControlError(400, "bad_request", f"{name} must be a text")
    if required and not (value or "").strip():
        raise ControlError(400, "bad_request", f"{name} is missing")
    return value or ""


async def read_object(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body. Raises ControlError."""
    if request.content_type != "application/json":
        raise ControlError(415, "not_json", "the body must be application/json")
    try:
        values = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ControlError(400, "bad_json", "the body is not JSON") from None
    if not isinstance(values, dict):
        raise ControlError(400, "bad_request", "the body must be a JSON object")
    return values


@web.middleware
async def explain(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every failure of a control call as {"error": {"code", "message"}}."""
    try:
        return await handler(request)
    except ControlError as error:
        status, code, message = error.status, error.code, str(error)
    except DatabaseUnavailable as error:
        status, code, message = 503, "database_unavailable", f"the platform's database does not answer: {error}"
    except web.HTTPException as error:
        if error.status < 400:
            raise
        status, code, message = error.status, error.reason.lower().replace(" ", "_"), error.reason
    return web.json_response({"error": {"code": code, "message": message}}, status=status)
