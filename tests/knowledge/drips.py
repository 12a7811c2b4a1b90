"""A server that sends what it is told to, and nothing that HTTP asks for."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator


@contextlib.contextmanager
def served(
    answer: Callable[[], Iterable[bytes]], host: str = "127.0.0.1", asked: list[bytes] | None = None
) -> Iterator[int]:
    """The port at which each connection gets `answer`; `asked` has what they began with."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        is_over = threading.Event()

        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                begin = connection.recv(65536)
                if asked is not None:
                    asked.append(begin)
                for piece in answer():
                    if is_over.is_set():
                        return
                    connection.sendall(piece)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=serve, args=[connection], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            is_over.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
