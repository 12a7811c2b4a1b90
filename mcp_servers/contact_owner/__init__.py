"""Hands a conversation over to a person of the tenant."""

from pydantic import BaseModel, Field
from starlette.applications import Starlette

from mcp_servers.app import build_app
from mcp_servers.config import Config
from mcp_servers.errors import ToolRefused
from mcp_servers.server import ToolServer
from mcp_servers.tool import Arguments, Call, Line, Tool

#: For the time that the chatbot sets (a trigger). The turn that asks still says so; a person who has it keeps it.
HAND_OVER = """
update conversations
set mode = 'person', handed_over_by = case when mode = 'bot' then 'bot' else handed_over_by end,
    handover_reason = case when mode = 'bot' then %(reason)s else handover_reason end,
    handover_turn_id = case when mode = 'bot' then %(turn_id)s else handover_turn_id end
where organization_id = %(organization_id)s and id = %(conversation_id)s
"""

#: One waiting notification for each conversation, however often the model asks.
STORE_NOTIFICATION = """
insert into notifications as n (organization_id, kind, chatbot_id, conversation_id, turn_id, reason, is_urgent)
values (%(organization_id)s, 'handover', %(chatbot_id)s, %(conversation_id)s, %(turn_id)s, %(reason)s, %(is_urgent)s)
on conflict (organization_id, conversation_id, kind) where state = 'pending'
do update set reason = excluded.reason, is_urgent = n.is_urgent or excluded.is_urgent,
    turn_id = coalesce(excluded.turn_id, n.turn_id)
"""


class OwnerArguments(Arguments):
    reason: Line = Field(description="What the customer needs a person for, in one sentence")
    is_urgent: bool = Field(False, description="Only when waiting would harm the customer")


class HandOver(BaseModel):
    handed_over: bool
    note: str


def contact_owner(call: Call, arguments: OwnerArguments) -> HandOver:
    if call.caller.conversation_id is None:
        raise ToolRefused("This call belongs to no conversation, so there is nothing to hand over.")
    values = {**call.parameters, **arguments.model_dump()}
    call.connection.execute(HAND_OVER, values)
    call.connection.execute(STORE_NOTIFICATION, values)
    return HandOver(handed_over=True, note="A person will answer from now on. Tell the customer so; promise no time.")


TOOLS = [
    Tool(
        name="contact_owner",
        description="Hand the conversation to a person of the business, who is notified; you will not answer after this"
        " turn. Use it when the customer asks for a person, complains, or needs what you cannot do.",
        arguments=OwnerArguments,
        run=contact_owner,
        has_effect=True,
    )
]


def build_server(config: Config) -> Starlette:
    instructions = "Reaches the people of the business that the token names."
    return build_app(ToolServer("contact_owner", instructions, TOOLS, config.database_url), config)
