"""Whether an email address and a phone number can be right. Pure."""

import re

#: The addresses that people have; RFC 5321's quoted local parts and address literals are not among them.
ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
EMAIL = re.compile(
    rf"(?=.{{6,254}}$)(?=[^@]{{1,64}}@){ATOM}(?:\.{ATOM})*"
    r"@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]{2,59})",
    re.IGNORECASE,
)


def email_address(text: str) -> str:
    """The address with its domain in small letters. Raises ValueError with what to ask for."""
    local, _, domain = text.strip().rpartition("@")
    try:
        address = f"{local}@{domain.lower().encode('idna').decode()}"
    except UnicodeError:
        address = ""
    if not EMAIL.fullmatch(address):
        raise ValueError("this is no email address: ask the customer to spell it")
    return address


def phone_number(text: str) -> str:
    """The number as digits, with a plus where it has one (E.164: at most 15). Raises ValueError."""
    number = re.sub(r"[\s().\-/]", "", text)
    number = re.sub(r"^00", "+", number)
    if not re.fullmatch(r"\+?[0-9]{6,15}", number):
        raise ValueError("this is no phone number: ask the customer for it with its country code")
    return number
