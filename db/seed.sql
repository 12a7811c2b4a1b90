-- Plans, prices of models, and two demo tenants of different trades and languages. No secrets: tokens are Windmill
-- variables, API keys are added by whoever sets up the installation. Safe to run again.

insert into plans (code, name, monthly_messages, monthly_tokens, daily_messages_per_contact, knowledge_sources,
                   knowledge_pages, knowledge_bytes, daily_ingestions, crawls, crawl_pages, crawl_depth, crawl_bytes,
                   crawl_seconds) values
  ('free', 'Free', 200, 200000, 40, 20, 300, 50 * 1048576, 50, 1, 100, 4, 100 * 1048576, 1800),
  ('pro', 'Pro', 5000, 5000000, 100, 300, 10000, 1024 * 1048576::bigint, 1000, 10, 1000, 8, 1024 * 1048576, 7200),
  ('enterprise', 'Enterprise', 100000, 100000000, 300, 5000, 200000, 20480 * 1048576::bigint, 20000, 100, 10000, 12,
   10240 * 1048576::bigint, 28800)
on conflict (code) do nothing;

-- Estimates, as the providers published them at these dates: check them before you rely on max_cost.
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

insert into organizations (organization_id, slug, name, plan_code) values
  ('11111111-1111-4111-8111-111111111111', 'bicis-ribera', 'Bicis Ribera', 'pro'),
  ('22222222-2222-4222-8222-222222222222', 'harbour-dental', 'Harbour Dental', 'pro')
on conflict do nothing;

insert into chatbots (organization_id, id, slug, name, language, persona, fallback_text, quota_text, facts) values
  ('11111111-1111-4111-8111-111111111111', '1b1c1d1e-0000-4000-8000-000000000001', 'bicis-ribera', 'Bicis Ribera', 'es',
   'Bicis Ribera es un taller y tienda de bicicletas de barrio en Sevilla. Trata a la gente de tú, con calma y buen humor, y no promete lo que el taller no haya confirmado.',
   'Ahora mismo no puedo responder. Te escribe una persona del taller en cuanto pueda.',
   'Por ahora ya no puedo responder más mensajes por aquí. Llámanos al 954 000 101 y te atendemos.',
   '[{"topic": "Horario", "text": "Abrimos de lunes a viernes de 10:00 a 14:00 y de 17:00 a 20:30, y los sábados de 10:00 a 14:00. Los domingos cerramos."},
     {"topic": "Dirección", "text": "Estamos en la calle Ribera 18, en Sevilla, a dos minutos del puente. Delante de la puerta se puede parar para descargar la bici."},
     {"topic": "Precios de reparación", "text": "La puesta a punto cuesta 45 €, arreglar un pinchazo 9 € con la cámara incluida y ajustar los frenos 15 €. Siempre damos presupuesto antes de empezar."},
     {"topic": "Alquiler", "text": "Alquilamos bicis de paseo por 12 € al día y eléctricas por 28 € al día, con casco y candado. Pedimos DNI y una fianza de 50 €."},
     {"topic": "Cita de taller", "text": "Para dejar la bici en el taller basta con venir; en primavera conviene pedir cita por aquí con un día de antelación. La mayoría de las reparaciones están en 48 horas."},
     {"topic": "Pago", "text": "Se puede pagar en efectivo, con tarjeta o por Bizum. Las bicis nuevas, también a plazos sin intereses hasta 6 meses."},
     {"topic": "Garantía", "text": "Las reparaciones tienen tres meses de garantía y las bicis nuevas tres años."},
     {"topic": "Contacto", "text": "Por aquí te escribimos en horario de tienda; por teléfono, en el 954 000 101. Si prefieres hablar con una persona del taller, dínoslo y te llamamos."},
     {"topic": "Bicis eléctricas", "text": "Reparamos bicis eléctricas de todas las marcas, menos el interior de motores y baterías, que enviamos al fabricante."}]'),
  ('22222222-2222-4222-8222-222222222222', '2b2c2d2e-0000-4000-8000-000000000002', 'harbour-dental', 'Harbour Dental', 'en',
   'Harbour Dental is a family dental practice in Bristol. Be warm, brief and precise. Never diagnose; for pain or swelling offer the emergency slot.',
   'I cannot answer right now. Someone from our reception will write to you shortly.',
   'I cannot answer any more messages here for now. Please call us on 0117 496 0123.',
   '[{"topic": "Opening hours", "text": "We are open Monday to Friday from 8:30 to 18:00 and every second Saturday from 9:00 to 13:00. We are closed on Sundays."},
     {"topic": "Address and parking", "text": "You find us at 7 Quay Street, Bristol, next to the ferry landing. There is free parking for patients behind the building."},
     {"topic": "Prices", "text": "A check-up costs £52, a hygienist visit £68, a white filling from £110 and teeth whitening £290."},
     {"topic": "Appointments", "text": "Tell us your name and two times that suit you and reception will confirm an appointment. Please cancel at least 24 hours ahead; later cancellations cost £25."},
     {"topic": "Emergency", "text": "For pain, swelling or a broken tooth we keep two emergency slots every weekday, at 11:30 and 16:30. Write here or call 0117 496 0123. If you have trouble breathing or swallowing, call 999."},
     {"topic": "Payment and insurance", "text": "We take cards and cash, accept Bupa and Denplan, and offer interest-free instalments for treatments over £300."},
     {"topic": "New patients", "text": "We welcome new patients, private and children on the NHS. Please arrive ten minutes early with a photo ID and a list of your medication."},
     {"topic": "Children", "text": "Children are seen from their first tooth on; check-ups for under-18s are free on the NHS."}]')
on conflict do nothing;

insert into whatsapp_numbers
  (phone_number_id, organization_id, chatbot_id, app_id, waba_id, display_phone_number, access_token_path) values
  ('100000000000001', '11111111-1111-4111-8111-111111111111', '1b1c1d1e-0000-4000-8000-000000000001',
   'demo-app', '200000000000001', '+34 954 000 101', 'f/whatsapp/access_token_bicis_ribera'),
  ('100000000000002', '22222222-2222-4222-8222-222222222222', '2b2c2d2e-0000-4000-8000-000000000002',
   'demo-app', '200000000000002', '+44 117 496 0102', 'f/whatsapp/access_token_harbour_dental')
on conflict do nothing;

-- Tools: each demo tenant has our three servers, a price table and questions for leads.
insert into org_integrations (organization_id, kind, name)
select o.organization_id, 'own', s.name
from organizations o cross join (values ('pricing_calculator'), ('lead_capture'), ('contact_owner')) as s (name)
where o.slug in ('bicis-ribera', 'harbour-dental')
on conflict do nothing;

insert into chatbot_tools (organization_id, chatbot_id, integration_id, tool_name)
select i.organization_id, c.id, i.id, t.tool
from org_integrations i
join chatbots c using (organization_id)
join (values ('pricing_calculator', 'calculate_pricing'), ('lead_capture', 'capture_lead'),
             ('contact_owner', 'contact_owner')) as t (server, tool) on t.server = i.name
where c.slug in ('bicis-ribera', 'harbour-dental') and i.kind = 'own'
on conflict do nothing;

insert into pricing_tiers
  (organization_id, product, tier, unit, min_volume, max_volume, unit_price, currency) values
  ('11111111-1111-4111-8111-111111111111', 'mantenimiento de flotas', 'básico', 'bici al año', 5, 19, 59, 'EUR'),
  ('11111111-1111-4111-8111-111111111111', 'mantenimiento de flotas', 'básico', 'bici al año', 20, 99, 49.5, 'EUR'),
  ('11111111-1111-4111-8111-111111111111', 'mantenimiento de flotas', 'básico', 'bici al año', 100, 500, 42.75, 'EUR'),
  ('11111111-1111-4111-8111-111111111111', 'mantenimiento de flotas', 'completo', 'bici al año', 5, 19, 95, 'EUR'),
  ('11111111-1111-4111-8111-111111111111', 'mantenimiento de flotas', 'completo', 'bici al año', 20, 99, 82.5, 'EUR'),
  ('11111111-1111-4111-8111-111111111111', 'mantenimiento de flotas', 'completo', 'bici al año', 100, 500, 74.25, 'EUR'),
  ('22222222-2222-4222-8222-222222222222', 'corporate check-ups', 'essential', 'employee', 10, 49, 44, 'GBP'),
  ('22222222-2222-4222-8222-222222222222', 'corporate check-ups', 'essential', 'employee', 50, 199, 39.5, 'GBP'),
  ('22222222-2222-4222-8222-222222222222', 'corporate check-ups', 'essential', 'employee', 200, 1000, 35.25, 'GBP'),
  ('22222222-2222-4222-8222-222222222222', 'corporate check-ups', 'with hygienist', 'employee', 10, 49, 98, 'GBP'),
  ('22222222-2222-4222-8222-222222222222', 'corporate check-ups', 'with hygienist', 'employee', 50, 199, 89.5, 'GBP'),
  ('22222222-2222-4222-8222-222222222222', 'corporate check-ups', 'with hygienist', 'employee', 200, 1000, 81, 'GBP')
on conflict do nothing;

insert into qualification_questions (organization_id, chatbot_id, key, position, question) values
  ('11111111-1111-4111-8111-111111111111', '1b1c1d1e-0000-4000-8000-000000000001', 'fleet_size', 1, '¿Cuántas bicis tiene la flota?'),
  ('11111111-1111-4111-8111-111111111111', '1b1c1d1e-0000-4000-8000-000000000001', 'start', 2, '¿Para cuándo lo necesitáis?'),
  ('22222222-2222-4222-8222-222222222222', '2b2c2d2e-0000-4000-8000-000000000002', 'employees', 1, 'How many employees should be seen?'),
  ('22222222-2222-4222-8222-222222222222', '2b2c2d2e-0000-4000-8000-000000000002', 'location', 2, 'At the practice or at your offices?')
on conflict do nothing;
