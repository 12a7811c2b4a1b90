"""Whether a reply is right: what is checked of each golden question. Pure, and without a model.

- grounded: each figure of the reply (number, time, date, day) and each name (a word with a capital inside a sentence,
  an address of the web or of mail) stands in what the bot had to go by: the passages that it cited, the results of its
  tools, the settings of the chatbot, what was said before in the conversation. Names are not looked at in German, where
  every noun has a capital. That a sentence says of a figure what its source says is not checked.
- cited: the sources that answer are among those that the reply cites; not asked for where the chatbot's settings alone
  have all that is expected, since settings are no source.
- facts: what the golden set expects is in the reply, figures in whatever form.
- refused (for what nobody can know): the reply says that it does not know, and is grounded; offered: it also offers a
  person, in words or by the tool contact_owner.
- tool: the tool was called, did its work, and got the arguments that matter.
- answered: only where no model answered, with the reason.
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from f.knowledge.languages import detect
from local.answers.figures import canonical, contains, figures, fold
from local.golden import Question

#: How people say that they do not know, in folded text; by language only for whoever reads this.
UNKNOWN = re.compile(
    r"(?:do not|don.?t) (?:know|have (?:any |that |this |the )?(?:information|detail|answer))|not (?:sure|certain)"
    r"|no information|(?:does not|doesn.?t) (?:say|mention)"
    r"|(?:can ?not|can.?t|could not|couldn.?t|unable to) (?:say|tell|find|confirm|answer|help you with that)"
    r"|no (?:lo )?se\b|no (?:lo )?(?:sabemos|encuentro|consta|figura|aparece)"
    r"|no (?:tengo|tenemos|dispongo|disponemos) (?:de )?(?:es[ao] |ningun[a]? |la |mas )?"
    r"(?:informacion|dato|respuesta|constancia)"
    r"|no puedo (?:decir|confirmar|responder|ayudar)|desconozco|sin informacion"
    r"|weiss (?:ich|es|das)?.{0,12}(?:nicht|leider)|keine (?:information|angabe|auskunft)"
    r"|ne (?:le )?sais pas|n.?ai pas|pas d.information|nao (?:o )?sei|nao tenho"
    r"|nie (?:wiem|mam)"
)
PERSON = re.compile(
    r"\b(?:person|human|someone|somebody|colleague|our team|the team|reception|staff|persona|alguien|companer|equipo"
    r"|encargad|recepcion|mensch|mitarbeiter|kolleg|personne|quelqu.un|equipe|pessoa|alguem|equipa)"
)
HANDS_OVER = "contact_owner"

#: States of a call whose tool has answered, if only that it will not.
ANSWERED = ("succeeded", "refused")

ADDRESS = re.compile(r"https?://\S+|www\.\S+|[^\s@<>(),;:]+@[^\s@<>(),;:]+\.\w+")
SENTENCE = re.compile(r"(?<=[.!?:…])[\s*_\"'»)]+|\n+|[¿¡«\"“(]|(?:^|\s)[-•*–—·|]\s")
NAME = re.compile(r"[^\W\d_][\w’'-]*")

#: Letters by which a name is known again: Sevilla and Seville, Harbour's and Harbour.
SAME_BEGIN = 5

#: Written with a capital, and no names.
NO_NAMES = frozenset("i i'm i'd i'll i've ok sr sra dr mr mrs ms vd ud".split())

CHECKS = ("answered", "grounded", "cited", "facts", "refused", "offered", "tool")


@dataclass(frozen=True)
class Passage:
    """What the reply cited."""

    source: str
    text: str


@dataclass(frozen=True)
class Call:
    """A call of a tool; `state` as in tool_executions."""

    name: str
    arguments: Mapping[str, Any]
    state: str
    result: str


@dataclass(frozen=True)
class Reply:
    """What came of a question. `settings` are the chatbot's own words (name, persona, facts), `said` the
    conversation up to it, `error` why the model did not answer."""

    text: str
    cited: Sequence[Passage] = ()
    calls: Sequence[Call] = ()
    settings: str = ""
    said: str = ""
    error: str | None = None
    ms: int = 0
    tokens: int = 0
    model: str = ""


@dataclass(frozen=True)
class Verdict:
    """Each check that was made, with what is wrong; an empty text where nothing is."""

    checks: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_right(self) -> bool:
        return not any(self.checks.values())

    @property
    def reasons(self) -> list[str]:
        return [reason for reason in self.checks.values() if reason]


def judge(question: Question, reply: Reply) -> Verdict:
    checks = {"grounded": invented(reply)}
    if question.kind == "unanswerable":
        checks["refused"] = not_refused(reply)
        checks["offered"] = not_offered(reply)
    if question.sources:
        checks["cited"] = not_cited(question, reply)
    if question.facts:
        checks["facts"] = lacking(question, reply)
    if question.tool:
        checks["tool"] = not_called(question.tool, reply.calls)
    if reply.error:
        checks["answered"] = f"no answer: {reply.error}"
    return Verdict(checks)


def invented(reply: Reply) -> str:
    """What the reply says and nothing that it had to go by."""
    known = "\n".join(
        [reply.settings, reply.said]
        + [f"{passage.source}\n{passage.text}" for passage in reply.cited]
        + [call.result for call in reply.calls if call.state in ANSWERED]
    )
    begins = {word[:SAME_BEGIN] for word in NAME.findall(fold(known))}
    strange = sorted(figures(reply.text) - figures(known))
    strange += [name for name in names_in(reply.text) if not _is_known(fold(name), fold(known), begins)]
    return f"in none of what it had to go by: {', '.join(dict.fromkeys(strange))}" if strange else ""


def _is_known(name: str, known: str, begins: Set[str]) -> bool:
    return name in known if re.search(r"[@/]", name) else name[:SAME_BEGIN] in begins


def names_in(text: str) -> Iterator[str]:
    """Words with a capital inside a sentence, and addresses."""
    yield from (match[0].rstrip(".,") for match in ADDRESS.finditer(text))
    if detect(text, "") == "de":
        return
    for sentence in SENTENCE.split(ADDRESS.sub(" ", text)):
        found = NAME.findall(sentence or "")
        for word in found[1:]:
            bare = re.sub(r"['’]s$", "", word)
            if bare[0].isupper() and fold(bare) not in NO_NAMES and not figures(bare):
                yield bare


def says_unknown(text: str) -> bool:
    return bool(UNKNOWN.search(fold(text)))


def not_refused(reply: Reply) -> str:
    return "" if says_unknown(reply.text) else "does not say that it does not know"


def not_offered(reply: Reply) -> str:
    has_called = any(call.name == HANDS_OVER and call.state == "succeeded" for call in reply.calls)
    return "" if has_called or PERSON.search(fold(reply.text)) else "offers no person"


def not_cited(question: Question, reply: Reply) -> str:
    cited = {passage.source for passage in reply.cited}
    if question.kind == "two_sources":
        missing = [source for source in question.sources if source not in cited]
    else:
        missing = [] if cited & set(question.sources) else [" or ".join(question.sources)]
    # What the chatbot was told in its settings needs no source.
    if not missing or (question.facts and not lacking(question, Reply(reply.settings))):
        return ""
    return f"does not cite {' and '.join(missing)} (cited: {', '.join(sorted(cited)) or 'nothing'})"


def lacking(question: Question, reply: Reply) -> str:
    words = canonical(reply.text)
    missing = [" or ".join(fact) for fact in question.facts if not any(contains(words, canonical(one)) for one in fact)]
    if not missing:
        return ""
    refused = "; it said that it does not know" if says_unknown(reply.text) else ""
    return f"does not say {'; '.join(repr(fact) for fact in missing)}{refused}"


def not_called(wanted: Mapping[str, Any], calls: Sequence[Call]) -> str:
    of_name = [call for call in calls if call.name == wanted["name"]]
    if not of_name:
        others = ", ".join(call.name for call in calls)
        return f"did not call {wanted['name']}{f' but {others}' if others else ''}"
    for call in of_name:
        if call.state == "succeeded" and not _wrong(wanted["arguments"], call.arguments):
            return ""
    last = of_name[-1]
    if last.state != "succeeded":
        return f"{last.name}: {last.state}, {last.result}"
    wrong = _wrong(wanted["arguments"], last.arguments)
    return f"{last.name} with {', '.join(f'{n} = {last.arguments.get(n)!r}' for n in wrong)}"


def _wrong(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Names of arguments that are not what they should be; texts in whatever case and form of figures."""
    return [name for name, value in wanted.items() if canonical(str(value)) != canonical(str(given.get(name)))]
