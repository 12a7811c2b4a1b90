"""Texts in a form in which the same figure is the same word: 2,150 and 2.150, £52 and 52 pounds, 6 pm and 18:00. Pure.

Words of numbers are read in English and Spanish (but for one, which is also an article), names of days and months in
English, Spanish, German, French and Portuguese.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence

TOKEN = re.compile(
    r"(?P<iso>\d{4}-\d{2}-\d{2})|(?P<date>\d{1,2}/\d{1,2}/\d{2,4})|(?P<time>\d{1,2}[:.h]\d{2}(?!\d)\s*(?:[ap]\.?m\b\.?)?)"
    r"|(?P<hour>\d{1,2}\s*(?:[ap]\.?m\b\.?|h\b|uhr\b))|(?P<number>\d+(?:[.,]\d+)*)|(?P<money>[€£$])|(?P<word>[^\W\d_]+)"
)
MONEY_FIRST = re.compile(r"([€£$])\s*(\d+(?:[.,]\d+)*)")
CURRENCIES = {
    "€": "eur", "euro": "eur", "euros": "eur", "eur": "eur", "£": "gbp", "pound": "gbp", "pounds": "gbp",
    "libra": "gbp", "libras": "gbp", "pfund": "gbp", "gbp": "gbp",
    "$": "usd", "dollar": "usd", "dollars": "usd", "usd": "usd",
}  # fmt: skip
MONTHS = (
    "january enero januar janvier janeiro", "february febrero februar fevrier fevereiro", "march marzo marz mars marco",
    "april abril avril", "may mayo mai maio", "june junio juni juin junho", "july julio juli juillet julho",
    "august agosto aout", "september septiembre setiembre septembre setembro",
    "october octubre oktober octobre outubro",
    "november noviembre novembre novembro", "december diciembre dezember decembre dezembro",
)  # fmt: skip
DAYS = (
    "monday lunes montag lundi", "tuesday martes dienstag mardi", "wednesday miercoles mittwoch mercredi",
    "thursday jueves donnerstag jeudi", "friday viernes freitag vendredi", "saturday sabado samstag samedi",
    "sunday domingo sonntag dimanche",
)  # fmt: skip
#: "May" is also a verb, "mars" and "marco" are names: these are read as months only beside a number.
UNSURE = frozenset({"may", "mars", "marco", "mai", "march"})

UNITS = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen"
    " nineteen",
    "dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis diecisiete dieciocho"
    " diecinueve veinte veintiuno veintidos veintitres veinticuatro veinticinco veintiseis veintisiete veintiocho"
    " veintinueve",
)
TENS = (
    "twenty thirty forty fifty sixty seventy eighty ninety",
    "_ treinta cuarenta cincuenta sesenta setenta ochenta noventa",
)
HUNDREDS = "ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos"
SMALL = {word: number for listed in UNITS for number, word in enumerate(listed.split(), start=2)}
LARGE = {word: 10 * number for listed in TENS for number, word in enumerate(listed.split(), start=2)}
LARGE |= {word: 100 * number for number, word in enumerate(HUNDREDS.split(), start=1)} | {"cien": 100}

_NAMED = {word: f"month{n}" for n, listed in enumerate(MONTHS, 1) for word in listed.split()}
_NAMED |= {word: f"day{n}" for n, listed in enumerate(DAYS, 1) for word in listed.split()}
_NAMED |= {f"{word}s": f"day{n}" for n, listed in enumerate(DAYS, 1) for word in listed.split() if word[-1] != "s"}


def fold(text: str) -> str:
    """Without accents, ligatures and case."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def canonical(text: str) -> list[str]:
    """The words of `text`, figures in their one form: 1237.5, 9:30, 18 (of 18:00 and 6 pm), month12, day1, eur."""
    plain = MONEY_FIRST.sub(r"\2 \1", fold(text))
    return list(_named(_counted([word for match in TOKEN.finditer(plain) for word in _word(match)])))


def figures(text: str) -> set[str]:
    """What of `text` must not be invented: numbers, times, dates and days."""
    return {word for word in canonical(text) if word[0].isdigit() or re.fullmatch(r"(?:month|day)\d+", word)}


def contains(words: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether `wanted` stands in `words`, in this order and without anything between."""
    size = len(wanted)
    return any(list(words[n : n + size]) == list(wanted) for n in range(len(words) - size + 1))


def _word(match: re.Match[str]) -> Iterator[str]:
    text = match[0]
    match match.lastgroup:
        case "iso":
            year, month, day = text.split("-")
            yield from (str(int(day)), f"month{int(month)}", year)
        case "date":
            day, month, year = text.split("/")
            yield from (str(int(day)), f"month{int(month)}", year if len(year) == 4 else f"20{year}")
        case "time" if _is_time(text):
            yield _time(text)
        case "hour":
            yield _time(text)
        case "time" | "number":
            yield _number(re.match(r"[\d.,]*\d", text)[0])  # type: ignore[index]  # it begins with a digit
        case _:
            yield text


def _is_time(text: str) -> bool:
    """9:30 and 9h30 are; 9.30 only with am or pm, since it may be money."""
    hour, minute = re.findall(r"\d+", text)
    return int(hour) < 25 and int(minute) < 60 and (":" in text or "h" in text or "m" in text)


def _time(text: str) -> str:
    hour, *minutes = map(int, re.findall(r"\d+", text))
    if "p" in text and hour < 12:
        hour += 12
    return f"{hour}:{minutes[0]:02}" if minutes and minutes[0] else str(hour)


def _number(text: str) -> str:
    """A point or comma before the last one or two digits, or before any but three, is that of a fraction."""
    parts = re.split(r"[.,]", text)
    marks = re.findall(r"[.,]", text)
    is_fraction = bool(marks) and (len(parts[-1]) != 3 or parts[0] == "0" or (len(set(marks)) > 1))
    whole = "".join(parts[:-1] if is_fraction else parts).lstrip("0") or "0"
    fraction = parts[-1].rstrip("0") if is_fraction else ""
    return f"{whole}.{fraction}" if fraction else whole


def _counted(words: list[str]) -> Iterator[str]:
    """Words of numbers as digits: forty eight, two hundred and fifty, ciento veinte, cuarenta y ocho."""
    at = 0
    while at < len(words):
        value, used = _spoken(words, at)
        yield str(value) if used else words[at]
        at += used or 1


def _spoken(words: list[str], at: int) -> tuple[int, int]:
    """The number that begins at a word, and how many words it has; (0, 0) where none does."""
    value, used = 0, 0
    while at + used < len(words):
        here = at + used
        joined = 1 if used and words[here] in ("and", "y") and value >= 20 else 0
        word = words[here + joined] if here + joined < len(words) else ""
        if used and not joined and word == "hundred" and value < 10:
            value, used = value * 100, used + 1
        elif word in LARGE and (value == 0 or (value >= 100 > LARGE[word] and value % 100 == 0)):
            value, used = value + LARGE[word], used + joined + 1
        elif word in SMALL and (
            value == 0 or value % 100 == 0 or (value % 10 == 0 and value >= 20 and SMALL[word] < 10)
        ):
            value, used = value + SMALL[word], used + joined + 1
        elif not used and word in ("a", "one") and words[here + 1 : here + 2] == ["hundred"]:
            value, used = 100, 2
        else:
            break
    return value, used


def _named(words: Iterator[str]) -> Iterator[str]:
    known = list(words)
    for at, word in enumerate(known):
        near = known[max(0, at - 2) : at] + known[at + 1 : at + 2]
        is_sure = word not in UNSURE or any(other.isdigit() for other in near)
        yield _NAMED[word] if word in _NAMED and is_sure else CURRENCIES.get(word, word)
