"""The people's phones: what they write goes to the gateway, what a business sends appears and is read."""

import re
import time
from dataclasses import replace
from typing import Any

from local.simulator import payloads
from local.simulator.config import Number
from local.simulator.deliveries import Courier, standing
from local.simulator.feed import Feed
from local.simulator.payloads import Person
from local.simulator.rules import GraphError, MarkRead, Send
from local.simulator.store import Store

#: Seconds after a send at which its statuses are due: everyone here looks at their phone at once.
STATUS_SECONDS = {"sent": 0.05, "delivered": 0.4, "read": 1.2}
TYPING_SECONDS = 25
WINDOW_SECONDS = 24 * 3600

#: Who is there at first. The numbers are reserved for fiction; the second person shows a username only.
FIRST_PEOPLE = (
    Person("447700900101", "Alex Morgan", "447700900101", None),
    Person("ES.13990047712083551201", "Lucía Vega", None, "ES.13990047712083551201"),
)

PHONE = re.compile(r"[0-9]{5,20}")
USER_ID = re.compile(r"[A-Z]{2}\.[A-Za-z0-9.]{1,120}")


class UnknownPerson(ValueError):
    """There is no such phone number or user id; the message says what it should look like."""


class Phones:
    """Everyone's phone at once."""

    def __init__(self, store: Store, feed: Feed, courier: Courier) -> None:
        self._store = store
        self._feed = feed
        self._courier = courier
        #: When the typing dots of (person, phone_number_id) go by themselves.
        self._typing: dict[tuple[str, str], float] = {}
        if not store.people():
            for person in FIRST_PEOPLE:
                store.put_person(person)

    def add_person(self, phone: str, user_id: str, name: str) -> Person:
        """Find the person or take them in; what is empty is not known. A name replaces an older one.

        Raises UnknownPerson.
        """
        if USER_ID.fullmatch(phone) and not user_id:
            phone, user_id = "", phone
        digits = re.sub(r"[\s().+-]", "", phone)
        if not digits and not user_id:
            raise UnknownPerson("A phone number with its country code, or a user id such as US.123, is needed.")
        if digits and not PHONE.fullmatch(digits):
            raise UnknownPerson("A phone number has 5 to 20 digits, with the country code.")
        if user_id and not USER_ID.fullmatch(user_id):
            raise UnknownPerson("A user id looks like US.123: two capitals, a dot, letters and digits.")
        known = self._store.person(digits) if digits else None
        same = self._store.person(user_id) if user_id else None
        if same and (known not in (None, same) or (digits and same.wa_id not in (None, digits))):
            raise UnknownPerson(f"The user id {user_id} is {same.name}'s.")
        known = known or same
        if known:
            new = {"name": name, "wa_id": digits, "user_id": user_id}
            person = replace(known, **{field: value for field, value in new.items() if value})
        else:
            key = digits or user_id
            person = Person(key, name or f"Customer {key[-4:]}", digits or None, user_id or None)
        if person != known:
            self._store.put_person(person)
            self._feed.publish("person", person=vars(person))
        return person

    async def write(self, person: Person, number: Number, given: dict[str, Any]) -> dict[str, Any]:
        """Send a message of Meta's shape and wait for the gateway's first answer.

        Returns the wamid, the gateway's HTTP `status` (0: none) and `error`. What is not answered with 200 is tried
        again in the background.
        """
        now = time.time()
        wamid = given.get("id") or payloads.new_wamid(person, inbound=True)
        message = payloads.message_of(person, number, given, wamid, now)
        row = self._row(person, number, "in", wamid, message, now) | {"status": "sent"}
        is_new = self._store.message(wamid) is None
        body = payloads.inbound_delivery(person, number, message)
        [delivery_id] = self._store.add_message(row, [(None, body, now)], person.scoped_id(number))
        if is_new:
            self._show(wamid)
        status, error = await self._courier.deliver(delivery_id)
        return {"wamid": wamid, "status": status, "error": error}

    def receive(
        self, number: Number, send: Send, *, fails_with: GraphError | None = None, statuses: bool = True
    ) -> dict[str, Any]:
        """Take a business's message. Returns Meta's answer to it; raises GraphError.

        `fails_with`: it is accepted, but never reaches the person.
        """
        person = self._addressee(number, send)
        now = time.time()
        last = self._store.last_inbound_at(person.key, number.phone_number_id)
        if send.payload["type"] != "template" and last is not None and last < now - WINDOW_SECONDS:
            raise GraphError(131047, "More than 24 hours have passed since the recipient last wrote to this number.")
        wamid = payloads.new_wamid(person, inbound=False)
        row = self._row(person, number, "out", wamid, send.payload, now)
        row |= {"status": "failed" if fails_with else "accepted", "callback_data": send.callback_data}

        def tell(status: str, seconds: float, errors: list[dict[str, Any]] | None = None) -> tuple[str, bytes, float]:
            at = now + seconds
            body = payloads.status_delivery(person, number, wamid, status, at, send.callback_data, errors)
            return status, body, at

        if fails_with:
            error = fails_with.body()["error"]
            errors = [{"title": error["message"], **{k: error[k] for k in ("code", "message", "error_data")}}]
            bodies = [tell("failed", STATUS_SECONDS["delivered"], errors)]
        else:
            bodies = [tell(status, seconds) for status, seconds in STATUS_SECONDS.items()]
        self._store.add_message(row, bodies if statuses else [], person.scoped_id(number))
        self._courier.look()
        if not fails_with:
            self._typing.pop((person.key, number.phone_number_id), None)
            self._show(wamid)
        contact = {"input": send.given, **({"wa_id": person.wa_id} if send.to else {"user_id": send.recipient})}
        return {"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": wamid}]}

    def mark_read(self, number: Number, call: MarkRead) -> None:
        """Blue ticks up to a message, and typing dots if asked for. Raises GraphError."""
        message = self._store.message(call.wamid)
        if not message:
            return  # of somebody whose deliveries did not come from here
        if message["direction"] != "in" or message["phone_number_id"] != number.phone_number_id:
            raise GraphError(131009, "Parameter 'message_id' is not a message that this number received.")
        person = message["person"]
        for wamid in self._store.read_until(call.wamid):
            if changed := self._store.message(wamid):
                self._feed.publish("status", wamid=wamid, person=person, **standing(changed))
        if call.typing:
            self._typing[person, number.phone_number_id] = time.time() + TYPING_SECONDS
            self._feed.publish("typing", **self._dots(person, number.phone_number_id, TYPING_SECONDS))

    def typing(self) -> list[dict[str, Any]]:
        """Who sees typing dots in which chat, and for how many seconds at most."""
        now = time.time()
        self._typing = {chat: until for chat, until in self._typing.items() if until > now}
        return [self._dots(*chat, until - now) for chat, until in self._typing.items()]

    @staticmethod
    def _dots(person: str, phone_number_id: str, seconds: float) -> dict[str, Any]:
        return {"person": person, "phone_number_id": phone_number_id, "seconds": round(seconds, 1)}

    def _addressee(self, number: Number, send: Send) -> Person:
        if send.to:
            person = self._store.person(send.to)
        else:
            person = self._store.person_known_as(number.phone_number_id, send.recipient or "")
        if person is not None:
            return person
        # Somebody whose deliveries did not come from here, a test's for instance: they have a phone as well.
        try:
            return self.add_person(send.to or "", send.recipient or "", "")
        except UnknownPerson:
            raise GraphError(131026, "The recipient is not on WhatsApp.") from None

    @staticmethod
    def _row(
        person: Person, number: Number, direction: str, wamid: str, message: dict[str, Any], at: float
    ) -> dict[str, Any]:
        return {
            "wamid": wamid,
            "person": person.key,
            "phone_number_id": number.phone_number_id,
            "direction": direction,
            "kind": str(message.get("type") or "unknown"),
            "text": payloads.describe(message),
            "payload": message,
            "at": at,
        }

    def _show(self, wamid: str) -> None:
        if message := self._store.message(wamid):
            self._feed.publish("message", message=shown(message))


def shown(message: dict[str, Any]) -> dict[str, Any]:
    """A stored message as the page and the witness get it, but for the chatbot's slug."""
    names = ("person", "phone_number_id", "direction", "wamid", "kind", "text", "at", "callback_data")
    return {name: message[name] for name in names} | standing(message)
