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

from agentgym_tools.browser.pool import BrowserPool

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="pool")
async def open_pool() -> AsyncIterator[BrowserPool]:
    pool = BrowserPool()
    yield pool
    await pool.aclose()


class Bait(asyncio.DatagramProtocol):
    """A TCP and a UDP port outside of the task. Whatever reaches them has got out."""

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


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_page_reaches_nothing_but_the_task(
    pool: BrowserPool, bait: Bait, attack: str, host: str
) -> None:
    address = f"{host}:{bait.port}"
    async with player(pool, "<p>hello") as one:
        away = web.Response(status=302, headers={"Location": f"http://{address}/redirected"})
        one.pages.texts = {**one.pages.texts, "/redirect": away}
        await one.open()
        code = ATTACKS[attack].replace("ADDRESS", address)
        await one.script(f"Promise.resolve({code}).then(() => 0)")
        await one.window.settle()
        assert bait.reached == []
        refused = " ".join(one.window.gateway.blocked)
        print(attack, refused)
