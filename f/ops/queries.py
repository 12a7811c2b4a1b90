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
