"""The Cloud API that a business calls, with the failures that were ordered."""

import asyncio
import json
import secrets
import socket
import struct

from aiohttp import web

from local.simulator.config import Config, Number
from local.simulator.faults import Fault, Faults
from local.simulator.phones import Phones
from local.simulator.rules import GraphError, MarkRead, Send, parse_call

HTML = "<!DOCTYPE html><html><head><title>Sorry, something went wrong.</title></head><body>%d</body></html>"


class CloudRoutes:
    """`POST /{version}/{phone_number_id}/messages`; anything else below a version is an error of Meta's."""

    def __init__(self, config: Config, phones: Phones, faults: Faults) -> None:
        self._numbers = {number.phone_number_id: number for number in config.numbers}
        self._phones = phones
        self._faults = faults

    def add_to(self, app: web.Application) -> None:
        app.router.add_post(r"/{version:v\d+\.\d+}/{phone_number_id}/messages", self.call)
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

    async def unknown(self, request: web.Request) -> web.Response:
        error = GraphError(2500, f"Unknown path components: /{request.match_info['path']}")
        return web.json_response(error.body(), status=400)

    def _number(self, request: web.Request) -> Number:
        """The number in the address, if the token is its own. Raises GraphError."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        fits = [n for n in self._numbers.values() if secrets.compare_digest(n.access_token.encode(), token.encode())]
        if scheme.casefold() != "bearer" or not fits:
            raise GraphError(190, "The access token is missing, or no number's.")
        wanted = request.match_info["phone_number_id"]
        # Meta does not tell what does not exist from what the token may not see.
        if not any(number.phone_number_id == wanted for number in fits):
            details = f"Object with ID '{wanted}' does not exist or cannot be loaded due to missing permissions."
            raise GraphError(100, details, subcode=33)
        return self._numbers[wanted]

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


def reset(request: web.Request) -> web.Response:
    """Break the connection as a crash would: no answer, and the caller's next read fails."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()
