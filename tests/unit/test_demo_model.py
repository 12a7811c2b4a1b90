"""The demo model answers from the demo tenants' facts, in their language."""

import json
import re
from pathlib import Path

import pytest

from f.agent.demo_model import DemoModel
from f.agent.loop import Allowance, Message
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


@pytest.mark.parametrize("message", ["Hola", "👋", "[image]", ""])
def test_it_greets(message):
    assert ask("es", message).startswith("¡Hola! Soy el asistente de Bicis Ribera.")


def test_it_reads_only_what_waits():
    history = [{"direction": "in", "body": "how much is whitening?"}, {"direction": "out", "body": "£290"}]
    assert "£290" not in ask("en", "where are you?", history=history)


def test_tokens_are_counted():
    completion = DemoModel().complete([Message("system", "x" * 40), Message("user", "hello")], (), 1)
    assert completion.prompt_tokens == 11 and completion.completion_tokens > 1 and completion.model == "demo"
