# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements of the operators' scripts, by name."""

STRANDED = "select organization_id, conversation_id from stranded_conversations(interval '20 seconds', %(most)s)"

#: The fence moves on, so that the run's id is a new one and whoever held the lease can write no more.
RESUME_CONVERSATION = """
update conversations set resumed_at = now(), lease_fence = lease_fence + 1, lease_holder = null, lease_until = null
where organization_id = %(organization_id)s and id = %(conversation_id)s
  and (lease_holder is null or lease_until < clock_timestamp())
returning lease_fence
"""

STUCK_SENDS = "select organization_id, outbox_id from stuck_sends(interval '60 seconds', %(most)s)"

ROUTE_NUMBER = "select organization_id, app_id from route_number(%(phone_number_id)s)"

EVENT_KNOWN = """
select 1 as known from webhook_events
where organization_id = %(organization_id)s and phone_number_id = %(phone_number_id)s and wamid = %(wamid)s
"""

# Runs that ended without success --------------------------------------------------------------------

#: Which of these are new: each is remembered once.
REMEMBER_RUNS = """
insert into failed_runs (job_id, path, created_at)
select job_id, %(path)s, created_at
from unnest(%(job_ids)s::uuid[], %(created_at)s::timestamptz[]) as r (job_id, created_at)
on conflict do nothing returning job_id
"""

DUE_RUNS = """
select job_id, created_at, attempts from failed_runs
where path = %(path)s and settled is null and next_at <= now() order by next_at limit %(most)s
"""

SETTLE_RUN = "update failed_runs set settled = %(reason)s where job_id = %(job_id)s"

#: Again after 1, 2, 4 … minutes.
RUN_REPEATED = """
update failed_runs set attempts = attempts + 1, next_at = now() + interval '1 minute' * 2 ^ least(attempts, 10)
where job_id = %(job_id)s
"""

#: A run that repeats another one is an attempt of that one, and is not repeated itself.
REMEMBER_REPETITION = """
insert into failed_runs (job_id, path, created_at, settled)
values (%(repetition_id)s, %(path)s, now(), 'a repetition') on conflict do nothing
"""

FORGET_RUNS = "delete from failed_runs where created_at < now() - interval '3 days'"

# Hand-off and numbers on hold -----------------------------------------------------------------------

FIND_CONVERSATIONS = """
select organization_id, conversation_id from find_conversations(%(conversation_id)s, %(contact)s)
"""

READ_MODE = """
select v.id as conversation_id, v.organization_id, v.mode, v.phone_number_id, k.profile_name
from conversations v join contacts k on (k.organization_id, k.id) = (v.organization_id, v.contact_id)
where v.organization_id = %(organization_id)s and v.id = %(conversation_id)s
"""

HAND_BACK = """
update conversations
set mode = 'bot', handed_back_at = now(), handed_back_by = 'operator', handback_note = %(note)s, handover_turn_id = null
where organization_id = %(organization_id)s and id = %(conversation_id)s and mode = 'person'
returning id
"""

RELEASE_NUMBER = """
update whatsapp_numbers set held_since = null, held_reason = null, probe_at = null, probes = 0
where organization_id = %(organization_id)s and phone_number_id = %(phone_number_id)s and held_since is not null
returning phone_number_id
"""

COUNT_WAITING = """
select count(distinct e.conversation_id) as waiting
from webhook_events e join conversations c on (c.organization_id, c.id) = (e.organization_id, e.conversation_id)
where e.organization_id = %(organization_id)s and c.phone_number_id = %(phone_number_id)s and e.outcome is null
"""

# Messages without an outcome --------------------------------------------------------------------

OVERDUE_MESSAGES = """
select organization_id, event_id, conversation_id from overdue_messages(interval '3 minutes', %(most)s)
"""

SETTLED_MESSAGES = "select organization_id, event_id from settled_messages(%(most)s)"

IS_OPEN = """
select 1 as is_open from webhook_events
where organization_id = %(organization_id)s and id = %(event_id)s and outcome is null
"""

# Telling people ---------------------------------------------------------------------------------

#: Which channels may be used now, and what each has not been told.
DUE_NOTICES = """
select channel_id, channel_organization_id, source, item_id, organization_id
from due_notices(%(severities)s, %(again_after)s, %(rest)s, %(most)s)
"""

#: Nobody else uses the channel meanwhile; when this process dies, it is used again after a while.
CLAIM_CHANNEL = """
update alert_channels set next_at = now() + interval '2 minutes'
where id = %(channel_id)s and is_enabled and next_at <= now()
returning id as channel_id, organization_id as channel_organization_id, kind, target, failures
"""

CHANNEL_TOLD = """
update alert_channels set next_at = now(), told_at = now(), failures = 0, error = null where id = %(channel_id)s
"""

#: After 1, 2, 4, 8 … minutes, an hour at most.
CHANNEL_FAILED = """
update alert_channels
set failures = failures + 1, error = %(error)s,
    next_at = now() + least(2 ^ least(failures, 6), 60) * interval '1 minute'
where id = %(channel_id)s
returning failures
"""

READ_ALERTS = """
select a.id, a.kind, a.subject, a.details, a.occurrences, a.first_at, a.last_at, a.resolved_at, o.slug as organization
from system_alerts a left join organizations o on o.organization_id = a.organization_id
where a.id = any(%(item_ids)s)
"""

READ_HANDOVERS = """
select n.id, n.reason, n.is_urgent, n.created_at, n.conversation_id, c.name as chatbot, p.profile_name as customer,
       o.slug as organization
from notifications n
join organizations o on o.organization_id = n.organization_id
join chatbots c on (c.organization_id, c.id) = (n.organization_id, n.chatbot_id)
join conversations v on (v.organization_id, v.id) = (n.organization_id, n.conversation_id)
join contacts p on (p.organization_id, p.id) = (v.organization_id, v.contact_id)
where n.organization_id = %(organization_id)s and n.id = any(%(item_ids)s)
"""

STORE_NOTICE = """
insert into notices (organization_id, channel_id, source, item_id, state)
values (%(channel_organization_id)s, %(channel_id)s, %(source)s, %(item_id)s, %(state)s)
on conflict (channel_id, source, item_id)
do update set state = excluded.state, told_at = now(), times = notices.times + 1
"""

HANDOVER_TOLD = """
update notifications set state = 'delivered', settled_at = now(), attempts = attempts + 1, error = null
where organization_id = %(organization_id)s and id = %(item_id)s and state = 'pending'
"""

HANDOVER_NOT_TOLD = """
update notifications set attempts = attempts + 1, error = %(error)s
where organization_id = %(organization_id)s and id = %(item_id)s and state = 'pending'
"""

UNTOLD_HANDOVERS = """
select organization_id, notification_id, is_over from untold_handovers(interval '10 minutes', %(most)s)
"""

HANDOVER_FAILED = """
update notifications set state = 'failed', settled_at = now(), error = coalesce(error, 'no channel')
where organization_id = %(organization_id)s and id = %(notification_id)s and state = 'pending'
"""

# What operators do with a message or a reply ------------------------------------------------------

#: By its number in the ledger, or by Meta's id.
FIND_EVENT = """
select id as event_id, conversation_id from webhook_events
where organization_id = %(organization_id)s and (id = %(event_id)s or wamid = %(wamid)s) order by id limit 1
"""

#: Whoever begins, goes on with or ends a turn waits until the transaction ends.
LOCK_CONVERSATION = """
select v.id as conversation_id, v.mode, v.erased_at is not null as is_erased, c.is_active,
       coalesce(v.lease_until > clock_timestamp(), false) as is_leased
from conversations v join chatbots c on (c.organization_id, c.id) = (v.organization_id, v.chatbot_id)
where v.organization_id = %(organization_id)s and v.id = %(conversation_id)s for update of v
"""

#: `is_text`: the model would read something; `is_silent`: nobody waits for an answer to a message of its kind;
#: `is_answered`: the customer has, or may have, seen something of a reply.
READ_EVENT = """
select e.id as event_id, e.outcome, e.turn_id,
       e.outcome = 'refused' and e.outcome_reason !~ '^(limit: |quota: |chatbot is not active$)' as is_silent,
       e.stored_at < now() - interval '24 hours' as is_too_late,
       exists (select from messages m
               where (m.organization_id, m.conversation_id, m.wamid) = (e.organization_id, e.conversation_id, e.wamid)
                 and m.direction = 'in' and m.revoked_at is null) as is_text,
       exists (select from outbox o
               where (o.organization_id, o.turn_id) = (e.organization_id, e.turn_id)
                 and (o.state in ('sending', 'sent', 'uncertain') or o.delivery_status is not null)) as is_answered
from webhook_events e where e.organization_id = %(organization_id)s and e.id = %(event_id)s
"""

#: The message, and those that were to be answered with it.
REOPEN_EVENTS = """
update webhook_events e set outcome = null, outcome_reason = null, settled_at = null, turn_id = null
where e.organization_id = %(organization_id)s and e.conversation_id = %(conversation_id)s and e.outcome is not null
  and (e.id = %(event_id)s or e.turn_id = %(turn_id)s)
  and exists (select from messages m
              where (m.organization_id, m.conversation_id, m.wamid) = (e.organization_id, e.conversation_id, e.wamid)
                and m.direction = 'in' and m.revoked_at is null)
returning e.id
"""

TAKE_UNROUTED = """
select organization_id, app_id, waba_id, job_id, place, payload, received_at
from take_unrouted(%(phone_number_id)s, %(most)s)
"""

#: It waits since it came, not since it found its place: WhatsApp's 24 hours count from then.
DATE_BACK = """
update webhook_events set stored_at = received_at
where organization_id = %(organization_id)s and phone_number_id = %(phone_number_id)s and wamid = %(wamid)s
"""

FIND_REPLY = """
select conversation_id from outbox where organization_id = %(organization_id)s and id = %(reply_id)s
"""

READ_REPLY = """
select o.state, o.turn_id, o.position, t.finished_at is null as is_open,
       exists (select from turns n
               where (n.organization_id, n.conversation_id) = (t.organization_id, t.conversation_id)
                 and n.started_at > t.started_at) as has_newer,
       not exists (select from webhook_events e
                   where (e.organization_id, e.turn_id) = (t.organization_id, t.id)
                     and e.stored_at >= now() - interval '24 hours') as is_too_late
from outbox o join turns t on (t.organization_id, t.id) = (o.organization_id, o.turn_id)
where o.organization_id = %(organization_id)s and o.id = %(reply_id)s
"""

SETTLE_REPLY = """
update outbox set state = %(state)s, error = %(error)s, settled_at = now()
where organization_id = %(organization_id)s and id = %(reply_id)s and state = 'uncertain'
"""

#: After a person settled a part of a reply: its messages' outcome as the turn's end would have set it.
RESETTLE_EVENTS = """
update webhook_events
set outcome = case when %(outcome)s = 'failed' then 'failed' else outcome end, outcome_reason = %(outcome_reason)s
where organization_id = %(organization_id)s and turn_id = %(turn_id)s and outcome in ('answered', 'merged')
"""

#: This part and those after it that were not sent.
REOPEN_PARTS = """
update outbox set state = 'pending', error = null, settled_at = null
where organization_id = %(organization_id)s and turn_id = %(turn_id)s and state = 'failed'
  and position >= %(position)s and delivery_status is null
returning id
"""

REOPEN_TURN = """
update turns set finished_at = null, error = null where organization_id = %(organization_id)s and id = %(turn_id)s
"""

REOPEN_EVENTS_OF_TURN = """
update webhook_events set outcome = null, outcome_reason = null, settled_at = null
where organization_id = %(organization_id)s and turn_id = %(turn_id)s
"""

# Trying a prompt ----------------------------------------------------------------------------------

#: A turn of the past, with what its messages were.
READ_PAST_TURN = """
select t.id as turn_id, t.conversation_id, v.chatbot_id, v.phone_number_id, v.erased_at is not null as is_erased,
       t.model, t.error, t.started_at
from turns t join conversations v on (v.organization_id, v.id) = (t.organization_id, t.conversation_id)
where t.organization_id = %(organization_id)s and t.id = %(turn_id)s
"""

READ_PAST_ASKED = """
select m.body, m.note, left(q.body, 500) as quoted, m.revoked_at is not null as is_revoked
from webhook_events e
join messages m on (m.organization_id, m.conversation_id, m.wamid) = (e.organization_id, e.conversation_id, e.wamid)
                  and m.direction = 'in'
left join lateral (select q.body from messages q
                   where (q.organization_id, q.conversation_id, q.wamid)
                         = (m.organization_id, m.conversation_id, m.reply_to) and q.revoked_at is null
                   limit 1) as q on true
where e.organization_id = %(organization_id)s and e.turn_id = %(turn_id)s
order by e.sent_at, e.received_at, e.position, e.id
"""

#: What had been said and dealt with when the turn began, without what nobody saw.
READ_PAST_HISTORY = """
select direction, author, body, note, received_at, is_revoked, quoted
from (
  select m.direction, m.author, m.body, m.note, m.received_at, m.revoked_at is not null as is_revoked, m.sent_at,
         m.position,
         (select left(q.body, 500) from messages q
          where (q.organization_id, q.conversation_id, q.wamid) = (m.organization_id, m.conversation_id, m.reply_to)
            and q.revoked_at is null limit 1) as quoted
  from messages m
  where m.organization_id = %(organization_id)s and m.conversation_id = %(conversation_id)s
    and m.turn_id is distinct from %(turn_id)s
    and case m.direction
        when 'out' then m.received_at <= %(started_at)s
        else exists (select from webhook_events e
                     where (e.organization_id, e.phone_number_id, e.wamid)
                           = (m.organization_id, %(phone_number_id)s, m.wamid)
                       and e.settled_at <= %(started_at)s and e.turn_id is distinct from %(turn_id)s) end
    and not exists (select from outbox o
                    where (o.organization_id, o.turn_id, o.position) = (m.organization_id, m.turn_id, m.position)
                      and m.direction = 'out' and o.state in ('failed', 'dropped'))
  order by m.sent_at desc, m.received_at desc, m.position desc limit %(most)s
) as latest order by sent_at, received_at, position
"""

READ_PAST_REPLY = """
select string_agg(body, E'\n' order by position) as reply from outbox
where organization_id = %(organization_id)s and turn_id = %(turn_id)s
"""

# Erasing a person ---------------------------------------------------------------------------------

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

# Health -------------------------------------------------------------------------------------------

SCHEMA_VERSION = "select max(version) as version from schema_migrations"

HEALTH_FIGURES = "select name, amount, since from health_figures()"

MODELS_IN_USE = "select provider, resource_path from models_in_use()"
