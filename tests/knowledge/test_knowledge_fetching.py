"""Pages of the web: public addresses only, whatever names and redirects say."""

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from f.knowledge.fetching import FetchError, fetch, public_address


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "172.16.0.1", "0.0.0.1", "::1", "fd00::1", "fe80::1%1",
     "::ffff:127.0.0.1", "100.64.0.1", "224.0.0.1"],
)  # fmt: skip
def test_an_address_of_our_insides_is_refused(address: str):
    with pytest.raises(FetchError) as error:
        public_address("shop.example", lambda host: ["93.184.216.34", address])
    assert error.value.code == "private_address"


def test_a_public_address_is_taken():
    assert public_address("shop.example", lambda host: ["93.184.216.34"]) == "93.184.216.34"


def test_a_redirect_is_checked_like_the_first_address(httpserver: HTTPServer):
    checked: list[str] = []

    def check(host: str, resolver: object) -> str:
        checked.append(host)
        if host == "inside.example":
            raise FetchError("private_address", "no")
        return "127.0.0.1"

    httpserver.expect_request("/a").respond_with_response(Response("", 302, {"location": "http://inside.example/"}))
    with pytest.raises(FetchError, match="no"):
        fetch(f"http://shop.example:{httpserver.port}/a", check=check)
    assert checked == ["shop.example", "inside.example"]


def test_a_page_comes_with_its_type(httpserver: HTTPServer):
    httpserver.expect_request("/a").respond_with_response(Response("", 301, {"location": "/b"}))
    httpserver.expect_request("/b").respond_with_data("<p>Hi</p>", content_type="text/html; charset=utf-8")
    page = fetch(f"http://shop.example:{httpserver.port}/a", check=lambda host, resolver: "127.0.0.1")
    assert (page.url.rsplit("/", 1)[1], page.content_type, page.data) == ("b", "text/html; charset=utf-8", b"<p>Hi</p>")


@pytest.mark.parametrize(("status", "passing"), [(404, False), (500, True), (429, True)])
def test_a_page_that_is_not_there(httpserver: HTTPServer, status: int, passing: bool):
    httpserver.expect_request("/a").respond_with_response(Response("", status))
    with pytest.raises(FetchError) as error:
        fetch(f"http://shop.example:{httpserver.port}/a", check=lambda host, resolver: "127.0.0.1")
    assert error.value.passing is passing


@pytest.mark.parametrize("url", ["ftp://shop.example/", "file:///etc/passwd", "http://user@shop.example/", "http:///"])
def test_what_is_no_address_of_the_web(url: str):
    with pytest.raises(FetchError) as error:
        fetch(url, check=lambda host, resolver: "127.0.0.1")
    assert error.value.code == "bad_address"
