"""Email addresses and phone numbers of leads."""

import pytest

from mcp_servers.lead_capture.validation import email_address, phone_number


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ana@example.org", "ana@example.org"),
        (" Ana.Gil+bici@Mail.Example.CO.UK ", "Ana.Gil+bici@mail.example.co.uk"),
        ("o'brien@example.ie", "o'brien@example.ie"),
        ("ana@bücher.example", "ana@xn--bcher-kva.example"),
    ],
)
def test_addresses(text, address):
    assert email_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ana",
        "ana@",
        "@example.org",
        "ana@example",
        "a@b@example.org",
        "ana@-example.org",
        "ana..gil@example.org",
        "ana @example.org",
        "ana@example.org, b@example.org",
        "ana@exa mple.org",
        "ana@127.0.0.1",
        "a" * 65 + "@example.org",
        "ana@" + "x" * 64 + ".org",
        "ana@example.org\n.evil",
    ],
)
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match="no email address"):
        email_address(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [("+34 600 111-222", "+34600111222"), ("0034600111222", "+34600111222"), ("600111222", "600111222")],
)
def test_numbers(text, number):
    assert phone_number(text) == number


@pytest.mark.parametrize("text", ["", "12345", "+", "call me", "1234567890123456", "٦٠٠١١١٢٢٢"])
def test_what_is_no_number(text):
    with pytest.raises(ValueError, match="no phone number"):
        phone_number(text)
