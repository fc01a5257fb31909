"""The http tool: allowed hosts only, however the address is dressed up; bounded time and memory."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from tools.quick_jail import refused, said
from yarl import URL

from agentgym import Tool, ToolError, UsageError
from agentgym_tools.html_text import html_text
from agentgym_tools.http import http_tool
from agentgym_tools.http_hosts import AllowedHost, PublicResolver, check_url, is_public

PAGE = """<html><head><title>Prices</title><style>p {}</style></head><body>
<script>alert("<p>no</p>")</script><!-- hidden --><h1>Fruit</h1><p>An <b>apple</b> &amp; a
<a class=x href="/pear?a=1&amp;b=2">pear</a>.<p>3 < 4
<table><tr><td>a</td><td>b</td></tr></table></body></html>"""


async def text(request: web.Request) -> web.Response:
    return web.Response(text="plain \x1b[31m é", headers={"Set-Cookie": "seen=1"})


async def page(request: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html")


async def binary(request: web.Request) -> web.Response:
    return web.Response(body=b"\x89PNG\0\xff" * 100, content_type="image/png")


async def latin(request: web.Request) -> web.Response:
    charset = request.query.get("charset", "iso-8859-1")
    return web.Response(body=b"caf\xe9", headers={"Content-Type": f"text/plain; charset={charset}"})


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65536)


async def drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b".")
        await asyncio.sleep(0.05)


async def bomb(request: web.Request) -> web.Response:
    data = gzip.compress(b"\0" * (64 << 20), 9)
    return web.Response(body=data, headers={"Content-Encoding": "gzip"}, content_type="text/plain")


async def squeezed(request: web.Request) -> web.Response:
    packed = {
        "gzip": gzip.compress(b"unpacked"),
        "deflate": zlib.compress(b"unpacked"),
        "br": b"unpacked",
        "broken": b"unpacked",
    }[request.query["as"]]
    encoding = request.query["as"].replace("broken", "gzip")
    return web.Response(body=packed, headers={"Content-Encoding": encoding})


async def redirect(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": request.query["to"]})


async def echo(request: web.Request) -> web.Response:
    return web.json_response(dict(request.headers) | {"method": request.method})


async def missing(request: web.Request) -> web.Response:
    return web.Response(status=404, text="no such page")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    app = web.Application()
    for handler in (
        text,
        page,
        binary,
        latin,
        endless,
        drip,
        bomb,
        squeezed,
        redirect,
        echo,
        missing,
    ):
        app.router.add_get(f"/{handler.__name__}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
def http(port: int) -> Tool:
    return http_tool(
        [f"127.0.0.1:{port}"], allow_private=True, timeout_s=2, max_bytes=100_000, max_chars=5000
    )


async def test_a_page_is_shown_with_its_status_type_and_size(http: Tool, port: int) -> None:
    shown = await said(http, url=f"http://127.0.0.1:{port}/text")
    assert shown == (
        f"HTTP 200 http://127.0.0.1:{port}/text\ntext/plain, 14 bytes\n\nplain \\x1b[31m é"
    )


async def test_html_is_reduced_to_its_text(http: Tool, port: int) -> None:
    shown = await said(http, url=f"http://127.0.0.1:{port}/page")
    assert shown.partition("\n\n")[2] == (
        "Prices\n\nFruit\n\nAn apple & a\npear </pear?a=1&b=2>.\n3 < 4\n\n| a | b"
    )
    raw = http_tool([f"127.0.0.1:{port}"], allow_private=True, as_text=False)
    assert "<title>Prices</title>" in await said(raw, url=f"http://127.0.0.1:{port}/page")


@pytest.mark.parametrize(
    "broken",
    ["<", "<a", "<!--", "<script>", "</", "&#99999999999;", "&#" + "1" * 9999, "<a href='"],
)
def test_broken_html_gives_what_can_be_read(broken: str) -> None:
    assert html_text(f"<p>before {broken}").startswith("before")


@pytest.mark.parametrize(
    "piece", ["<!--", "<a ", "<", "<![CDATA[", "<script>", "</", '<a href="', "<div>", "&#1"]
)
def test_html_made_to_be_slow_is_read_in_one_pass(piece: str) -> None:
    page = piece * (500_000 // len(piece))  # the standard library's parser is quadratic in these
    assert len(html_text(page)) <= len(page)


async def test_an_error_status_is_text_for_the_model(http: Tool, port: int) -> None:
    shown = await said(http, url=f"http://127.0.0.1:{port}/missing")
    assert shown.startswith("HTTP 404 ")
    assert shown.endswith("no such page")


async def test_head_and_what_is_sent(http: Tool, port: int) -> None:
    shown = await said(http, url=f"http://127.0.0.1:{port}/echo", method="HEAD")
    assert "application/json, 0 bytes of " in shown
    assert "method" not in shown
    await said(http, url=f"http://127.0.0.1:{port}/text")
    shown = await said(http, url=f"http://127.0.0.1:{port}/echo")
    assert "Cookie" not in shown
    assert '"User-Agent": "agentgym"' in shown
    code, _ = await refused(http, url=f"http://127.0.0.1:{port}/echo", method="POST")
    assert code == "invalid_arguments"


async def test_binary_is_only_measured(http: Tool, port: int) -> None:
    shown = await said(http, url=f"http://127.0.0.1:{port}/binary")
    assert shown.endswith("\n\n[binary, 600 bytes, image/png]")


@pytest.mark.parametrize(
    ("charset", "shown"),
    [
        ("iso-8859-1", "café"),
        ("utf-8", r"caf\xe9"),
        ("nonsense", r"caf\xe9"),
        ("punycode", r"caf\xe9"),
        ("zip", r"caf\xe9"),
        ("unicode_escape", r"caf\xe9"),
    ],
)
async def test_charsets(http: Tool, port: int, charset: str, shown: str) -> None:
    body = await said(http, url=f"http://127.0.0.1:{port}/latin?charset={charset}")
    assert body.endswith(f"\n\n{shown}")


async def test_an_endless_body_is_cut(http: Tool, port: int) -> None:
    shown = await said(http, url=f"http://127.0.0.1:{port}/endless")
    assert "first 100000 bytes; the rest was left out" in shown
    assert "[binary" in shown or "[... 95000 bytes left out ...]" in shown
    assert len(shown) < 6000


async def test_a_dripping_body_ends_at_the_time_limit(port: int) -> None:
    quick = http_tool([f"127.0.0.1:{port}"], allow_private=True, timeout_s=0.3)
    code, shown = await refused(quick, url=f"http://127.0.0.1:{port}/drip")
    assert (code, shown) == ("timeout", "Error: no answer within 0.3 s; try another page")


async def test_a_compressed_bomb_is_unpacked_only_in_part(http: Tool, port: int) -> None:
    shown = await said(http, url=f"http://127.0.0.1:{port}/bomb")
    assert "first 100000 bytes; the rest was left out" in shown


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_compressed_bodies_are_unpacked(http: Tool, port: int, encoding: str) -> None:
    shown = await said(http, url=f"http://127.0.0.1:{port}/squeezed?as={encoding}")
    assert shown.endswith("8 bytes\n\nunpacked")


@pytest.mark.parametrize("encoding", ["br", "broken"])
async def test_a_body_that_cannot_be_unpacked(http: Tool, port: int, encoding: str) -> None:
    code, _ = await refused(http, url=f"http://127.0.0.1:{port}/squeezed?as={encoding}")
    assert code == "connection_failed"


async def test_redirects_are_followed_within_the_allowed_hosts(http: Tool, port: int) -> None:
    base = f"http://127.0.0.1:{port}"
    shown = await said(http, url=f"{base}/redirect?to=/redirect%3Fto%3D/text")
    assert shown.startswith(f"HTTP 200 {base}/text")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://evil.example/", "host_not_allowed"),
        ("//evil.example/", "host_not_allowed"),
        ("http://127.0.0.1:1/", "host_not_allowed"),
        ("http://169.254.169.254/latest/meta-data", "host_not_allowed"),
        ("http://localhost/", "host_not_allowed"),
        ("http://127.0.0.1@evil.example/", "invalid_url"),
        ("file:///etc/passwd", "invalid_url"),
        ("gopher://127.0.0.1/", "invalid_url"),
        ("http://[::1]/", "host_not_allowed"),
        ("http://[", "invalid_url"),
    ],
)
async def test_every_redirect_is_checked(http: Tool, port: int, target: str, expected: str) -> None:
    code, shown = await refused(
        http, url=str(URL(f"http://127.0.0.1:{port}/redirect") % {"to": target})
    )
    assert code == expected, shown


async def test_redirects_in_a_circle_end(http: Tool, port: int) -> None:
    url = f"http://127.0.0.1:{port}/redirect?to="
    circle = url
    for _ in range(8):
        circle = str(URL(url[: -len("?to=")]) % {"to": circle})
    code, _ = await refused(http, url=circle)
    assert code == "too_many_redirects"


ALLOWED = [AllowedHost.parse(host) for host in ("example.org", "*.example.net", "one.test:8080")]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a?b#c",
        "https://example.org",
        "HTTP://EXAMPLE.ORG./",
        "http://example.org:80/",
        "http://a.b.example.net/",
        "http://one.test:8080/",
    ],
)
def test_allowed_urls(url: str) -> None:
    assert check_url(url, ALLOWED, allow_private=False).host


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "/etc/passwd",
        "ftp://example.org/",
        "http://",
        "http:///x",
        "http://example.org:99999/",
        "http://example.org:8080/",
        "https://example.org:80/",
        "http://one.test/",
        "http://example.net/",
        "http://evilexample.net/",
        "http://example.org.evil.test/",
        "http://evil.test/example.org",
        "http://evil.test#example.org",
        "http://evil.test?example.org",
        "http://example.org@evil.test/",
        "http://user:secret@example.org/",
        "http://@example.org/",
        "http://example.org\\@evil.test/",
        "http://evil.test\\.example.net/",
        "http://example.org /",
        "http://exa\nmple.org/",
        "http://example.org\r\nHost: evil.test/",
        "http://ex\u00e0mple.org/",
        "http://example\u3002org.evil.test/",
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::1]:80/",
        "http://169.254.169.254/",
        "http://localhost/",
    ],
)
def test_refused_urls(url: str) -> None:
    with pytest.raises(ToolError) as caught:
        check_url(url, ALLOWED, allow_private=False)
    assert caught.value.code in ("invalid_url", "host_not_allowed")


def test_a_refusal_names_the_allowed_hosts() -> None:
    with pytest.raises(ToolError, match=r"allowed hosts: example\.org, \*\.example\.net, one\.t"):
        check_url("http://evil.test/", ALLOWED, allow_private=False)


NOT_PUBLIC = """
127.0.0.1 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 240.0.0.1
255.255.255.255 192.0.2.1 ::1 :: fe80::1%eth0 fc00::1 ff02::1 ::ffff:10.0.0.1 ::ffff:127.0.0.1
64:ff9b::7f00:1 2002:7f00:1:: 2001:0:1::1 ::127.0.0.1
"""


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1", "[::1]"]
)
async def test_a_name_that_leads_home_is_refused_even_if_allowed(port: int, host: str) -> None:
    """The server is there: only the check of the address stands between."""
    http = http_tool([f"{host}:{port}"])
    code, shown = await refused(http, url=f"http://{host}:{port}/text")
    if host[0].isdigit() and host != "127.0.0.1":  # aiohttp does not take them either
        assert code in ("private_host", "connection_failed"), shown
    else:
        assert code == "private_host", shown
        assert "private network" in shown


async def test_the_resolver_refuses_before_anything_connects() -> None:
    with pytest.raises(ToolError, match="private network"):
        await PublicResolver(allow_private=False).resolve("localhost", 80)
    assert await PublicResolver(allow_private=True).resolve("localhost", 80)


async def test_the_proxy_of_the_trainer_is_not_used(
    http: Tool, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert "HTTP 200" in await said(http, url=f"http://127.0.0.1:{port}/text")


async def test_a_server_that_is_not_there() -> None:
    http = http_tool(["127.0.0.1:1", "nowhere.invalid"], allow_private=True, timeout_s=5)
    for url in ("http://127.0.0.1:1/", "http://nowhere.invalid/"):
        code, shown = await refused(http, url=url)
        assert code in ("connection_failed", "timeout"), shown


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "*",
        "*.",
        "http://example.org",
        "example.org/path",
        "a@b",
        "a*b.org",
        "a b",
        "x:99999",
        "x?y",
    ],
)
def test_patterns_that_are_no_host(pattern: str) -> None:
    with pytest.raises(UsageError, match="is no host; allowed_hosts takes"):
        http_tool([pattern])


def test_a_single_string_is_not_a_list_of_hosts() -> None:
    with pytest.raises(UsageError, match="must be a list of hosts"):
        http_tool("example.org")
