# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Every statement of the message's way, by name. Parameters are named alike everywhere."""

# Storing what came in ---------------------------------------------------------------------------

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

#: A number that another person (another business-scoped id) writes from now is no longer the one's who had it.
RELEASE_NUMBER = """
update contacts set wa_id = null
where organization_id = %(organization_id)s and wa_id = %(wa_id)s and user_id <> %(user_id)s
"""

#: A person is known by the business-scoped id where Meta sends one, else by phone number.
FIND_CONTACT = """
select id, user_id, wa_id, profile_name from contacts
where organization_id = %(organization_id)s and (user_id = %(user_id)s or wa_id = %(wa_id)s)
order by user_id = %(user_id)s desc nulls last limit 1
"""

ADD_CONTACT = """
insert into contacts (organization_id, user_id, wa_id, profile_name)
values (%(organization_id)s, %(user_id)s, %(wa_id)s, %(profile_name)s)
on conflict do nothing returning id
"""

#: Fills in what was not known yet, and the number that a person writes from now; what is another contact's stays so.
COMPLETE_CONTACT = """
update contacts c
set user_id = coalesce(c.user_id, (select %(user_id)s::text where not exists (
      select from contacts where organization_id = %(organization_id)s and user_id = %(user_id)s))),
    wa_id = coalesce((select %(wa_id)s::text where not exists (
      select from contacts where organization_id = %(organization_id)s and wa_id = %(wa_id)s)), c.wa_id),
    profile_name = coalesce(%(profile_name)s, c.profile_name)
where c.organization_id = %(organization_id)s and c.id = %(contact_id)s
"""

#: After a change of number or id: the person is known by what came with it, and by nothing that it replaced.
CHANGE_CONTACT = """
update contacts
set user_id = %(user_id)s, wa_id = %(wa_id)s
where organization_id = %(organization_id)s and id = %(contact_id)s
"""

#: Everybody of a number: a conversation of theirs, and the one that the person they turned out to be has there.
TWIN_CONVERSATIONS = """
select other.id as other_id, mine.id as mine_id,
       other.lease_until > clock_timestamp() or exists (
         select from turns t where (t.organization_id, t.conversation_id) = (other.organization_id, other.id)
                                   and t.finished_at is null) as is_busy
from conversations other
left join conversations mine on mine.organization_id = other.organization_id
  and mine.phone_number_id = other.phone_number_id and mine.contact_id = %(contact_id)s
where other.organization_id = %(organization_id)s and other.contact_id = %(other_contact_id)s
order by other.id for update of other
"""

GIVE_CONVERSATION = """
update conversations set contact_id = %(contact_id)s
where organization_id = %(organization_id)s and id = %(other_id)s
"""

#: What was said in one conversation becomes part of another one.
JOIN_CONVERSATIONS = """
with turned as (
  update turns set conversation_id = %(mine_id)s
  where organization_id = %(organization_id)s and conversation_id = %(other_id)s
), stored as (
  update webhook_events set conversation_id = %(mine_id)s
  where organization_id = %(organization_id)s and conversation_id = %(other_id)s
), said as (
  update messages set conversation_id = %(mine_id)s
  where organization_id = %(organization_id)s and conversation_id = %(other_id)s
), sent as (
  update outbox set conversation_id = %(mine_id)s
  where organization_id = %(organization_id)s and conversation_id = %(other_id)s
)
update conversations mine
set mode = 'person', handed_over_at = other.handed_over_at, handed_over_until = other.handed_over_until,
    handed_over_by = other.handed_over_by, handover_reason = other.handover_reason, handover_turn_id = null
from conversations other
where mine.organization_id = %(organization_id)s and mine.id = %(mine_id)s and mine.mode = 'bot'
  and (other.organization_id, other.id) = (mine.organization_id, %(other_id)s) and other.mode = 'person'
"""

RETIRE_CONTACT = """
update contacts set user_id = null, wa_id = null, merged_into = %(contact_id)s
where organization_id = %(organization_id)s and id = %(other_contact_id)s
"""

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

# Lease and turn ---------------------------------------------------------------------------------

#: Free, run out, or held by this very run; only when something waits for an answer, and not before it may be sent.
TAKE_LEASE = """
update conversations c
set lease_fence = case when c.lease_holder = %(job_id)s then c.lease_fence else c.lease_fence + 1 end,
    lease_holder = %(job_id)s, lease_until = clock_timestamp() + interval '60 seconds'
where c.organization_id = %(organization_id)s and c.id = %(conversation_id)s
  and (c.lease_holder is null or c.lease_holder = %(job_id)s or c.lease_until < clock_timestamp())
  and exists (select from webhook_events e
              where (e.organization_id, e.conversation_id) = (c.organization_id, c.id) and e.outcome is null)
  and (c.waits_until is null or c.waits_until <= now())
  and not exists (select from whatsapp_numbers n
                  where (n.organization_id, n.phone_number_id) = (c.organization_id, c.phone_number_id)
                    and n.held_since is not null and n.probe_at > now()
                    and exists (select from webhook_events e
                                where (e.organization_id, e.conversation_id) = (c.organization_id, c.id)
                                  and e.outcome is null and e.stored_at >= now() - interval '24 hours'))
returning c.lease_fence
"""

OPEN_TURN = """
insert into turns (organization_id, conversation_id, fence)
values (%(organization_id)s, %(conversation_id)s, %(fence)s)
on conflict (organization_id, conversation_id) where finished_at is null do update set fence = excluded.fence
returning id
"""

RENEW_LEASE = """
update conversations set lease_until = clock_timestamp() + interval '60 seconds'
where organization_id = %(organization_id)s and id = %(conversation_id)s and lease_fence = %(fence)s
  and lease_holder is not null
returning chatbot_id, phone_number_id, contact_id, mode,
          mode = 'person' and handover_turn_id is distinct from %(turn_id)s as is_handed_over
"""

#: For a turn that begins with a long pause: as if the lease were taken at its end.
PROLONG_LEASE = """
update conversations set lease_until = clock_timestamp() + make_interval(secs => 60 + %(seconds)s)
where organization_id = %(organization_id)s and id = %(conversation_id)s and lease_fence = %(fence)s
"""

RELEASE_LEASE = """
update conversations
set lease_holder = null, lease_until = null, waits_until = now() + %(wait_seconds)s * interval '1 second'
where organization_id = %(organization_id)s and id = %(conversation_id)s and lease_fence = %(fence)s
"""

#: What later steps need to know of the number and the chatbot: settings and paths of secrets.
TURN_SETTINGS = """
select n.phone_number_id, n.access_token_path, c.merge_seconds,
       array_remove(array[c.model_resource_path, c.embedding_resource_path]
         || array(select m ->> 'resource_path' from jsonb_array_elements(c.fallback_models) m), null) as model_resources
from conversations v
join whatsapp_numbers n on (n.organization_id, n.phone_number_id) = (v.organization_id, v.phone_number_id)
join chatbots c on (c.organization_id, c.id) = (v.organization_id, v.chatbot_id)
where v.organization_id = %(organization_id)s and v.id = %(conversation_id)s
"""

# Generating -------------------------------------------------------------------------------------

READ_TURN = "select generated_at from turns where organization_id = %(organization_id)s and id = %(turn_id)s"

READ_CHATBOT = """
select id, name, language, persona, instructions, facts, fallback_text, blocked_text, quota_text, model_provider,
       model_name, model_resource_path, fallback_models, temperature, max_steps, max_seconds, max_tokens, max_cost,
       embedding_model, embedding_dimensions, embedding_resource_path, cites_sources
from chatbots where organization_id = %(organization_id)s and id = %(chatbot_id)s
"""

#: For each model the newest price that is valid, of the model itself or of what its name begins with.
READ_PRICES = """
select m.provider, m.name, p.prompt_price, p.completion_price
from jsonb_to_recordset(%(models)s) as m (provider text, name text)
cross join lateral (
  select prompt_price, completion_price from model_prices p
  where p.provider = m.provider and (p.model = m.name or starts_with(m.name, p.model || '-'))
    and p.valid_from <= current_date
  order by length(p.model) desc, p.valid_from desc limit 1) as p
"""

#: What its author deleted before it was answered needs no answer.
REFUSE_REVOKED = """
update webhook_events e set outcome = 'refused', outcome_reason = 'deleted by its author', settled_at = now()
from messages m
where e.organization_id = %(organization_id)s and e.conversation_id = %(conversation_id)s and e.outcome is null
  and (m.organization_id, m.conversation_id, m.wamid) = (e.organization_id, e.conversation_id, e.wamid)
  and m.direction = 'in' and m.revoked_at is not null
"""

#: Free text may be sent within 24 hours of the person's last message: what has waited longer has failed.
FAIL_TOO_LATE = """
update webhook_events set outcome = 'failed', outcome_reason = %(outcome_reason)s, settled_at = now()
where organization_id = %(organization_id)s and conversation_id = %(conversation_id)s and outcome is null
  and not exists (select from webhook_events e
                  where e.organization_id = %(organization_id)s and e.conversation_id = %(conversation_id)s
                    and e.outcome is null and e.stored_at >= now() - interval '24 hours')
"""

#: What waits for an answer, in the order in which it was written.
READ_WAITING = """
select e.id, e.wamid, m.body, m.note, left(q.body, 500) as quoted
from webhook_events e
join messages m on (m.organization_id, m.conversation_id, m.wamid) = (e.organization_id, e.conversation_id, e.wamid)
                  and m.direction = 'in'
left join lateral (select q.body from messages q
                   where (q.organization_id, q.conversation_id, q.wamid)
                         = (m.organization_id, m.conversation_id, m.reply_to) and q.revoked_at is null
                   limit 1) as q on true
where e.organization_id = %(organization_id)s and e.conversation_id = %(conversation_id)s and e.outcome is null
order by e.sent_at, e.received_at, e.position, e.id
"""

#: Without what waits, and without parts of replies that nobody has seen.
READ_HISTORY = """
select direction, author, body, note, received_at, revoked_at is not null as is_revoked,
       (select left(q.body, 500) from messages q
        where q.organization_id = %(organization_id)s and q.conversation_id = %(conversation_id)s
          and q.wamid = latest.reply_to and q.revoked_at is null limit 1) as quoted
from (
  select m.direction, m.author, m.body, m.note, m.reply_to, m.revoked_at, m.sent_at, m.received_at, m.position
  from messages m
  where not exists (select from outbox o
                    where (o.organization_id, o.turn_id, o.position) = (m.organization_id, m.turn_id, m.position)
                      and m.direction = 'out' and o.state in ('failed', 'dropped'))
    and m.organization_id = %(organization_id)s and m.conversation_id = %(conversation_id)s
    and not exists (select from webhook_events e
                    where (e.organization_id, e.phone_number_id, e.wamid)
                          = (m.organization_id, %(phone_number_id)s, m.wamid)
                      and m.direction = 'in' and e.outcome is null)
  order by m.sent_at desc, m.received_at desc, m.position desc limit %(most)s
) as latest order by sent_at, received_at, position
"""

ATTACH_EVENTS = """
update webhook_events set turn_id = %(turn_id)s
where organization_id = %(organization_id)s and id = any(%(event_ids)s) and outcome is null
"""

#: The last hand-over that has ended, for the bot that goes on.
READ_HANDOVER = """
select handed_over_at, handed_over_by, handover_reason, handed_back_at, handed_back_by, handback_note,
       array(select left(m.body, 500) from messages m
             where (m.organization_id, m.conversation_id) = (v.organization_id, v.id) and m.author = 'person'
               and m.revoked_at is null and m.received_at between v.handed_over_at and v.handed_back_at
             order by m.sent_at, m.received_at, m.position) as words
from conversations v
where organization_id = %(organization_id)s and id = %(conversation_id)s and mode = 'bot'
  and handed_over_at is not null and handed_back_at >= handed_over_at
"""

HAND_OVER_EVENTS = """
update webhook_events set outcome = 'handed_over', outcome_reason = 'a person answers', settled_at = now()
where organization_id = %(organization_id)s and conversation_id = %(conversation_id)s and outcome is null
"""

#: Never before what it answers, however far Meta's clock is from ours.
STORE_REPLY = """
with message as (
  insert into messages (organization_id, conversation_id, turn_id, direction, author, body, position, sent_at)
  values (%(organization_id)s, %(conversation_id)s, %(turn_id)s, 'out', 'bot', %(body)s, %(position)s,
          greatest(now(), (select max(sent_at) from webhook_events
                           where organization_id = %(organization_id)s and turn_id = %(turn_id)s)))
  returning id
)
insert into outbox (organization_id, conversation_id, turn_id, message_id, position, body)
select %(organization_id)s, %(conversation_id)s, %(turn_id)s, message.id, %(position)s, %(body)s from message
"""

STORE_USAGE = """
insert into usage_logs (organization_id, turn_id, call, provider, model, prompt_tokens, completion_tokens,
                        estimated_cost)
values (%(organization_id)s, %(turn_id)s, %(call)s, %(provider)s, %(model)s, %(prompt_tokens)s, %(completion_tokens)s,
        %(estimated_cost)s)
on conflict do nothing
"""

STORE_GENERATED = """
update turns
set generated_at = now(), model = %(model)s, steps = %(steps)s, tools = %(tools)s, error = %(error)s,
    prompt_tokens = %(prompt_tokens)s, completion_tokens = %(completion_tokens)s
where organization_id = %(organization_id)s and id = %(turn_id)s and fence = %(fence)s
"""

# Sending ----------------------------------------------------------------------------------------

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

COPY_WAMIDS = """
update messages m set wamid = o.wamid from outbox o
where o.organization_id = %(organization_id)s and o.id = any(%(outbox_ids)s)
  and (m.organization_id, m.id) = (o.organization_id, o.message_id) and m.wamid is distinct from o.wamid
"""

#: The last message of a turn was answered, the others were merged into its answer.
SETTLE_EVENTS = """
update webhook_events e
set outcome = case when %(outcome)s = 'answered' and e.id <> last.id then 'merged' else %(outcome)s end,
    outcome_reason = %(outcome_reason)s, settled_at = now()
from (select id from webhook_events
      where organization_id = %(organization_id)s and turn_id = %(turn_id)s
      order by sent_at desc, received_at desc, position desc, id desc limit 1) as last
where e.organization_id = %(organization_id)s and e.turn_id = %(turn_id)s and e.outcome is null
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

FINISH_TURN = """
update turns set finished_at = now(), error = coalesce(error, %(error)s)
where organization_id = %(organization_id)s and id = %(turn_id)s and fence = %(fence)s and finished_at is null
"""

ANYTHING_WAITING = """
select exists (select from webhook_events where organization_id = %(organization_id)s
               and conversation_id = %(conversation_id)s and outcome is null) as waiting
"""

#: Why a conversation in which something waits is not taken up now; no row when nothing is in the way.
READ_OBSTACLE = """
select case when n.held_since is not null then 'the number is held' else 'WhatsApp said later' end as reason
from conversations c
join whatsapp_numbers n on (n.organization_id, n.phone_number_id) = (c.organization_id, c.phone_number_id)
where c.organization_id = %(organization_id)s and c.id = %(conversation_id)s
  and (c.waits_until > now() or n.held_since is not null and n.probe_at > now())
"""

#: A turn that this run finished in an earlier attempt: its continuation may still have to be queued.
FREE_UNDER_FENCE = """
select lease_holder is null as free from conversations
where organization_id = %(organization_id)s and id = %(conversation_id)s and lease_fence = %(fence)s
"""

# Statuses and other updates ---------------------------------------------------------------------

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

STORE_ACCOUNT_EVENT = """
insert into account_events (organization_id, job_id, position, phone_number_id, waba_id, field, value, received_at)
values (%(organization_id)s, %(job_id)s, %(position)s, %(phone_number_id)s, %(waba_id)s, %(field)s, %(payload)s,
        %(received_at)s)
on conflict do nothing
"""

# Hand-off ---------------------------------------------------------------------------------------

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

# Numbers on hold --------------------------------------------------------------------------------

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

# Failure ----------------------------------------------------------------------------------------

FAIL_UNSENT = """
update outbox set state = 'failed', error = %(error)s, settled_at = now()
where organization_id = %(organization_id)s and turn_id = %(turn_id)s and state = 'pending'
"""

#: Those that the turn was to answer: what came after its reply was written is for the next turn.
FAIL_EVENTS = """
update webhook_events e
set outcome = 'failed', outcome_reason = %(outcome_reason)s, settled_at = now(), turn_id = t.id
from turns t
where t.organization_id = %(organization_id)s and t.id = %(turn_id)s
  and (e.organization_id, e.conversation_id) = (t.organization_id, t.conversation_id) and e.outcome is null
  and (t.generated_at is null or e.turn_id = t.id)
"""
