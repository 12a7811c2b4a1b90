# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements that erase a person, by name."""

#: Who is known by any of these, and whoever turned out to be the same person.
FIND_PERSON = """
with recursive person (id, user_id, wa_id) as (
  select k.id, k.user_id, k.wa_id from contacts k
  where k.organization_id = %(organization_id)s and (k.wa_id = any(%(known_as)s) or k.user_id = any(%(known_as)s))
  union
  select k.id, k.user_id, k.wa_id from contacts k join person p on k.merged_into = p.id
  where k.organization_id = %(organization_id)s
)
select id, user_id, wa_id from person order by id
"""

LOCK_CONTACTS = """
select id from contacts
where organization_id = %(organization_id)s and id = any(%(contact_ids)s) order by id for update
"""

LOCK_CONVERSATIONS = """
select id, lease_fence, coalesce(lease_until > clock_timestamp(), false) as is_leased from conversations
where organization_id = %(organization_id)s and contact_id = any(%(contact_ids)s) order by id for update
"""

#: The runs whose input were the person's messages.
RUNS_OF_MESSAGES = """
select phone_number_id, wamid, job_id from webhook_events
where organization_id = %(organization_id)s and conversation_id = any(%(conversation_ids)s) order by id desc
"""

#: Updates of any kind that name the person: what the owner wrote, changes of number, statuses of what is not ours.
RUNS_OF_UPDATES = """
select distinct job_id from account_events where organization_id = %(organization_id)s and exists (
  select from jsonb_path_query(value, '$.**') as v
  where jsonb_typeof(v) = 'string' and v #>> '{}' = any(%(known_as)s))
"""

#: By what is counted. Rows stay, and what they count; words, names and numbers do not. Meta's ids of messages go as
#: well, since the number is in them; a status that comes late finds its message by our id.
ERASE_PERSON = {
    "alerts": """
update system_alerts a
set details = a.details - 'reason' - 'tried' - 'problems',
    resolved_at = case when a.subject = any(about.ids) then coalesce(a.resolved_at, now()) else a.resolved_at end
from (select array(select unnest(%(conversation_ids)s::uuid[])::text
             union all select o.id::text from outbox o
               where o.organization_id = %(organization_id)s and o.conversation_id = any(%(conversation_ids)s)
             union all select n.id::text from notifications n
               where n.organization_id = %(organization_id)s and n.conversation_id = any(%(conversation_ids)s)
             union all select t.id::text from turns t
               where t.organization_id = %(organization_id)s and t.conversation_id = any(%(conversation_ids)s)
             union all select x.id::text from tool_executions x
               join turns t on (t.organization_id, t.id) = (x.organization_id, x.turn_id)
               where t.organization_id = %(organization_id)s and t.conversation_id = any(%(conversation_ids)s)) as ids
     ) as about
where a.organization_id = %(organization_id)s
  and (a.subject = any(about.ids) or a.details ->> 'conversation_id' = any(about.ids)
       or a.details ->> 'turn_id' = any(about.ids) or a.details ->> 'execution_id' = any(about.ids))
""",
    "tool effects": """
update tool_effects f set result = '{}', request_hash = 'erased'
from tool_executions x join turns t on (t.organization_id, t.id) = (x.organization_id, x.turn_id)
where f.organization_id = %(organization_id)s and (f.organization_id, f.idempotency_key) = (x.organization_id, x.id)
  and t.conversation_id = any(%(conversation_ids)s)
""",
    "tool calls": """
update tool_executions x
set arguments = '{}', result = case when x.result is not null then 'erased' end,
    error = case when x.error is not null then 'erased' end,
    state = case when x.state = 'running' then 'unknown' else x.state end, finished_at = coalesce(x.finished_at, now())
from turns t
where x.organization_id = %(organization_id)s and (t.organization_id, t.id) = (x.organization_id, x.turn_id)
  and t.conversation_id = any(%(conversation_ids)s)
""",
    "messages received": """
update webhook_events
set payload = '{}', wamid = 'erased:' || id, outcome = coalesce(outcome, 'refused'),
    outcome_reason = case when outcome is null or outcome = 'failed' then 'erased' else outcome_reason end,
    settled_at = coalesce(settled_at, now())
where organization_id = %(organization_id)s and conversation_id = any(%(conversation_ids)s)
""",
    "messages": """
update messages
set body = '[erased]', wamid = case when wamid is not null then 'erased:' || id end, note = null, reply_to = null
where organization_id = %(organization_id)s and conversation_id = any(%(conversation_ids)s)
""",
    "replies": """
update outbox
set body = '[erased]', wamid = case when state in ('sending', 'sent', 'uncertain') then 'erased:' || message_id end,
    error = case when error is not null
                 then jsonb_strip_nulls(jsonb_build_object('reason', 'erased', 'code', error -> 'code')) end,
    state = case state when 'pending' then 'dropped' when 'sending' then 'uncertain' else state end,
    settled_at = coalesce(settled_at, now())
where organization_id = %(organization_id)s and conversation_id = any(%(conversation_ids)s)
""",
    "questions without an answer": """
update knowledge_gaps
set question = '[erased]', language = '', embedding = null, embedding_model = null, state = 'erased',
    settled_at = coalesce(settled_at, now())
where organization_id = %(organization_id)s and conversation_id = any(%(conversation_ids)s)
""",
    "turns": """
update turns
set error = case when error is not null then 'erased' end, finished_at = coalesce(finished_at, now()),
    steps = (select coalesce(jsonb_agg(s.step - 'error' order by s.place), '[]')
             from jsonb_array_elements(steps) with ordinality as s (step, place))
where organization_id = %(organization_id)s and conversation_id = any(%(conversation_ids)s)
""",
    "hand-overs": """
update notifications
set reason = '[erased]', error = case when error is not null then 'erased' end,
    state = case when state = 'pending' then 'failed' else state end, settled_at = coalesce(settled_at, now())
where organization_id = %(organization_id)s and conversation_id = any(%(conversation_ids)s)
""",
    "leads": """
update leads
set name = '[erased]', email = null, phone = null, company = null, need = null, answers = '{}',
    stage_reason = '[erased]', updated_at = now()
where organization_id = %(organization_id)s and contact_id = any(%(contact_ids)s)
""",
    "updates": """
update account_events set value = '{}' where organization_id = %(organization_id)s and exists (
  select from jsonb_path_query(value, '$.**') as v
  where jsonb_typeof(v) = 'string' and v #>> '{}' = any(%(known_as)s))
""",
    "conversations": """
update conversations
set mode = 'bot', handover_reason = null, handback_note = null, handover_turn_id = null, waits_until = null,
    lease_fence = lease_fence + 1, lease_holder = null, lease_until = null, erased_at = now()
where organization_id = %(organization_id)s and id = any(%(conversation_ids)s)
""",
    "contacts": """
update contacts set user_id = null, wa_id = null, profile_name = null, erased_at = now()
where organization_id = %(organization_id)s and id = any(%(contact_ids)s)
""",
}

#: When somebody who was known by this was erased last; the record has fingerprints.
ERASED_BEFORE = """
select max(at) as at from audit_log
where organization_id = %(organization_id)s and action = 'erase_person' and new ? 'erased'
  and new -> 'fingerprints' ?| %(fingerprints)s
"""
