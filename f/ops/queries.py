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
