-- Chains of models with caps in tokens and money, and what a model costs.
set local role owner;

alter table chatbots drop constraint chatbots_model_provider_check;
alter table chatbots add constraint chatbots_model_provider_check
  check (model_provider in ('demo', 'openai', 'gemini'));
alter table chatbots
  add column instructions text not null default '',
  add column blocked_text text,
  add column fallback_models jsonb not null default '[]' constraint chatbots_fallback_models_check check (
      jsonb_typeof(fallback_models) = 'array' and jsonb_array_length(fallback_models) <= 4
      and jsonb_array_length(fallback_models) = jsonb_array_length(jsonb_path_query_array(fallback_models,
        '$[*] ? (@.provider == "demo" || (@.provider == "openai" || @.provider == "gemini")
                 && @.name.type() == "string" && @.resource_path like_regex "^[fu]/[A-Za-z0-9_]+/[A-Za-z0-9_/]+$")'))),
  add column max_seconds integer not null default 60 check (max_seconds between 5 and 70),
  add column max_tokens integer not null default 60000 check (max_tokens >= 500),
  add column max_cost numeric default 0.25 check (max_cost > 0);
comment on column chatbots.instructions is 'What the model is told besides the persona.';
comment on column chatbots.blocked_text is 'The reply when providers refuse the content; null: the fallback text.';
comment on column chatbots.fallback_models is
  'Models that stand in, in order: [{"provider", "name", "resource_path"}].';
comment on column chatbots.max_seconds is 'Cap of one turn, like max_steps (answers of a model), max_tokens and max_cost.';
comment on column chatbots.max_cost is 'In the currency of model_prices; null: no cap.';

alter table usage_logs
  add column provider text not null default 'unknown',
  add column estimated_cost numeric;
alter table usage_logs alter column provider drop default;
comment on column usage_logs.estimated_cost is 'By model_prices; null where the price was unknown.';

create table model_prices (
  provider text not null,
  model text not null,
  valid_from date not null,
  prompt_price numeric not null check (prompt_price >= 0),
  completion_price numeric not null check (completion_price >= 0),
  is_estimate boolean not null default true,
  primary key (provider, model, valid_from)
);
comment on table model_prices is
  'US dollars per million tokens, of the model and of names that continue it after a hyphen (dated versions).';
grant select on model_prices to app, backup;

-- Estimates, as the providers published them at these dates.
insert into model_prices (provider, model, valid_from, prompt_price, completion_price) values
  ('openai', 'gpt-4.1', '2025-04-14', 2.00, 8.00),
  ('openai', 'gpt-4.1-mini', '2025-04-14', 0.40, 1.60),
  ('openai', 'gpt-4.1-nano', '2025-04-14', 0.10, 0.40),
  ('openai', 'gpt-4o', '2024-10-01', 2.50, 10.00),
  ('openai', 'gpt-4o-mini', '2024-07-18', 0.15, 0.60),
  ('openai', 'gpt-5', '2025-08-07', 1.25, 10.00),
  ('openai', 'gpt-5-mini', '2025-08-07', 0.25, 2.00),
  ('openai', 'gpt-5-nano', '2025-08-07', 0.05, 0.40),
  ('gemini', 'gemini-2.5-pro', '2025-06-17', 1.25, 10.00),
  ('gemini', 'gemini-2.5-flash', '2025-06-17', 0.30, 2.50),
  ('gemini', 'gemini-2.5-flash-lite', '2025-07-22', 0.10, 0.40)
on conflict do nothing;
