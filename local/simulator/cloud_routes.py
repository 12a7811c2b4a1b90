"""The Cloud API that a business calls, with the failures that were ordered."""

import asyncio
import json
import socket
import struct

from aiohttp import web

from local.simulator.config import Number
from local.simulator.faults import Fault, Faults
from local.simulator.numbers import Numbers
from local.simulator.phones import Phones
from local.simulator.rules import GraphError, MarkRead, Send, parse_call

HTML = "<!DOCTYPE html><html><head><title>Sorry, something went wrong.</title></head><body>%d</body></html>"


class CloudRoutes:
    """Sending, and what a business asks when it connects a number; anything else is an error of Meta's."""

    def __init__(self, numbers: Numbers, phones: Phones, faults: Faults) -> None:
        self._numbers = numbers
        #: Accounts whose events the app gets.
        self._subscribed: set[str] = set()
        self._phones = phones
        self._faults = faults

    def add_to(self, app: web.Application) -> None:
        app.router.add_post(r"/{version:v\d+\.\d+}/{phone_number_id}/messages", self.call)
        app.router.add_get(r"/{version:v\d+\.\d+}/{phone_number_id:\d+}", self.show)
        app.router.add_get(r"/{version:v\d+\.\d+}/{waba_id:\d+}/phone_numbers", self.list_numbers)
        app.router.add_route("*", r"/{version:v\d+\.\d+}/{waba_id:\d+}/subscribed_apps", self.subscriptions)
        app.router.add_route("*", r"/{version:v\d+\.\d+}/{path:.*}", self.unknown)

    async def call(self, request: web.Request) -> web.StreamResponse:
        """Send a message, or mark one as read."""
        try:
            number = self._number(request)
            try:
                call = parse_call(await request.json())
            except (json.JSONDecodeError, UnicodeDecodeError):
                raise GraphError(100, "The body must be JSON.") from None
            on = "read" if isinstance(call, MarkRead) else "send"
            person = None if isinstance(call, MarkRead) else call.to or call.recipient
            fault = self._faults.take(on, number.phone_number_id, person)
            return await self._fail(request, number, call, fault) if fault else self._answer(number, call)
        except GraphError as error:
            return web.json_response(error.body(), status=error.status)

    async def show(self, request: web.Request) -> web.Response:
        """A number, as whoever connects it sees it."""
        try:
            number = self._number(request)
        except GraphError as error:
            return web.json_response(error.body(), status=error.status)
        return web.json_response(_shown(number))

    async def list_numbers(self, request: web.Request) -> web.Response:
        try:
            numbers = self._account(request)
        except GraphError as error:
            return web.json_response(error.body(), status=error.status)
        return web.json_response({"data": [_shown(number) for number in numbers], "paging": {"cursors": {}}})

    async def subscriptions(self, request: web.Request) -> web.Response:
        """Which app gets the account's events: ours, once it was asked for."""
        waba_id = request.match_info["waba_id"]
        try:
            self._account(request)
        except GraphError as error:
            return web.json_response(error.body(), status=error.status)
        if request.method == "GET":
            data = [{"whatsapp_business_api_data": {"name": "Simulated"}}] if waba_id in self._subscribed else []
            return web.json_response({"data": data})
        (self._subscribed.add if request.method == "POST" else self._subscribed.discard)(waba_id)
        return web.json_response({"success": True})

    async def unknown(self, request: web.Request) -> web.Response:
        error = GraphError(2500, f"Unknown path components: /{request.match_info['path']}")
        return web.json_response(error.body(), status=400)

    def _account(self, request: web.Request) -> list[Number]:
        """The numbers of the account in the address, as far as the token reaches. Raises GraphError."""
        wanted = request.match_info["waba_id"]
        numbers = [number for number in self._allowed(request) if number.waba_id == wanted]
        if not numbers:
            details = f"Object with ID '{wanted}' does not exist or cannot be loaded due to missing permissions."
            raise GraphError(100, details, subcode=33)
        return numbers

    def _allowed(self, request: web.Request) -> list[Number]:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        fits = self._numbers.with_token(token)
        if scheme.casefold() != "bearer" or not fits:
            raise GraphError(190, "The access token is missing, or no number's.")
        return fits

    def _number(self, request: web.Request) -> Number:
        """The number in the address, if the token is its own. Raises GraphError."""
        fits = self._allowed(request)
        wanted = request.match_info["phone_number_id"]
        # Meta does not tell what does not exist from what the token may not see.
        number = next((number for number in fits if number.phone_number_id == wanted), None)
        if number is None:
            details = f"Object with ID '{wanted}' does not exist or cannot be loaded due to missing permissions."
            raise GraphError(100, details, subcode=33)
        return number

    def _answer(self, number: Number, call: Send | MarkRead) -> web.Response:
        if isinstance(call, MarkRead):
            self._phones.mark_read(number, call)
            return web.json_response({"success": True})
        return web.json_response(self._phones.receive(number, call))

    async def _fail(
        self, request: web.Request, number: Number, call: Send | MarkRead, fault: Fault
    ) -> web.StreamResponse:
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
            return self._answer(number, call)
        if fault.kind == "error":
            raise GraphError(fault.code, "A failure that was ordered.", status=fault.status)
        if fault.kind == "html":
            status = fault.status or 502
            return web.Response(text=HTML % status, content_type="text/html", status=status)
        if fault.kind == "reset":
            return reset(request)
        if isinstance(call, MarkRead):
            answer = self._answer(number, call)
        else:
            fails_with = GraphError(fault.code, "A failure that was ordered.") if fault.kind == "failed" else None
            taken = self._phones.receive(number, call, fails_with=fails_with, statuses=fault.statuses)
            answer = web.json_response(taken)
        if fault.kind == "late":
            await asyncio.sleep(fault.seconds)
        return reset(request) if fault.kind == "lost" else answer


def _shown(number: Number) -> dict[str, str]:
    return {
        "id": number.phone_number_id,
        "display_phone_number": number.display_phone_number,
        "verified_name": number.name,
        "quality_rating": "GREEN",
    }


def reset(request: web.Request) -> web.Response:
    """Break the connection as a crash would: no answer, and the caller's next read fails."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()
