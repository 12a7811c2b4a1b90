"""Every statement of the message's way, by name. Parameters are named alike everywhere."""

# Storing what came in ---------------------------------------------------------------------------

#: Whose number it is and which Meta app signs for it.
ROUTE_NUMBER = "select organization_id, app_id from route_number(%(phone_number_id)s)"

ROUTE_WABA = "select route_waba(%(waba_id)s, %(app_id)s) as organization_id"

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

OPEN_CONVERSATION = """
insert into conversations (organization_id, chatbot_id, phone_number_id, contact_id)
values (%(organization_id)s, %(chatbot_id)s, %(phone_number_id)s, %(contact_id)s)
on conflict (organization_id, phone_number_id, contact_id) do update set chatbot_id = excluded.chatbot_id
returning id, mode
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
insert into messages (organization_id, conversation_id, direction, author, wamid, body, sent_at, received_at, position)
values (%(organization_id)s, %(conversation_id)s, 'in', 'contact', %(wamid)s, %(text)s, %(sent_at)s, %(received_at)s,
        %(position)s)
"""

FIND_EVENT = """
select conversation_id, outcome, outcome_reason from webhook_events
where organization_id = %(organization_id)s and phone_number_id = %(phone_number_id)s and wamid = %(wamid)s
"""

# Lease and turn ---------------------------------------------------------------------------------

#: Free, run out, or held by this very run; only when something waits for an answer.
TAKE_LEASE = """
update conversations c
set lease_fence = case when c.lease_holder = %(job_id)s then c.lease_fence else c.lease_fence + 1 end,
    lease_holder = %(job_id)s, lease_until = clock_timestamp() + interval '60 seconds'
where c.organization_id = %(organization_id)s and c.id = %(conversation_id)s
  and (c.lease_holder is null or c.lease_holder = %(job_id)s or c.lease_until < clock_timestamp())
  and exists (select from webhook_events e
              where (e.organization_id, e.conversation_id) = (c.organization_id, c.id) and e.outcome is null)
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
returning chatbot_id, phone_number_id, contact_id, mode
"""

#: For a turn that begins with a long pause: as if the lease were taken at its end.
PROLONG_LEASE = """
update conversations set lease_until = clock_timestamp() + make_interval(secs => 60 + %(seconds)s)
where organization_id = %(organization_id)s and id = %(conversation_id)s and lease_fence = %(fence)s
"""

RELEASE_LEASE = """
update conversations set lease_holder = null, lease_until = null
where organization_id = %(organization_id)s and id = %(conversation_id)s and lease_fence = %(fence)s
"""

#: What later steps need to know of the number and the chatbot: settings and paths of secrets.
TURN_SETTINGS = """
select n.phone_number_id, n.access_token_path, c.merge_seconds,
       array_remove(array_prepend(c.model_resource_path,
         array(select m ->> 'resource_path' from jsonb_array_elements(c.fallback_models) m)), null) as model_resources
from conversations v
join whatsapp_numbers n on (n.organization_id, n.phone_number_id) = (v.organization_id, v.phone_number_id)
join chatbots c on (c.organization_id, c.id) = (v.organization_id, v.chatbot_id)
where v.organization_id = %(organization_id)s and v.id = %(conversation_id)s
"""

# Generating -------------------------------------------------------------------------------------

#: `hands_over`: it is this very turn in which the bot called for a person.
READ_TURN = """
select generated_at, exists (select from notifications n
                             where (n.organization_id, n.turn_id) = (t.organization_id, t.id)
                               and n.kind = 'handover') as hands_over
from turns t where organization_id = %(organization_id)s and id = %(turn_id)s
"""

READ_CHATBOT = """
select name, language, persona, instructions, facts, fallback_text, blocked_text, quota_text, model_provider,
       model_name, model_resource_path, fallback_models, temperature, max_steps, max_seconds, max_tokens, max_cost
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

#: What waits for an answer, in the order in which it was written.
READ_WAITING = """
select e.id, e.wamid, m.body
from webhook_events e
join messages m on (m.organization_id, m.conversation_id, m.wamid) = (e.organization_id, e.conversation_id, e.wamid)
                  and m.direction = 'in'
where e.organization_id = %(organization_id)s and e.conversation_id = %(conversation_id)s and e.outcome is null
order by e.sent_at, e.received_at, e.position, e.id
"""

READ_HISTORY = """
select direction, body from (
  select m.direction, m.body, m.sent_at, m.received_at, m.position from messages m
  where m.organization_id = %(organization_id)s and m.conversation_id = %(conversation_id)s
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

READ_CONTACT = "select user_id, wa_id from contacts where organization_id = %(organization_id)s and id = %(contact_id)s"

#: The first part that is not settled; a later part waits for it.
NEXT_PART = """
select id, position, body, state, attempts, claimed_at < now() - interval '60 seconds' as abandoned
from outbox where organization_id = %(organization_id)s and turn_id = %(turn_id)s and state in ('pending', 'sending')
order by position limit 1
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

COPY_WAMID = """
update messages m set wamid = o.wamid from outbox o
where o.organization_id = %(organization_id)s and o.id = %(outbox_id)s
  and (m.organization_id, m.id) = (o.organization_id, o.message_id)
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
select case when count(*) = 0 then 'none' when bool_or(state = 'failed') then 'failed'
            when bool_or(state = 'uncertain') then 'uncertain' else 'sent' end as delivery,
       (array_agg(error order by position) filter (where state = 'failed'))[1] ->> 'reason' as reason,
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

#: A turn that this run finished in an earlier attempt: its continuation may still have to be queued.
FREE_UNDER_FENCE = """
select lease_holder is null as free from conversations
where organization_id = %(organization_id)s and id = %(conversation_id)s and lease_fence = %(fence)s
"""

# Statuses and other updates ---------------------------------------------------------------------

#: By the id that we gave the message, or by Meta's. A status never goes back. It settles a call in doubt, and one that
#: Meta answered with "later" although the message went out.
APPLY_STATUS = """
with found as (
  select o.id, o.state, coalesce(array_position(array['sent', 'delivered', 'read', 'failed'], o.delivery_status), 0)
                        < %(rank)s as news
  from outbox o join conversations c on (c.organization_id, c.id) = (o.organization_id, o.conversation_id)
  where o.organization_id = %(organization_id)s and c.phone_number_id = %(phone_number_id)s
    and (o.id = %(outbox_id)s or o.wamid = %(wamid)s)
  limit 1 for update of o
)
update outbox o
set delivery_status = case when found.news then %(status)s else o.delivery_status end,
    delivery_status_at = case when found.news then %(status_at)s else o.delivery_status_at end,
    state = case when o.state in ('pending', 'sending', 'uncertain') then 'sent' else o.state end,
    error = case when %(status)s = 'failed' then %(error)s else o.error end,
    settled_at = coalesce(o.settled_at, now()), wamid = coalesce(o.wamid, %(wamid)s)
from found where o.organization_id = %(organization_id)s and o.id = found.id
returning o.id, found.state = 'uncertain' as was_uncertain
"""

STORE_ACCOUNT_EVENT = """
insert into account_events (organization_id, job_id, position, phone_number_id, waba_id, field, value, received_at)
values (%(organization_id)s, %(job_id)s, %(position)s, %(phone_number_id)s, %(waba_id)s, %(field)s, %(payload)s,
        %(received_at)s)
on conflict do nothing
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
