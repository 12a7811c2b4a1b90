# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements of leases and turns, by name: from what waits to a reply that is written, or its failure."""

# Lease and turn -----------------------------------------------------------------------------------

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
       array_remove(array[c.model_resource_path, c.embedding_resource_path, c.reranker_resource_path]
         || array(select m ->> 'resource_path' from jsonb_array_elements(c.fallback_models) m), null) as model_resources
from conversations v
join whatsapp_numbers n on (n.organization_id, n.phone_number_id) = (v.organization_id, v.phone_number_id)
join chatbots c on (c.organization_id, c.id) = (v.organization_id, v.chatbot_id)
where v.organization_id = %(organization_id)s and v.id = %(conversation_id)s
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

# Generating ---------------------------------------------------------------------------------------

READ_TURN = "select generated_at from turns where organization_id = %(organization_id)s and id = %(turn_id)s"

READ_CHATBOT = """
select id, name, language, persona, instructions, facts, fallback_text, blocked_text, quota_text, model_provider,
       model_name, model_resource_path, fallback_models, temperature, max_steps, max_seconds, max_tokens, max_cost,
       embedding_model, embedding_dimensions, embedding_resource_path, cites_sources, knowledge_threshold,
       reranker, reranker_model, reranker_resource_path
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

ATTACH_EVENTS = """
update webhook_events set turn_id = %(turn_id)s
where organization_id = %(organization_id)s and id = any(%(event_ids)s) and outcome is null
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

# The end ------------------------------------------------------------------------------------------

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

FINISH_TURN = """
update turns set finished_at = now(), error = coalesce(error, %(error)s)
where organization_id = %(organization_id)s and id = %(turn_id)s and fence = %(fence)s and finished_at is null
"""

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
