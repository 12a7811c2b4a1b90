# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements that keep what comes in, by name: messages, statuses, other updates, what people of the business write."""

# Whose it is --------------------------------------------------------------------------------------

#: Whose number it is and which Meta app signs for it.
ROUTE_NUMBER = "select organization_id, app_id from route_number(%(phone_number_id)s)"

ROUTE_NUMBERS = """
select n.phone_number_id, r.organization_id, r.app_id
from unnest(%(phone_number_ids)s::text[]) as n (phone_number_id) cross join lateral route_number(n.phone_number_id) as r
"""

ROUTE_ACCOUNTS = """
select a.waba_id, route_waba(a.waba_id, %(app_id)s) as organization_id
from unnest(%(waba_ids)s::text[]) as a (waba_id)
"""

STORE_UNROUTED = """
insert into unrouted_events (job_id, position, reason, phone_number_id, waba_id, app_id, field, payload, received_at)
values (%(job_id)s, %(position)s, %(reason)s, %(phone_number_id)s, %(waba_id)s, %(app_id)s, %(field)s, %(payload)s,
        %(received_at)s)
on conflict do nothing
"""

FIND_CHATBOT = """
select c.id as chatbot_id, c.is_active
from whatsapp_numbers n join chatbots c on (c.organization_id, c.id) = (n.organization_id, n.chatbot_id)
where n.phone_number_id = %(phone_number_id)s
"""

# Messages -----------------------------------------------------------------------------------------

#: A hand-over whose time is over ends with the next message.
OPEN_CONVERSATION = """
insert into conversations as v (organization_id, chatbot_id, phone_number_id, contact_id)
values (%(organization_id)s, %(chatbot_id)s, %(phone_number_id)s, %(contact_id)s)
on conflict (organization_id, phone_number_id, contact_id) do update
set chatbot_id = excluded.chatbot_id,
    mode = case when v.handed_over_until <= now() then 'bot' else v.mode end,
    handed_back_at = case when v.mode = 'person' and v.handed_over_until <= now() then v.handed_over_until
                          else v.handed_back_at end,
    handed_back_by = case when v.mode = 'person' and v.handed_over_until <= now() then 'time'
                          else v.handed_back_by end,
    handback_note = case when v.mode = 'person' and v.handed_over_until <= now() then null else v.handback_note end
returning id, mode, erased_at is not null as is_erased
"""

STORE_EVENT = """
insert into webhook_events (organization_id, phone_number_id, wamid, conversation_id, job_id, kind, payload, position,
                            sent_at, received_at, outcome, outcome_reason, settled_at)
values (%(organization_id)s, %(phone_number_id)s, %(wamid)s, %(conversation_id)s, %(job_id)s, %(kind)s, %(payload)s,
        %(position)s, %(sent_at)s, %(received_at)s, %(outcome)s, %(outcome_reason)s,
        case when %(outcome)s::text is not null then now() end)
on conflict (organization_id, phone_number_id, wamid) do nothing returning id
"""

STORE_MESSAGE = """
insert into messages (organization_id, conversation_id, direction, author, wamid, body, note, reply_to, sent_at,
                      received_at, position)
values (%(organization_id)s, %(conversation_id)s, 'in', 'contact', %(wamid)s, %(text)s, %(note)s, %(reply_to)s,
        %(sent_at)s, %(received_at)s, %(position)s)
"""

#: By its author: a customer deletes what came in, the owner what people of the business wrote.
REVOKE_MESSAGE = """
update messages set revoked_at = coalesce(revoked_at, now())
where organization_id = %(organization_id)s and conversation_id = %(conversation_id)s and wamid = %(reply_to)s
  and author = %(author)s
"""

FIND_EVENT = """
select conversation_id, outcome, outcome_reason from webhook_events
where organization_id = %(organization_id)s and phone_number_id = %(phone_number_id)s and wamid = %(wamid)s
"""

# Statuses and other updates -----------------------------------------------------------------------

#: Each by the id that we gave the message, or by Meta's; of several about one message the furthest counts. A status
#: never goes back. It settles a call in doubt, and one that Meta answered with "later" although the message went out.
APPLY_STATUSES = """
with given as materialized (
  select * from jsonb_to_recordset(%(statuses)s)
    as g (position integer, phone_number_id text, outbox_id uuid, wamid text, status text, rank integer,
          at timestamptz, error jsonb)
), meant as materialized (
  select g.*, coalesce(by_id.id, by_wamid.id) as id
  from given g
  left join lateral (
    select o.id from outbox o join conversations c on (c.organization_id, c.id) = (o.organization_id, o.conversation_id)
    where o.organization_id = %(organization_id)s and o.id = g.outbox_id and c.phone_number_id = g.phone_number_id
  ) as by_id on true
  left join lateral (
    select o.id from outbox o join conversations c on (c.organization_id, c.id) = (o.organization_id, o.conversation_id)
    where o.organization_id = %(organization_id)s and o.wamid = g.wamid and c.phone_number_id = g.phone_number_id
    limit 1
  ) as by_wamid on by_id.id is null
), furthest as (
  select distinct on (id) * from meant where id is not null order by id, rank desc, position desc
), locked as materialized (
  select id, state, coalesce(array_position(array['sent', 'delivered', 'read', 'failed'], delivery_status), 0) as rank
  from outbox where organization_id = %(organization_id)s and id in (select id from furthest) order by id for update
), applied as (
  update outbox o
  set delivery_status = case when f.rank > l.rank then f.status else o.delivery_status end,
      delivery_status_at = case when f.rank > l.rank then f.at else o.delivery_status_at end,
      state = case when o.state in ('pending', 'sending', 'uncertain', 'dropped') then 'sent' else o.state end,
      error = case when f.status = 'failed' then f.error else o.error end,
      settled_at = coalesce(o.settled_at, now()), wamid = coalesce(o.wamid, f.wamid)
  from furthest f join locked l on l.id = f.id
  where o.organization_id = %(organization_id)s and o.id = f.id
  returning o.id, o.wamid, f.position, f.rank > l.rank as is_news, l.state = 'uncertain' as was_uncertain
)
select m.position, a.id, m.position = a.position as is_furthest, a.is_news, a.was_uncertain
from meant m join applied a on a.id = m.id
"""

COPY_WAMIDS = """
update messages m set wamid = o.wamid from outbox o
where o.organization_id = %(organization_id)s and o.id = any(%(outbox_ids)s)
  and (m.organization_id, m.id) = (o.organization_id, o.message_id) and m.wamid is distinct from o.wamid
"""

STORE_ACCOUNT_EVENT = """
insert into account_events (organization_id, job_id, position, phone_number_id, waba_id, field, value, received_at)
values (%(organization_id)s, %(job_id)s, %(position)s, %(phone_number_id)s, %(waba_id)s, %(field)s, %(payload)s,
        %(received_at)s)
on conflict do nothing
"""

# Hand-off -----------------------------------------------------------------------------------------

#: Once, and not what we sent ourselves.
STORE_ECHO = """
insert into messages (organization_id, conversation_id, direction, author, wamid, body, note, reply_to, sent_at,
                      received_at, position)
select %(organization_id)s, %(conversation_id)s, 'out', 'person', %(wamid)s, %(text)s, %(note)s, %(reply_to)s,
       %(sent_at)s, %(received_at)s, %(position)s
where not exists (select from outbox where organization_id = %(organization_id)s and wamid = %(wamid)s)
on conflict do nothing returning id
"""

CORRECT_ECHO = """
update messages set body = %(text)s
where organization_id = %(organization_id)s and conversation_id = %(conversation_id)s and wamid = %(reply_to)s
  and author = 'person'
"""

#: A person wrote: for the chatbot's time from now, or longer if it was said so. Unless an operator gave it back since.
HAND_OVER = """
update conversations v
set mode = 'person',
    handed_over_at = case when v.mode = 'person' and v.handed_over_until > now() then v.handed_over_at
                          else %(at)s end,
    handed_over_by = case when v.mode = 'person' and v.handed_over_until > now() then v.handed_over_by
                          else 'person' end,
    handover_reason = case when v.mode = 'person' and v.handed_over_until > now() then v.handover_reason
                           else %(reason)s end,
    handed_over_until = greatest(case when v.mode = 'person' then v.handed_over_until end,
                                 now() + c.handoff_minutes * interval '1 minute'),
    handover_turn_id = null
from chatbots c
where v.organization_id = %(organization_id)s and v.id = %(conversation_id)s
  and (c.organization_id, c.id) = (v.organization_id, v.chatbot_id)
  and (v.handed_back_by is distinct from 'operator' or v.handed_back_at < %(at)s)
returning v.lease_holder is null or v.lease_until < clock_timestamp() as is_idle
"""

HAND_OVER_EVENTS = """
update webhook_events set outcome = 'handed_over', outcome_reason = 'a person answers', settled_at = now()
where organization_id = %(organization_id)s and conversation_id = %(conversation_id)s and outcome is null
"""

#: What waits while no run works on the conversation is the person's now, and stays so when the bot is back.
DROP_WAITING = """
with dropped as (
  update outbox o set state = 'dropped', settled_at = now()
  from turns t
  where t.organization_id = %(organization_id)s and t.conversation_id = %(conversation_id)s and t.finished_at is null
    and (o.organization_id, o.turn_id) = (t.organization_id, t.id) and o.state = 'pending'
)
update turns set finished_at = now()
where organization_id = %(organization_id)s and conversation_id = %(conversation_id)s and finished_at is null
"""
