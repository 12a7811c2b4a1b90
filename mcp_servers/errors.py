"""What a tool server answers instead of a result, in two channels.

`ForModel` is read by the model, which can do something about it. Every other `Refusal` is for
whoever operates the caller or the server; a model is only told that the tool is not available.
"""


class Refusal(Exception):
    """A request that is not served. The text is public: nothing of the request is in it."""

    status: int
    code: str

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class ForModel(Refusal):
    """Something that another call, or a question to the customer, may put right."""

    status = 422


class InvalidArguments(ForModel):
    """The arguments do not fit the tool's schema."""

    code = "invalid_arguments"


class ToolRefused(ForModel):
    """The tool cannot do what was asked."""

    code = "refused"


class Unauthorized(Refusal):
    """A bearer token is needed."""

    status, code = 401, "unauthorized"


class ForeignHost(Refusal):
    """This server does not answer to that host name."""

    status, code = 421, "foreign_host"


class ForeignOrigin(Refusal):
    """Pages of that origin may not call this server."""

    status, code = 403, "foreign_origin"


class UnknownTool(Refusal):
    """There is no such tool."""

    status, code = 404, "unknown_tool"


class MalformedRequest(Refusal):
    """The body must be a JSON object, and Idempotency-Key a UUID."""

    status, code = 400, "malformed"


class BodyTooLarge(Refusal):
    """The body is larger than 64 KiB."""

    status, code = 413, "body_too_large"


class KeyReused(Refusal):
    """The idempotency key belongs to another call."""

    status, code = 409, "key_reused"


class Unavailable(Refusal):
    """The server cannot work at the moment; nothing was done."""

    status, code = 503, "unavailable"


class InternalError(Refusal):
    """The server failed; its log says more."""

    status, code = 500, "internal_error"
