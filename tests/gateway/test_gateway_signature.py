import pytest

from gateway.signature import AppSecret, claimed_digest, hexdigest, signing_app

BODY = b'{"object":"whatsapp_business_account","entry":[]}'
DIGEST = "dec6a680679a968e7e0319355b23599cbfc54502c0784668e9618baa0c633756"
SECRETS = (AppSecret("old", b"another"), AppSecret("app-1", b"test_app_secret"), AppSecret("app-2", b"third"))


def test_the_published_vector_verifies() -> None:
    assert hexdigest(b"test_app_secret", BODY) == DIGEST
    assert signing_app(SECRETS, BODY, DIGEST) == "app-1"


def test_the_exact_bytes_are_signed() -> None:
    escaped, raw = rb'{"text":"\u00e4\/"}', '{"text":"ä/"}'.encode()
    assert signing_app(SECRETS, escaped, hexdigest(b"third", escaped)) == "app-2"
    assert signing_app(SECRETS, raw, hexdigest(b"third", escaped)) is None


def test_without_secrets_nothing_verifies() -> None:
    assert signing_app((), BODY, DIGEST) is None


def test_a_secret_does_not_show_in_its_repr() -> None:
    assert "another" not in repr(SECRETS)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [""],
        [DIGEST],
        ["sha256=" + DIGEST[:-1]],
        ["sha256=" + DIGEST + "0"],
        ["sha256=" + DIGEST + "\n"],
        ["sha1=" + DIGEST[:40]],
        ["sha512=" + DIGEST * 2],
        ["sha256=" + "g" * 64],
        ["sha256=" + "٣" * 64],
        ["sha256=" + DIGEST, "sha256=" + DIGEST],
    ],
)
def test_a_header_of_another_form_claims_nothing(headers: list[str]) -> None:
    assert claimed_digest(headers) is None


def test_a_header_of_the_right_form_claims_its_digest() -> None:
    assert claimed_digest(["sha256=" + DIGEST]) == DIGEST
