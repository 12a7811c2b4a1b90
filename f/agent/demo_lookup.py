# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""How the demo model finds what fits a question: words that the question and a fact or a passage have in common. Pure.

It knows no meaning. Words are compared by how they begin; rare ones weigh more; what a question asks for (a price, a
time) is known by lists of words; a word that nothing else has is taken for the one that is spelled most like it.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from difflib import get_close_matches
from math import log

#: Words that customers use, by the topic of a fact that they ask for (en, es, de, fr, pt).
TOPIC_WORDS = {
    "hours": "hours open opening close closed closing when today tomorrow saturday sunday weekend time schedule late "
    "horario horarios abierto abren abrir abre cierra cierran cerrado cuando hora horas sabado domingo manana hoy "
    "geoffnet offnungszeiten wann uhr heures ouvert ouverture horaires aberto abre fecha quando",
    "address": "where address location located street directions find map parking park metro bus "
    "donde direccion ubicacion calle llegar estais encuentran aparcar aparcamiento mapa "
    "wo adresse strasse parken ou adresse rue onde endereco morada",
    "prices": "price prices cost costs much fee fees charge expensive cheap rate euro dollar pounds "
    "precio precios cuesta cuestan cuanto vale valen tarifa tarifas coste caro barato euros cobrais cobran cobra "
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

GREETINGS = frozenset("hello hi hey hola buenas buenos dias tardes noches good morning afternoon evening hallo bonjour "
                      "ola salut moin guten tag start".split())  # fmt: skip

#: Words without weight, so that "what is the …" finds nothing by itself.
STOP_WORDS = frozenset(
    "a an and are as at be by can could do does for from have how i in is it me my of on or our please tell that the "
    "there this to us we what which who will with would you your much many about need want like get "
    "al con cual cuales de del el en es esta este hay la las lo los me mi para por puedo puede que quiero se ser si "
    "su sus tengo teneis tienen tiene un una uno y yo the der die das ein eine ist sind ich sie und "
    "le les des est et je vous "
    "after all also am any been before being but did had has he her his if into its just may no not off only own s she "
    "should so some t than then they up we while yes "
    "ahi ante antes aqui asi cada desde despues donde dos eso esa ese esto estos estas ha hace haceis hacer hacia han "
    "hasta he ir mas mis muy ni nos o os pero poder podeis puedes quien saber sin sobre son soy tambien tener "
    "tras tu tus u unas unos va vais ya "
    "am auch auf aus bei bin fur im ist kann man mein mich mir mit nach nicht noch von wir zu zum zur "
    "avec ce cette dans du en il ils ma mes mon ne nous on par pas pour sur un une".split()
)

#: Words that ask and name nothing.
ASKING = frozenset(
    "how much many what which who whom when where why long day days time "
    "cuanto cuanta cuantos cuantas que cual cuales quien cuando donde como dia dias hora tiempo "
    "was wie wann wo wer welche viel combien quel quelle quand ou qui".split()
)
NEXT_QUESTION = re.compile(
    r"(?<=\?)\s+|,?\s+(?:and|y|und|et)\s+(?=(?:on |in |at |hasta |en |a )?"
    r"(?:how|what|which|who|when|where|does|do|is|can|cu[aá]nt\w*|qu[eé]|cu[aá]l\w*|qui[eé]n|cu[aá]ndo|d[oó]nde|c[oó]mo"
    r"|wie|was|wann|wo|combien|quand)\b)",
    re.IGNORECASE,
)

#: The share of a question's weight that an answer must have, and the weight of a word that stands nowhere.
LEAST, UNHEARD = 0.5, 2.5

#: What a word counts that only stands around the sentence, that the conversation has said before, and that says which
#: kind of fact is wanted; what a price without a figure is worth.
AROUND, BEFORE, TOPIC, NO_FIGURE = 0.5, 0.3, 1.5, 0.7

#: How alike a word that nothing has must be to one that is there; shorter ones are not put right.
ALIKE, LONG_ENOUGH = 0.8, 5

#: Of a passage: sentences that an answer has at most, and characters.
SENTENCES, CHARACTERS = 3, 300


@dataclass(frozen=True)
class Candidate:
    """Something that may be said: a fact, or a sentence of a passage with those that follow it.

    `stems` are those of the sentence itself, `about` those of its headings and of what follows; `number` is that of its
    passage; `topic` are the words by which people ask for a fact.
    """

    text: str
    stems: frozenset[str]
    about: frozenset[str]
    number: int | None = None
    topic: frozenset[str] = frozenset()


def answers_to(asked: Sequence[str], before: str, candidates: Sequence[Candidate]) -> list[str]:
    """What fits each question of the messages `asked`, each once; `before` is what was asked before them."""
    found: list[str] = []
    for message in asked:
        for part in NEXT_QUESTION.split(message):
            found += [text for text in best(part, before, candidates) if text not in found]
            before = f"{before} {part}"
    return found


def best(question: str, before: str, candidates: Sequence[Candidate]) -> list[str]:
    """The best passage, or at most two facts that are nearly as good as each other."""
    known = Counter(stem for candidate in candidates for stem in candidate.stems | candidate.about)
    spoken = _put_right(spoken_of(question), known)
    wanted = {stem(word) for word in spoken if word not in ASKING | _PRICES}
    earlier = {stem(word) for word in spoken_of(before) if word not in ASKING | _PRICES}
    is_price = bool(set(spoken) & _PRICES)
    if not wanted and not set(spoken) & _ALL_TOPICS - _PRICES:
        wanted, earlier = earlier, set()

    def weight(stems: Iterable[str]) -> float:
        return sum(log(1 + len(candidates) / known[one]) if known[one] else UNHEARD for one in stems)

    scored = []
    for candidate in candidates:
        by_topic = {word for word in spoken if word in candidate.topic}
        said = wanted & candidate.stems
        about = (wanted & (candidate.about | {stem(word) for word in by_topic})) - said
        if not (said or about or by_topic) or weight(said | about) < LEAST * weight(wanted):
            continue
        score = weight(said) + AROUND * weight(about) + TOPIC * len(by_topic)
        score += BEFORE * weight(earlier & (candidate.stems | candidate.about))
        if is_price and not re.search(r"\d", candidate.text):
            score *= NO_FIGURE
        scored.append((score, candidate))
    scored.sort(key=lambda item: -item[0])
    if not scored:
        return []
    most, first = scored[0]
    if first.number:
        return [f"{first.text} [{first.number}]"]
    return [one.text for score, one in scored[:2] if not one.number and score >= 0.75 * most]


def _put_right(spoken: Sequence[str], known: Counter[str]) -> list[str]:
    """Words with those that nothing has replaced by what they may have been meant to be."""
    right = []
    for word in spoken:
        if len(word) >= LONG_ENOUGH and not known[stem(word)] and word not in _ALL_TOPICS | ASKING:
            like = get_close_matches(stem(word), known, 1, ALIKE)
            word = like[0] if like else word
        right.append(word)
    return right


def facts_of(facts: Iterable[tuple[str, str]]) -> list[Candidate]:
    """Of facts as topic and text."""
    return [
        Candidate(text, stems_of(text), stems_of(topic), topic=_TOPICS.get(topic_key(topic), frozenset()))
        for topic, text in facts
    ]


def passages_of(prompt: str) -> list[Candidate]:
    """Of the passages in a prompt, sentence by sentence."""
    found = []
    for line in re.findall(r'^\{"passage": .+\}$', prompt, flags=re.M):
        passage = json.loads(line)
        heading = f"{passage['source']} {passage['section']}"
        # A line that goes on with a small letter or a figure was only wrapped.
        for paragraph in re.split(r"\n(?![a-z\d(])", passage["text"]):
            text = " ".join(paragraph.split()).strip("#*-| ")
            if not text:
                continue
            if is_heading(text):
                heading = f"{passage['source']} {text}"
                continue
            sentences = re.split(r"(?<=[.!?])\s+", text)
            for at, sentence in enumerate(sentences):
                if words(sentence):
                    shown = shorten(sentences[at : at + SENTENCES])
                    about = stems_of(f"{heading} {shown}")
                    found.append(Candidate(shown, stems_of(sentence), about, passage["passage"]))
    return found


def is_heading(text: str) -> bool:
    """Whether a line names what follows: it has a path of headings, or is short and no sentence."""
    return "›" in text or (len(text) < 60 and not re.search(r"[.!?:;|\d]", text))


def shorten(sentences: Sequence[str]) -> str:
    """As many of them as are short enough together, at least one."""
    text = sentences[0]
    for sentence in sentences[1:]:
        if len(text) + len(sentence) > CHARACTERS:
            break
        text = f"{text} {sentence}"
    return text


def spoken_of(text: str) -> list[str]:
    """The words that say something."""
    return [word for word in words(text) if word not in STOP_WORDS | GREETINGS]


def weighty(text: str) -> set[str]:
    """The words that say something, as stems."""
    return {stem(word) for word in spoken_of(text)}


def stems_of(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words(text) if word not in STOP_WORDS)


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


_TOPICS = {topic: frozenset(listed.split()) for topic, listed in TOPIC_WORDS.items()}
_PRICES = _TOPICS["prices"]
_ALL_TOPICS: Set[str] = frozenset().union(*_TOPICS.values())
