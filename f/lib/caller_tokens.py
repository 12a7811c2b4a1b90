# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Who calls a tool server, signed by the caller: the servers believe this and never the model's arguments."""

from dataclasses import asdict, dataclass
from uuid import UUID

from f.lib import signatures
from f.lib.signatures import TokenRefused

#: Seconds that a token for one call is good for.
CALL_SECONDS = 60


@dataclass(frozen=True)
class Caller:
    """On whose behalf a tool is called. Without a contact or conversation, tools that need one refuse."""

    organization_id: str
    chatbot_id: str
    contact_id: str | None = None
    conversation_id: str | None = None
    turn_id: str | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None or name in ("organization_id", "chatbot_id"):
                UUID(value)


def sign(caller: Caller, key: str, seconds: float = CALL_SECONDS) -> str:
    """A token for `caller` that expires in `seconds`. Raises ValueError when the key is too short."""
    return signatures.sign(asdict(caller), key, seconds)


def verify(token: str, key: str) -> Caller:
    """The caller that `token` names. Raises TokenRefused."""
    claims = signatures.verify(token, key)
    try:
        return Caller(**claims)
    except (ValueError, TypeError, AttributeError) as error:
        raise TokenRefused("its claims cannot be read") from error
