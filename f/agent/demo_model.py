"""A model that needs no account: it picks the facts that fit the question. For trying the system only.

It reads nothing but the exchange that a real model would get, so that everything around it is
the real thing. It looks words up; it does not understand.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from math import log

from f.agent.loop import Allowance, Completion, Message, Tool

#: Words that customers use, by the topic of a fact that they ask for (en, es, de, fr, pt).
TOPIC_WORDS = {
    "hours": "hours open opening close closed closing when today tomorrow saturday sunday weekend time schedule late "
    "horario horarios abierto abren abrir abre cierra cierran cerrado cuando hora horas sabado domingo manana hoy "
    "geoffnet offnungszeiten wann uhr heures ouvert ouverture horaires aberto abre fecha quando",
    "address": "where address location located street directions find map parking park metro bus "
    "donde direccion ubicacion calle llegar estais encuentran aparcar aparcamiento mapa "
    "wo adresse strasse parken ou adresse rue onde endereco morada",
    "prices": "price prices cost costs much fee fees charge expensive cheap rate euro dollar pounds "
    "precio precios cuesta cuestan cuanto vale valen tarifa tarifas coste caro barato euros "
    "preis preise kostet kosten teuer prix combien coute tarif preco precos custa quanto",
    "booking": "book booking appointment appointments reserve reservation schedule visit slot cancel reschedule "
    "cita citas reservar reserva pedir turno cancelar anular termin buchen rendez vous reserver marcar consulta",
    "payment": "pay payment card cash visa mastercard instalments finance insurance invoice "
    "pagar pago pagos tarjeta efectivo bizum plazos factura zahlen karte bar payer carte pagamento cartao",
    "contact": "phone call telephone number email mail contact speak human person someone talk staff "
    "telefono llamar numero correo contacto hablar persona humano alguien "
    "telefon anrufen mensch telephone appeler parler telefone falar pessoa",
    "emergency": "emergency urgent pain hurts broken bleeding swollen urgencia urgente dolor notfall urgence",
    "delivery": "deliver delivery pickup shipping collect envio entrega domicilio recoger lieferung livraison",
    "guarantee": "warranty guarantee return refund garantia devolucion devolver garantie",
}

PHRASES = {
    "en": ("Hello! I am the assistant of {name}. I can help with: {topics}.",
           "You are welcome! Is there anything else?",
           "I am sorry, I do not know that. I can help with: {topics}."),
    "es": ("¡Hola! Soy el asistente de {name}. Puedo ayudarte con: {topics}.",
           "¡De nada! ¿Algo más?",
           "Lo siento, eso no lo sé. Puedo ayudarte con: {topics}."),
    "de": ("Hallo! Ich bin der Assistent von {name}. Ich helfe gern bei: {topics}.",
           "Gern geschehen! Noch etwas?",
           "Das weiß ich leider nicht. Ich helfe gern bei: {topics}."),
}  # fmt: skip

GREETINGS = frozenset("hello hi hey hola buenas buenos dias tardes noches good morning afternoon evening hallo bonjour "
                      "ola salut moin guten tag start".split())  # fmt: skip
THANKS = frozenset("thanks thank thx ty gracias danke merci obrigado obrigada vale ok okay perfecto great".split())

#: Words without weight, so that "what is the …" finds nothing by itself.
STOP_WORDS = frozenset(
    "a an and are as at be by can could do does for from have how i in is it me my of on or our please tell that the "
    "there this to us we what which who will with would you your much many about need want like get "
    "al con cual cuales de del el en es esta este hay la las lo los me mi para por puedo puede que quiero se ser si "
    "su sus tengo teneis tienen tiene un una uno y yo the der die das ein eine ist sind ich sie und "
    "le les des est et je vous".split()
)


class DemoModel:
    name = "demo"

    def complete(self, messages: Sequence[Message], tools: Sequence[Tool], allowance: Allowance) -> Completion:
        prompt = messages[0].content
        latest = takewhile(lambda message: message.role == "user", reversed(messages[1:]))
        asked = [re.sub(r"\[[^]]*\]", "", message.content) for message in latest][::-1]
        text = reply(prompt, asked)
        return Completion(text, self.name, sum(tokens(m.content) for m in messages), tokens(text))


def reply(prompt: str, asked: Sequence[str]) -> str:
    """An answer to all of `asked` from the facts in `prompt` (lines `- topic: text`)."""
    facts = re.findall(r"^- ([^:\n]+): (.+)$", prompt, flags=re.M)
    name = _first(r"assistant of (.+)\.$", prompt) or "this business"
    language = (_first(r"unclear, in: (\S+)", prompt) or "en").split("-")[0]
    greeting, welcome, unknown = PHRASES.get(language, PHRASES["en"])
    topics = ", ".join(dict.fromkeys(topic for topic, _ in facts)) or name
    found: list[str] = []
    for question in asked:
        found += [text for text in best_facts(question, facts) if text not in found]
    if found:
        return "\n\n".join(found)
    said = set(words(" ".join(asked)))
    if said & THANKS:
        return welcome
    template = greeting if said & GREETINGS or not said else unknown
    return template.format(name=name, topics=topics)


def best_facts(question: str, facts: Sequence[tuple[str, str]]) -> list[str]:
    """At most two facts that share weighty words with `question`, the best first."""
    asked = [word for word in words(question) if word not in STOP_WORDS and word not in GREETINGS]
    documents = [Counter(stem(word) for word in words(f"{topic} {text}") if word not in STOP_WORDS)
                 for topic, text in facts]  # fmt: skip
    frequency = Counter(word for document in documents for word in document)
    scores = []
    for (topic, text), document in zip(facts, documents, strict=True):
        score = sum(log(1 + len(facts) / frequency[stem(word)]) for word in set(asked) if stem(word) in document)
        score += 1.5 * len(set(asked) & _TOPICS.get(topic_key(topic), frozenset()))
        scores.append((score, text))
    scores.sort(key=lambda item: -item[0])
    best = scores[0][0] if scores else 0
    return [text for score, text in scores[:2] if score >= 1.2 and score >= 0.75 * best]


def topic_key(topic: str) -> str:
    """The topic of TOPIC_WORDS that a fact's own heading belongs to: `Horario` is hours."""
    heading = set(words(topic))
    return next((key for key, known in _TOPICS.items() if key in heading or heading & known), topic)


def words(text: str) -> list[str]:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return re.findall(r"[^\W_]+", plain)


def stem(word: str) -> str:
    """Plural and singular, verb and noun alike: the first letters of a longer word."""
    return word[:5] if len(word) > 5 else word.removesuffix("s")


def tokens(text: str) -> int:
    """Roughly what a real tokenizer would count."""
    return max(1, len(text) // 4)


def _first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text, flags=re.M)
    return match[1] if match else None


_TOPICS = {topic: frozenset(listed.split()) for topic, listed in TOPIC_WORDS.items()}
