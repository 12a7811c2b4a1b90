-- Hand-off to people, numbers on hold, changes of identity, and what is remembered of runs that failed.
set local role owner;

alter table chatbots
  add column handoff_minutes integer not null default 720 check (handoff_minutes between 1 and 43200);
comment on column chatbots.handoff_minutes is 'How long the bot stays silent after a person of the business wrote.';

alter table whatsapp_numbers
  add column held_since timestamptz,
  add column held_reason text,
  add column probe_at timestamptz,
  add column probes integer not null default 0;
comment on column whatsapp_numbers.held_since is
  'Since when Meta refuses to send for a reason that a person must see to; replies wait. Null: it sends.';
comment on column whatsapp_numbers.probe_at is 'From when one reply may try whether the number sends again.';
grant update (held_since, held_reason, probe_at, probes) on whatsapp_numbers to app;

alter table contacts add column merged_into uuid;
alter table contacts
  add foreign key (organization_id, merged_into) references contacts (organization_id, id),
  drop constraint contacts_check,
  add constraint contacts_check check (user_id is not null or wa_id is not null or merged_into is not null);
comment on column contacts.merged_into is 'The same person: who this contact turned out to be after a change of number or id.';

alter table conversations
  add column handed_over_at timestamptz,
  add column handed_over_until timestamptz,
  add column handed_over_by text check (handed_over_by in ('bot', 'person', 'operator')),
  add column handover_reason text,
  add column handover_turn_id uuid,
  add column handed_back_at timestamptz,
  add column handed_back_by text check (handed_back_by in ('time', 'operator')),
  add column handback_note text,
  add column waits_until timestamptz;
alter table conversations
  add foreign key (organization_id, handover_turn_id) references turns (organization_id, id)
    on delete set null (handover_turn_id);
comment on column conversations.mode is 'person: a person of the business answers, the bot stores and stays silent.';
comment on column conversations.handed_over_at is
  'With handover_reason and handed_back_at: the present or the last hand-over, which the bot is told of.';
comment on column conversations.handover_turn_id is
  'The turn in which the bot itself called for a person: it still says so. Null once a person wrote.';
comment on column conversations.waits_until is 'WhatsApp said "later": the turn is not taken up before.';

alter table messages
  add column note text,
  add column reply_to text,
  add column revoked_at timestamptz;
create unique index messages_of_people on messages (organization_id, conversation_id, wamid) where author = 'person';
create index messages_wamid on messages (organization_id, wamid) where wamid is not null;
comment on column messages.note is 'What the message says besides its words, such as [forwarded].';
comment on column messages.reply_to is 'Meta''s id of the message that it answers, reacts to or corrects.';
comment on column messages.revoked_at is 'When its author deleted it; the model does not read it any more.';

create index webhook_events_turn on webhook_events (organization_id, turn_id) where turn_id is not null;

alter table outbox drop constraint outbox_state_check;
alter table outbox add constraint outbox_state_check
  check (state in ('pending', 'sending', 'sent', 'failed', 'uncertain', 'dropped'));
comment on column outbox.state is
  'What we know of the call; delivery_status is what Meta said of the message afterwards. dropped: a person answers.';

create table failed_runs (
  job_id uuid primary key,
  path text not null,
  created_at timestamptz not null,
  attempts integer not null default 0,
  next_at timestamptz not null default now(),
  settled text
);
create index failed_runs_due on failed_runs (path, next_at) where settled is null;
comment on table failed_runs is 'Runs that ended without success, as the sweep remembers them for some days.';
comment on column failed_runs.settled is 'Why it is not repeated (any more).';
grant select, insert, update, delete on failed_runs to app;
grant select on failed_runs to backup;

-- Whoever only says that a person answers hands over for the time that the chatbot sets.
create function stamp_handover() returns trigger language plpgsql set search_path = pg_catalog, public as $$
begin
  new.handed_over_until := greatest(
    case when old.mode = 'person' then old.handed_over_until end,
    now() + (select c.handoff_minutes from chatbots c
             where (c.organization_id, c.id) = (new.organization_id, new.chatbot_id)) * interval '1 minute');
  if old.mode = 'bot' then
    new.handed_over_at := now();
  end if;
  return new;
end
$$;
create trigger stamp_handover before update of mode on conversations for each row
  when (new.mode = 'person' and new.handed_over_until is not distinct from old.handed_over_until)
  execute function stamp_handover();

update conversations set mode = mode, handed_over_at = now() where mode = 'person';

grant select (held_since, probe_at) on whatsapp_numbers to router;
grant select (phone_number_id, contact_id, waits_until) on conversations to router;
grant select (organization_id, id, user_id, wa_id) on contacts to router;
create policy route on contacts for select to router using (true);

grant create on schema public to router;
set local role router;

-- Conversations with a message that nobody works on: older than `age`, no live lease, not just resumed, not told to
-- wait. Those of a held number wait for its release; one of them is the probe, and what is a day old ends.
create or replace function stranded_conversations(age interval, most integer)
  returns table (organization_id uuid, conversation_id uuid)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select s.organization_id, s.id
    from (select c.organization_id, c.id, waiting.oldest,
                 n.held_since is null or waiting.newest < now() - interval '24 hours' as is_free,
                 n.probe_at <= now() and row_number() over (partition by c.phone_number_id, n.held_since is not null
                                                            order by waiting.newest desc, c.id) = 1 as is_probe
          from (select e.organization_id, e.conversation_id, min(e.stored_at) as oldest, max(e.stored_at) as newest
                from webhook_events e where e.outcome is null and e.stored_at < now() - age
                group by 1, 2) as waiting
          join conversations c on (c.organization_id, c.id) = (waiting.organization_id, waiting.conversation_id)
          join whatsapp_numbers n on n.phone_number_id = c.phone_number_id
          where (c.lease_holder is null or c.lease_until < now())
            and (c.resumed_at is null or c.resumed_at < now() - interval '60 seconds')
            and (c.waits_until is null or c.waits_until < now())) as s
    where s.is_free or s.is_probe
    order by s.oldest limit most;
  end;

-- A conversation by its id, or those of a contact by phone number or business-scoped id: for operators' scripts.
create function find_conversations(wanted uuid, contact text)
  returns table (organization_id uuid, conversation_id uuid)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select c.organization_id, c.id from conversations c where c.id = wanted
    union
    select c.organization_id, c.id from contacts k
    join conversations c on (c.organization_id, c.contact_id) = (k.organization_id, k.id)
    where k.wa_id = contact or k.user_id = contact;
  end;
revoke execute on function find_conversations(uuid, text) from public;
grant execute on function find_conversations(uuid, text) to app, owner;

set local role owner;
revoke create on schema public from router;
reset role;
