"""The demo model answers from the demo tenants' facts, in their language."""

import json
import re
from pathlib import Path

import pytest

from f.agent.demo_model import DemoModel
from f.agent.loop import Allowance, Message, Tool
from f.agent.prompts import build_messages

SEED = (Path(__file__).parents[2] / "db/seed.sql").read_text()
BICIS, DENTAL = (json.loads(facts) for facts in re.findall(r"'(\[\{.*?\}\])'", SEED, flags=re.S))
CHATBOTS = {
    "es": {"name": "Bicis Ribera", "persona": "p", "instructions": "", "language": "es", "facts": BICIS},
    "en": {"name": "Harbour Dental", "persona": "p", "instructions": "", "language": "en", "facts": DENTAL},
}


def ask(language: str, *questions: str, history=()) -> str:
    messages = build_messages(CHATBOTS[language], history, [{"body": question} for question in questions])
    return DemoModel().complete(messages, (), Allowance(1)).text


@pytest.mark.parametrize(
    ("language", "question", "part"),
    [
        ("es", "¿a qué hora abrís mañana?", "10:00 a 14:00"),
        ("es", "cuanto cuesta arreglar un pinchazo", "9 €"),
        ("es", "¿Dónde estáis?", "calle Ribera 18"),
        ("es", "¿tenéis bicis de alquiler?", "12 € al día"),
        ("es", "What are your opening hours?", "lunes a viernes"),
        ("en", "when are you open?", "8:30"),
        ("en", "How much does a check-up cost?", "£52"),
        ("en", "do you take Bupa", "Bupa"),
        ("en", "my tooth hurts", "emergency slots"),
        ("en", "¿cuál es el horario?", "Monday to Friday"),
    ],
)
def test_it_finds_the_fact(language, question, part):
    assert part in ask(language, question)


def test_one_reply_to_a_burst_has_seen_all_of_it():
    answer = ask("en", "hi", "how much is whitening?", "and where are you?")
    assert "£290" in answer and "Quay Street" in answer


@pytest.mark.parametrize(
    ("language", "begins"), [("es", "Lo siento, eso no lo sé"), ("en", "I am sorry, I do not know")]
)
def test_it_says_when_it_does_not_know(language, begins):
    assert ask(language, "who won the world cup in 1998 quién ganó").startswith(begins)


@pytest.mark.parametrize("message", ["Hola", "👋", "[opened the chat for the first time]", ""])
def test_it_greets(message):
    assert ask("es", message).startswith("¡Hola! Soy el asistente de Bicis Ribera.")


@pytest.mark.parametrize(
    "message", ["[image]", "[voice message]", '[document "a.pdf"]', "[sticker]", "[forwarded]\n[video]", "[image: 😀]"]
)
@pytest.mark.parametrize(
    ("language", "begins"), [("es", "Lo siento, no puedo ver imágenes"), ("en", "I am sorry, I cannot look at")]
)
def test_it_says_that_it_cannot_see_or_hear(language, begins, message):
    assert ask(language, message).startswith(begins)


def test_it_answers_a_caption_and_says_that_it_does_not_see_the_picture():
    answer = ask("en", "[image: how much is whitening?]")
    assert answer.startswith("I am sorry, I cannot look at") and "£290" in answer


@pytest.mark.parametrize("message", ["[location: Home 1, 2]", "[contact: Jo]", "[order: 2 × a]", "[filled in a form]"])
def test_it_says_that_something_has_arrived(message):
    assert ask("es", message).startswith("Gracias, lo he recibido.")


def test_it_reads_only_what_waits():
    history = [{"direction": "in", "body": "how much is whitening?"}, {"direction": "out", "body": "£290"}]
    assert "£290" not in ask("en", "where are you?", history=history)


def test_tokens_are_counted():
    completion = DemoModel().complete([Message("system", "x" * 40), Message("user", "hello")], (), Allowance(1))
    assert completion.prompt_tokens == 11 and completion.completion_tokens > 1 and completion.model == "demo"


TOOLS = [Tool(name, "", {"type": "object"}, lambda arguments: "")
         for name in ("calculate_pricing", "contact_owner", "capture_lead")]  # fmt: skip


@pytest.mark.parametrize(
    ("language", "question", "tool", "arguments"),
    [
        ("en", "How much are check-ups for 60 employees?", "calculate_pricing", {"volume": 60}),
        ("es", "¿Cuánto cuesta el mantenimiento de 25 bicis?", "calculate_pricing", {"volume": 25}),
        ("en", "Can I speak to a person?", "contact_owner", {"reason": "Can I speak to a person?"}),
        ("es", "quiero hablar con una persona", "contact_owner", {"reason": "quiero hablar con una persona"}),
        (
            "en",
            "My name is Ana Gil and my email is ana@example.org.",
            "capture_lead",
            {"name": "Ana Gil", "email": "ana@example.org"},
        ),
        (
            "es",
            "Me llamo José Ruiz, jose@example.org",
            "capture_lead",
            {"name": "José Ruiz", "email": "jose@example.org"},
        ),
    ],
)
def test_it_calls_a_tool_that_exists(language, question, tool, arguments):
    messages = build_messages(CHATBOTS[language], (), [{"body": question}], TOOLS)
    call = DemoModel().complete(messages, TOOLS, Allowance(1)).tool_calls[0]
    assert call.name == tool and arguments.items() <= json.loads(call.arguments).items()
    assert DemoModel().complete(messages, (), Allowance(1)).tool_calls == ()


@pytest.mark.parametrize(
    "question", ["how much is a check-up?", "are you open on the 24th?", "hablar", "ana@example.org"]
)
def test_it_calls_nothing_without_a_reason(question):
    assert (
        DemoModel().complete(build_messages(CHATBOTS["en"], (), [{"body": question}], TOOLS), TOOLS, Allowance(1)).text
    )


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ('{"handed_over": true, "note": "x"}', "Claro. Te contestará una persona por aquí."),
        ('{"is_new": true, "name": "Ana", "stage": "new"}', "Gracias, Ana. Lo he apuntado."),
        ("Error: no such day", "No ha podido ser: no such day"),
    ],
)
def test_it_says_what_a_tool_has_done(result, text):
    messages = build_messages(CHATBOTS["es"], (), [{"body": "?"}], TOOLS)
    exchange = [*messages, Message("assistant", ""), Message("tool", result, tool_call_id="demo-0")]
    assert DemoModel().complete(exchange, TOOLS, Allowance(1)).text == text


PASSAGES = "\n".join(
    json.dumps({"passage": number, "source": source, "section": section, "text": text})
    for number, (source, section, text) in enumerate(
        [
            ("care.md", "Care › Crowns", "A zirconia crown costs 640 pounds,\na metal one 480. We guarantee it.\n\n"
             "Care › Night guards\n\nIt costs 165 pounds and is ready in a week."),
            ("team.md", "Team › Dr Nowak", "Root canals. Here on Tuesdays and Fridays."),
        ],
        start=1,
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("questions", "answer"),
    [
        (["how much is a zirconia crown?"], "A zirconia crown costs 640 pounds, a metal one 480. We guarantee it. [1]"),
        (["how much is a zircona crwon"], "A zirconia crown costs 640 pounds, a metal one 480. We guarantee it. [1]"),
        (["price of a night guard"], "It costs 165 pounds and is ready in a week. [1]"),
        (["How much is a night guard and when is Dr Nowak here?"],
         "It costs 165 pounds and is ready in a week. [1]\n\nHere on Tuesdays and Fridays. [2]"),
        (["how much is teeth whitening?"], DENTAL[2]["text"]),
    ],
)  # fmt: skip
def test_it_answers_from_passages_and_marks_them(questions, answer):
    messages = build_messages(CHATBOTS["en"], (), [{"body": question} for question in questions], passages=PASSAGES)
    assert DemoModel().complete(messages, (), Allowance(1)).text == answer


def test_it_knows_what_was_asked_before():
    history = [{"direction": "in", "body": "do you make night guards?"}, {"direction": "out", "body": "Yes."}]
    messages = build_messages(CHATBOTS["en"], history, [{"body": "and how much is it?"}], passages=PASSAGES)
    assert "165 pounds" in DemoModel().complete(messages, (), Allowance(1)).text


@pytest.mark.parametrize("question", ["how much are porcelain veneers?", "do you sell bitcoin here", "is Dr Smith in?"])
def test_half_a_likeness_is_no_answer(question):
    messages = build_messages(CHATBOTS["en"], (), [{"body": question}], passages=PASSAGES)
    assert DemoModel().complete(messages, (), Allowance(1)).text.startswith("I am sorry, I do not know")


def test_money_is_no_number_of_units():
    names = [tool for tool in TOOLS if tool.name == "calculate_pricing"]
    messages = build_messages(CHATBOTS["en"], (), [{"body": "what does a plan for a bike of 800 euros cost?"}])
    assert DemoModel().complete(messages, names, Allowance(1)).tool_calls == ()
