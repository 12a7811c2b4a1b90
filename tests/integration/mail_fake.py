"""A small SMTP server: it takes mail and shows it."""

import asyncio
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage


class FakeMailServer:
    """Listens on 127.0.0.1; `received` is what it took. `refuse` is the answer to RCPT instead of 250."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.refuse: str | None = None
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        started = threading.Event()

        async def serve() -> None:
            self._server = await asyncio.start_server(self._converse, "127.0.0.1", 0)
            started.set()

        def run() -> None:
            self._loop.create_task(serve())
            self._loop.run_forever()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        started.wait(10)
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        self.resource = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "Millrace <alerts@localhost>"}

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 localhost\r\n")
        while line := await reader.readline():
            verb = line.decode("ascii", "replace").strip().upper()
            if verb.startswith("DATA"):
                writer.write(b"354 go on\r\n")
                data = b""
                while (part := await reader.readline()) not in (b".\r\n", b""):
                    data += part.removeprefix(b".") if part.startswith(b"..") else part
                self.received.append(message_from_bytes(data, policy=policy.default))
                writer.write(b"250 taken\r\n")
            elif verb.startswith("RCPT") and self.refuse:
                writer.write(f"{self.refuse}\r\n".encode())
            elif verb.startswith("QUIT"):
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 ok\r\n")
            await writer.drain()
        writer.close()
