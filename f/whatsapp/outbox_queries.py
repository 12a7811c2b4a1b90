# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements that send a reply's parts, by name."""

# Parts --------------------------------------------------------------------------------------------

#: By number only if the person's last message showed one: what was their number may be somebody else's by now.
READ_CONTACT = """
select k.user_id, case when k.user_id is null or coalesce(shown.is_number, true) then k.wa_id end as wa_id
from contacts k
left join lateral (select e.payload ->> 'from' is not null as is_number from webhook_events e
                   where e.organization_id = %(organization_id)s and e.conversation_id = %(conversation_id)s
                     and e.outcome is null
                   order by e.sent_at desc, e.received_at desc, e.position desc limit 1) as shown on true
where k.organization_id = %(organization_id)s and k.id = %(contact_id)s
"""

#: The first part that is not settled; a later part waits for it.
NEXT_PART = """
select o.id, o.position, o.body, o.state, o.attempts, o.claimed_at < now() - interval '60 seconds' as abandoned,
       n.held_since is not null as is_held,
       not exists (select from webhook_events e
                   where e.organization_id = %(organization_id)s and e.conversation_id = %(conversation_id)s
                     and e.outcome is null and e.stored_at >= now() - interval '24 hours') as is_too_late
from outbox o
join whatsapp_numbers n on (n.organization_id, n.phone_number_id) = (o.organization_id, %(phone_number_id)s)
where o.organization_id = %(organization_id)s and o.turn_id = %(turn_id)s and o.state in ('pending', 'sending')
order by o.position limit 1
"""

DROP_PARTS = """
update outbox set state = 'dropped', settled_at = now()
where organization_id = %(organization_id)s and turn_id = %(turn_id)s and state = 'pending'
"""

CLAIM_PART = """
update outbox set state = 'sending', attempts = attempts + 1, claimed_at = clock_timestamp()
where organization_id = %(organization_id)s and id = %(outbox_id)s and state = 'pending'
"""

PART_SENT = """
update outbox set state = 'sent', wamid = coalesce(wamid, %(wamid)s), settled_at = now(), error = null
where organization_id = %(organization_id)s and id = %(outbox_id)s and state in ('sending', 'uncertain')
"""

#: Only after an answer that says for certain that nothing was sent.
PART_WAITS = """
update outbox set state = 'pending', error = %(error)s
where organization_id = %(organization_id)s and id = %(outbox_id)s and state = 'sending'
"""

PART_UNCERTAIN = """
update outbox set state = 'uncertain', error = %(error)s, settled_at = now()
where organization_id = %(organization_id)s and id = %(outbox_id)s and state = 'sending'
"""

FAIL_PARTS = """
update outbox set state = 'failed', error = %(error)s, settled_at = now()
where organization_id = %(organization_id)s and turn_id = %(turn_id)s and state in ('pending', 'sending')
  and position >= %(position)s
"""

DELIVERY_OF_TURN = """
select case when count(*) = 0 then 'none' when bool_or(state = 'dropped') then 'dropped'
            when bool_or(state = 'failed') then 'failed'
            when bool_or(state = 'uncertain') then 'uncertain' else 'sent' end as delivery,
       (array_agg(error order by position) filter (where state = 'failed'))[1] ->> 'reason' as reason,
       count(*) filter (where state in ('sent', 'uncertain')) as gone, count(*) as parts,
       (select refusal from turns where organization_id = %(organization_id)s and id = %(turn_id)s) as refusal
from outbox where organization_id = %(organization_id)s and turn_id = %(turn_id)s
"""

# Numbers on hold ----------------------------------------------------------------------------------

#: Whether this is the one reply that tries; the next one may after 1, 2, 4 … minutes, at most an hour.
CLAIM_PROBE = """
update whatsapp_numbers
set probes = probes + 1, probe_at = now() + least(interval '1 minute' * 2 ^ least(probes, 10), interval '1 hour')
where organization_id = %(organization_id)s and phone_number_id = %(phone_number_id)s and probe_at <= now()
returning phone_number_id
"""

#: A number that was released by a probe less than a day ago goes on with the pauses that it had.
HOLD_NUMBER = """
with before as (
  select held_since,
         case when held_since is not null or probe_at > now() - interval '1 day' then probes else 0 end as probes
  from whatsapp_numbers
  where organization_id = %(organization_id)s and phone_number_id = %(phone_number_id)s for update
)
update whatsapp_numbers n
set held_since = coalesce(n.held_since, now()), held_reason = %(held_reason)s,
    probes = case when n.held_since is null then before.probes + 1 else n.probes end,
    probe_at = case when n.held_since is null
                    then now() + least(interval '1 minute' * 2 ^ least(before.probes, 10), interval '1 hour')
                    else n.probe_at end
from before
where n.organization_id = %(organization_id)s and n.phone_number_id = %(phone_number_id)s
returning before.held_since is null as is_new
"""

NUMBER_SENDS = """
update whatsapp_numbers set held_since = null, held_reason = null
where organization_id = %(organization_id)s and phone_number_id = %(phone_number_id)s and held_since is not null
"""
