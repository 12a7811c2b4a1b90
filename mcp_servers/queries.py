"""Statements that every tool server uses."""

#: Whether what a token names exists and may be served.
CALLER_KNOWN = """
select c.is_active
  and (%(contact_id)s::uuid is null or exists (
    select from contacts where organization_id = %(organization_id)s and id = %(contact_id)s))
  and (%(conversation_id)s::uuid is null or exists (
    select from conversations where organization_id = %(organization_id)s and id = %(conversation_id)s
      and chatbot_id = c.id and contact_id = %(contact_id)s)) as known
from chatbots c where c.organization_id = %(organization_id)s and c.id = %(chatbot_id)s
"""

#: Waits for another transaction that holds the key.
CLAIM_KEY = """
insert into tool_effects (organization_id, idempotency_key, request_hash)
values (%(organization_id)s, %(key)s, %(request_hash)s) on conflict do nothing returning 1 as claimed
"""

READ_EFFECT = """
select request_hash, result from tool_effects
where organization_id = %(organization_id)s and idempotency_key = %(key)s
"""

STORE_EFFECT = """
update tool_effects set result = %(result)s
where organization_id = %(organization_id)s and idempotency_key = %(key)s
"""
