"""Keeps what a contact says of itself as a lead of the tenant."""

from typing import Annotated, Literal

from psycopg.types.json import Jsonb
from pydantic import AfterValidator, BaseModel, Field
from starlette.applications import Starlette

from mcp_servers.app import build_app
from mcp_servers.config import Config
from mcp_servers.errors import InvalidArguments, ToolRefused
from mcp_servers.lead_capture import validation
from mcp_servers.server import ToolServer
from mcp_servers.tool import Arguments, Call, Line, Paragraph, Tool

READ_QUESTIONS = """
select key from qualification_questions
where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s order by position
"""

#: What is not said this time stays as it is. What people have closed, a chatbot does not open again.
STORE_LEAD = """
insert into leads as l (organization_id, contact_id, chatbot_id, name, email, phone, company, need, answers, stage,
                        stage_reason)
values (%(organization_id)s, %(contact_id)s, %(chatbot_id)s, %(name)s, %(email)s, %(phone)s, %(company)s, %(need)s,
        %(answers)s, %(stage)s, %(stage_reason)s)
on conflict (organization_id, contact_id) do update
set chatbot_id = excluded.chatbot_id, name = excluded.name, email = coalesce(excluded.email, l.email),
    phone = coalesce(excluded.phone, l.phone), company = coalesce(excluded.company, l.company),
    need = coalesce(excluded.need, l.need), answers = l.answers || excluded.answers, updated_at = now(),
    stage = case when l.stage in ('won', 'lost') then l.stage else excluded.stage end,
    stage_reason = case when l.stage in ('won', 'lost') then l.stage_reason else excluded.stage_reason end
returning id, created_at = updated_at as is_new, stage, name, email, phone, answers
"""


class LeadArguments(Arguments):
    name: Line = Field(description="The customer's name as they gave it")
    email: Annotated[Line, AfterValidator(validation.email_address)] | None = None
    phone: Annotated[Line, AfterValidator(validation.phone_number)] | None = Field(
        None, description="Only a number other than the one they write from"
    )
    company: Line | None = None
    need: Paragraph | None = Field(None, description="What they want, in a sentence or two")
    answers: dict[Line, Paragraph] = Field({}, description="Answers to the qualification questions, by their keys")
    stage: Literal["new", "qualified", "unqualified"] = Field(
        description="qualified: the answers fit what the business offers; unqualified: they do not; new: not known yet"
    )
    stage_reason: Line = Field(description="Why this stage, from what the customer said")


class Lead(BaseModel):
    is_new: bool
    name: str
    email: str | None
    phone: str | None
    stage: str
    missing_answers: list[str]


def capture_lead(call: Call, arguments: LeadArguments) -> Lead:
    if call.caller.contact_id is None:
        raise ToolRefused("This call is on behalf of no contact, so there is nobody to keep as a lead.")
    keys = [row["key"] for row in call.connection.execute(READ_QUESTIONS, call.parameters)]
    if unknown := set(arguments.answers) - set(keys):
        raise InvalidArguments(f"answers: no question has the key {sorted(unknown)}. Keys: {keys}")
    values = {**call.parameters, **arguments.model_dump(), "answers": Jsonb(arguments.answers)}
    row = call.connection.execute(STORE_LEAD, values).fetchone()
    assert row is not None
    answered = row.pop("answers")
    return Lead(**row, missing_answers=[key for key in keys if key not in answered])


TOOLS = [
    Tool(
        name="capture_lead",
        description="Keep the customer's name and what else they said of themselves, so that the business can follow"
        " up. Use it when a customer gives a name and a way to reach them or what they need; call it again when they"
        " say more. Never invent a value.",
        arguments=LeadArguments,
        run=capture_lead,
        has_effect=True,
    )
]


def build_server(config: Config) -> Starlette:
    instructions = "Leads of the business that the token names."
    return build_app(ToolServer("lead_capture", instructions, TOOLS, config.database_url), config)
