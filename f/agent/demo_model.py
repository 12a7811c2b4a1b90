# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "attrs==26.1.0", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "referencing==0.37.0",
#   "rpds-py==2026.9.1", "typing-extensions==4.16.0",
# ]
# ///
"""A model that needs no account: it picks the facts that fit the question. For trying the system only.

It reads nothing but the exchange that a real model would get, so that everything around it is
the real thing. It looks words up; it does not understand.
"""

import json
import re
from collections.abc import Sequence, Set
from itertools import takewhile
from typing import Any

from f.agent.demo_lookup import answers_to, facts_of, passages_of, weighty, words
from f.agent.loop import Allowance, Completion, Message, Tool, ToolCall
from f.agent.prompts import PERSON, UNKNOWN

#: By language: to a greeting, to thanks, to what is not in the facts, to what it cannot see or hear, to anything else
#: that is no question, such as a location.
PHRASES = {
    "en": ("Hello! I am the assistant of {name}. I can help with: {topics}.",
           "You are welcome! Is there anything else?",
           "I am sorry, I do not know that. I can help with: {topics}.",
           "I am sorry, I cannot look at pictures or files, or listen to voice messages. Please write to me what it is "
           "about. I can help with: {topics}.",
           "Thank you, I have received that. What would you like to know? I can help with: {topics}."),
    "es": ("¡Hola! Soy el asistente de {name}. Puedo ayudarte con: {topics}.",
           "¡De nada! ¿Algo más?",
           "Lo siento, eso no lo sé. Puedo ayudarte con: {topics}.",
           "Lo siento, no puedo ver imágenes ni archivos, ni escuchar notas de voz. Escríbeme, por favor, de qué se "
           "trata. Puedo ayudarte con: {topics}.",
           "Gracias, lo he recibido. ¿Qué te gustaría saber? Puedo ayudarte con: {topics}."),
    "de": ("Hallo! Ich bin der Assistent von {name}. Ich helfe gern bei: {topics}.",
           "Gern geschehen! Noch etwas?",
           "Das weiß ich leider nicht. Ich helfe gern bei: {topics}.",
           "Bilder und Dateien kann ich leider nicht ansehen und Sprachnachrichten nicht anhören. Bitte schreib mir, "
           "worum es geht. Ich helfe gern bei: {topics}.",
           "Danke, das ist angekommen. Was möchtest du wissen? Ich helfe gern bei: {topics}."),
    "fr": ("Bonjour ! Je suis l'assistant de {name}. Je peux vous aider pour : {topics}.",
           "Avec plaisir ! Autre chose ?",
           "Désolé, je ne le sais pas. Je peux vous aider pour : {topics}.",
           "Désolé, je ne peux ni voir les images et les fichiers, ni écouter les messages vocaux. Écrivez-moi, s'il "
           "vous plaît, de quoi il s'agit. Je peux vous aider pour : {topics}.",
           "Merci, c'est bien arrivé. Que souhaitez-vous savoir ? Je peux vous aider pour : {topics}."),
    "pt": ("Olá! Sou o assistente de {name}. Posso ajudar com: {topics}.",
           "De nada! Mais alguma coisa?",
           "Desculpe, isso não sei. Posso ajudar com: {topics}.",
           "Desculpe, não consigo ver imagens nem ficheiros, nem ouvir mensagens de voz. Escreva-me, por favor, do que "
           "se trata. Posso ajudar com: {topics}.",
           "Obrigado, recebi. O que gostaria de saber? Posso ajudar com: {topics}."),
}  # fmt: skip

#: What stands for something that it cannot see or hear, with the caption, and what stands for anything else.
MEDIA = re.compile(r'\[(?:image|video|audio|voice message|document|sticker)(?: "[^"\]]*")?(?:: ([^]]*))?\]')
SENT = re.compile(r"\[(?:location|contacts?|order|filled in a form)\b[^]]*\]")

THANKS = frozenset("thanks thank thx ty gracias danke merci obrigado obrigada vale ok okay perfecto great".split())

#: What says nothing that could be answered.
SMALL_TALK = frozenset("yes no nope si bye goodbye fine great nice ja nein oui non sim nao adios chao tschuss".split())

#: What it says of a tool's result: a person comes, a lead is kept, something was refused.
TOOL_PHRASES = {
    "en": ("Of course. A person will answer you here.", "Thank you, {name}. I have noted it down.",
           "That did not work: {problem}"),
    "es": ("Claro. Te contestará una persona por aquí.", "Gracias, {name}. Lo he apuntado.",
           "No ha podido ser: {problem}"),
    "de": ("Gern. Ein Mensch antwortet dir hier.", "Danke, {name}. Ich habe es notiert.",
           "Das ging nicht: {problem}"),
}  # fmt: skip

#: The offer of a person, in words that call one.
OFFERS = {
    "en": "If you want to speak to a person, just say so.",
    "es": "Si quieres hablar con una persona, dímelo.",
    "de": "Wenn du mit einem Menschen sprechen willst, sag es einfach.",
    "fr": "Si vous voulez parler à une personne, dites-le-moi.",
    "pt": "Se quiser falar com uma pessoa, diga-me.",
}

EMAIL = re.compile(r"[^\s@<>,;:]+@[^\s@<>,;:]+[^\s@<>,;:.!?]")
NAMED = re.compile(r"(?:my name is|i am|i'm|me llamo|mi nombre es|soy)\s+([^\W\d_][^\d,.;:!?@\n]*)", re.IGNORECASE)
#: Of units: money is none.
NUMBER = re.compile(
    r"(?<![\w.,£$€])[0-9]{1,12}(?![\w.,]*[0-9])(?!\s*(?:€|£|\$|euro|eur\b|pound|dollar))", re.IGNORECASE
)
PEOPLE = frozenset(
    "person human someone staff manager persona humano alguien encargado encargada mensch menschen personne "
    "pessoa".split()
)
SPEAK = frozenset("speak talk call contact hablar contactar llamar llame llamen llamad sprechen parler falar".split())
PRICE = frozenset("price prices cost costs much quote precio precios cuesta cuestan cuanto presupuesto preis".split())


class DemoModel:
    name = "demo"

    def complete(self, messages: Sequence[Message], tools: Sequence[Tool], allowance: Allowance) -> Completion:
        prompt = messages[0].content
        results = list(takewhile(lambda message: message.role == "tool", reversed(messages)))[::-1]
        exchange = messages[1 : -len(results) - 1] if results else messages[1:]
        latest = takewhile(lambda message: message.role == "user", reversed(exchange))
        asked = [message.content for message in latest][::-1]
        earlier = (message.content for message in exchange[: len(exchange) - len(asked)] if message.role == "user")
        before = next(reversed(list(earlier)), "")
        may_call = allowance.may_call and not results
        calls = (
            tool_calls([re.sub(r"\[[^]]*\]", "", text) for text in asked], {tool.name for tool in tools})
            if may_call
            else ()
        )
        if results:
            text = "\n\n".join(describe(result.content, language_of(prompt)) for result in results)
        else:
            text = "" if calls else reply(prompt, asked, before, any(tool.name == PERSON for tool in tools))
        return Completion(text, self.name, sum(tokens(m.content) for m in messages), tokens(text), calls)


def tool_calls(asked: Sequence[str], tools: Set[str]) -> tuple[ToolCall, ...]:
    """What the questions call for: a person, a price for a number of units, a lead with name and email."""
    calls: list[tuple[str, dict[str, Any]]] = []
    for text in asked:
        said = set(words(text))
        number = re.search(NUMBER, text)
        email, name = EMAIL.search(text), NAMED.search(text)
        if said & PEOPLE and said & SPEAK:
            calls.append((PERSON, {"reason": shorten(text)}))
        elif said & PRICE and number:
            calls.append(("calculate_pricing", {"volume": int(number[0])}))
        elif email and name:
            lead = {"name": re.split(r"\s+(?:and|y|und)\b", name[1])[0].strip(), "email": email[0]}
            calls.append(("capture_lead", {**lead, "stage": "new", "stage_reason": "gave a name and an email address"}))
    known = [(tool, arguments) for tool, arguments in calls if tool in tools]
    return tuple(ToolCall(f"demo-{n}", tool, json.dumps(arguments)) for n, (tool, arguments) in enumerate(known))


def describe(result: str, language: str) -> str:
    """A tool's result in a sentence."""
    person, lead, refused = TOOL_PHRASES.get(language, TOOL_PHRASES["en"])
    try:
        found = json.loads(result)
    except ValueError:
        return refused.format(problem=result.removeprefix("Error: "))
    if "quotes" in found:
        return "\n".join(
            f"{q['product']}, {q['tier']}: {q['volume']} × {q['unit_price'].rstrip('0').rstrip('.')} = "
            f"{q['total']} {q['currency']}"
            for q in found["quotes"]
        )
    return person if "handed_over" in found else lead.format(name=found.get("name", ""))


def language_of(prompt: str) -> str:
    return (_first(r"unclear, in: (\S+)", prompt) or "en").split("-")[0]


def shorten(text: str) -> str:
    return " ".join(text.split())[:200]


def reply(prompt: str, asked: Sequence[str], before: str = "", may_hand_over: bool = False) -> str:
    """An answer to all of `asked` from the facts in `prompt` (lines `- topic: text`).

    What stands in brackets is no question, but for the caption of a picture. `before` is what was asked last. A
    question that nothing answers gets a reply with the mark that the prompt asks for, and with the offer of a person
    where one can be called.
    """
    facts = re.findall(r"^- ([^:\n]+): (.+)$", prompt, flags=re.M)
    name = _first(r"assistant of (.+)\.$", prompt) or "this business"
    greeting, welcome, unknown, unseen, received = PHRASES.get(language_of(prompt), PHRASES["en"])
    topics = ", ".join(dict.fromkeys(topic for topic, _ in facts)) or name
    is_media, is_sent = (any(kind.search(text) for text in asked) for kind in (MEDIA, SENT))
    asked = [re.sub(r"\[[^]]*\]", "", MEDIA.sub(lambda media: media[1] or "", text)) for text in asked]
    found: list[str] = [unseen.format(name=name, topics=topics)] if is_media else []
    found += answers_to(asked, before, [*facts_of(facts), *passages_of(prompt)])
    if found:
        return "\n\n".join(found)
    said = set(words(" ".join(asked)))
    if is_sent and not said:
        return received.format(name=name, topics=topics)
    if said & THANKS or (said and said <= SMALL_TALK):
        return welcome
    if not weighty(" ".join(asked)):
        return greeting.format(name=name, topics=topics)
    offer = f" {OFFERS.get(language_of(prompt), OFFERS['en'])}" if may_hand_over else ""
    return f"{unknown.format(name=name, topics=topics)}{offer} {UNKNOWN}"


def tokens(text: str) -> int:
    """Roughly what a real tokenizer would count."""
    return max(1, len(text) // 4)


def _first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text, flags=re.M)
    return match[1] if match else None
