# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Which language a text is in, and how PostgreSQL calls its rules for words. Pure."""

import re
from collections import Counter

#: PostgreSQL's configurations of text search by language code.
CONFIGURATIONS = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian",
    "id": "indonesian", "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil",
    "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
NO_RULES = "simple"

#: Frequent words that tell languages of the Latin script apart.
COMMON = {
    "en": "the of and to in is that for it with as was on are be this by at from have not you your which we our",
    "es": "el la de que y en los del las por con una para su al como más pero sus le ya este sí porque está",
    "de": "der die und das den von zu mit sich des auf für ist im dem nicht ein eine als auch es an werden aus",
    "fr": "le la les de des et en un une du dans que est pour qui sur pas au avec ce par plus sont il nous vous",
    "pt": "o a os as de que e do da em um uma para com não por mais dos das ao seu sua ou são você pelo pela",
    "it": "il di che e la per un una in non del della sono con le si da gli dei nel alla come più anche è",
    "nl": "de het een en van in is dat op te zijn met voor niet aan er om ook als bij door naar wordt deze",
    "ca": "el la de que i en els del les per amb una un és al més com els seva aquest però també són dels",
    "sv": "och i att det som en på är av för med den till inte har de ett om var men jag från eller",
    "ro": "și în de la cu a pe o că nu este din pentru mai sau care sunt se un prin ce la",
}
#: Letters that belong to one language more than to others; kana before Han, which Japanese has as well.
SCRIPTS = {
    "ru": "[\u0400-\u04ff]",
    "el": "[\u0370-\u03ff]",
    "ar": "[\u0600-\u06ff]",
    "he": "[\u0590-\u05ff]",
    "hi": "[\u0900-\u097f]",
    "th": "[\u0e00-\u0e7f]",
    "ko": "[\uac00-\ud7af]",
    "zh": "[\u3400-\u9fff]",
}
KANA, HAN = "[\u3040-\u30ff]", SCRIPTS["zh"]

_CODES = {rules: code for code, rules in CONFIGURATIONS.items()}
_COMMON = {code: frozenset(words.split()) for code, words in COMMON.items()}


def configuration(code: str) -> str:
    """PostgreSQL's rules for a language such as `es` or `pt-BR`."""
    return CONFIGURATIONS.get(code.lower().split("-")[0].split("_")[0], NO_RULES)


def code_of(rules: str | None) -> str | None:
    """The language's code whose rules PostgreSQL calls so; None for none."""
    return _CODES.get(rules or "")


def detect(text: str, otherwise: str) -> str:
    """The language's code; `otherwise` where the text does not tell."""
    sample = text[:20000].lower()
    letters = len(re.findall(r"[^\W\d_]", sample))
    # Chinese has hardly any kana; most of a Japanese text may be Han.
    kana = len(re.findall(KANA, sample))
    if kana > letters / 20 and kana + len(re.findall(HAN, sample)) > letters / 2:
        return "ja"
    for code, letter in SCRIPTS.items():
        if letters and len(re.findall(letter, sample)) > letters / 2:
            return code
    words = Counter(re.findall(r"[^\W\d_]+", sample))
    found = {code: sum(words[word] for word in common) for code, common in _COMMON.items()}
    best = max(found, key=lambda code: found[code])
    return best if found[best] >= max(3, sum(words.values()) / 12) else otherwise
