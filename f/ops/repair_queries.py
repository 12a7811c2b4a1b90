# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements of what operators do by hand, by name: give back, release, repeat, settle."""

# Hand-off and numbers on hold ---------------------------------------------------------------------

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

# A message ----------------------------------------------------------------------------------------

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

# A reply ------------------------------------------------------------------------------------------

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
