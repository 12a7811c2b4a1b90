# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Encodings that pages and files may name: those that browsers know (encoding.spec.whatwg.org). Pure.

Python knows others, and what some of them take for a large text has no end to speak of (punycode).
"""

import codecs

#: As Python names them.
WEB = frozenset(
    "utf-8 utf-8-sig utf-16 utf-16-le utf-16-be cp866 iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6 iso8859-7"
    " iso8859-8 iso8859-10 iso8859-13 iso8859-14 iso8859-15 iso8859-16 koi8-r koi8-u mac-roman mac-cyrillic cp874"
    " tis-620 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 gb2312 gbk gb18030 big5 big5hkscs euc_jp"
    " iso2022_jp shift_jis cp932 euc_kr cp949".split()
)
#: What browsers take for another: Windows' larger sets.
TAKEN_FOR = {"iso8859-1": "cp1252", "ascii": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874"}


def codec(label: str) -> str | None:
    """Python's name of the encoding that `label` names, None if it is none of the web."""
    try:
        name = codecs.lookup(label.strip()).name
    except (LookupError, ValueError):
        return None
    name = TAKEN_FOR.get(name, name)
    return name if name in WEB else None
