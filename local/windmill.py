"""Calls Windmill's API; whatever goes wrong is told in one line."""

from typing import Any

import httpx


class WindmillError(Exception):
    """Windmill refuses or cannot be reached; the message says why. `status` is None where nothing answered."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Windmill:
    """A server, one of its workspaces, and a token. Paths are below `/api`, or below the workspace."""

    def __init__(self, url: str, workspace: str, token: str) -> None:
        self.url = url.rstrip("/")
        self.workspace = workspace
        self.token = token
        try:
            self._client = httpx.Client(
                base_url=f"{self.url}/api", headers={"authorization": f"Bearer {token}"}, timeout=30
            )
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise WindmillError(f"{url}, or the token, cannot be used: {error}") from None

    def path(self, below: str) -> str:
        """A path of the workspace: `/folders/list` is `/w/WORKSPACE/folders/list`."""
        return f"/w/{self.workspace}{below}"

    def get(self, path: str) -> Any:
        response = self._send("GET", path)
        try:
            return response.json()
        except ValueError:
            raise WindmillError(f"GET {path}: {self.url} does not answer as Windmill does") from None

    def post(self, path: str, body: Any, timeout: float = 30) -> str:
        return self._send("POST", path, body, timeout).text

    def delete(self, path: str) -> str:
        return self._send("DELETE", path).text

    def version(self) -> str:
        """What the server says it is. Raises WindmillError where it is no Windmill."""
        version = self._send("GET", "/version").text.strip()
        if not version or "<" in version or len(version) > 100:
            raise WindmillError(f"{self.url} answers, but not as Windmill does: is it the right address?")
        return version

    def _send(self, method: str, path: str, body: Any = None, timeout: float = 30) -> httpx.Response:
        try:
            response = self._client.request(method, path, json=body, timeout=timeout)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise WindmillError(f"Windmill at {self.url} cannot be reached: {error}") from None
        if response.is_redirect:
            raise WindmillError(f"{self.url} leads on to {response.headers.get('location')}: name that address")
        if not response.is_success:
            raise WindmillError(f"{method} {path}: {response.status_code} {response.text[:500]}", response.status_code)
        return response
