"""A Windmill on its first day, as the job `push` finds it."""

from typing import Any

from fake_windmill import ADMIN, Call, FakeWindmill, Refusal

from docker import push


class NewWindmill(FakeWindmill):
    """A server on its first day: the administrator's password is the one that everybody knows."""

    password = push.FIRST_PASSWORD
    has_storage = True

    def __init__(self) -> None:
        super().__init__()
        self.users.clear()
        self.signed_in = 0

    def answer(self, method: str, target: str, token: str, body: Any) -> Any:
        if (method, target) == ("POST", "/api/auth/login"):
            if body != {"email": push.ADMIN, "password": self.password}:
                raise Refusal(400, "Bad request: Invalid login")
            self.signed_in += 1
            self.users[f"{ADMIN}{self.signed_in}"] = {"email": push.ADMIN, "username": "admin", "super_admin": True}
            return f"{ADMIN}{self.signed_in}"
        if (method, target, token in self.users) == ("POST", "/api/auth/logout", True):
            del self.users[token]
            return "logged out"
        return super().answer(method, target, token, body)

    def _table(self) -> list[Any]:
        ws = "/w/(?P<ws>[^/]+)/workspaces"
        return [
            ("POST", "/users/setpassword", self._set_password),
            ("GET", f"{ws}/get_settings", lambda call, workspace: {"large_file_storage": self.settings.get("storage")}),
            ("POST", f"{ws}/edit_large_file_storage_config", self._set_storage),
            *super()._table(),
        ]

    def _set_password(self, call: Call) -> str:
        self.password = call.body["password"]
        return "password updated"

    def _set_storage(self, call: Call, workspace: Any) -> str:
        if not self.has_storage:
            raise Refusal(400, "Object storage is not available")
        self.settings["storage"] = call.body["large_file_storage"]
        return "edited"
