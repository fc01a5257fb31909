"""One browser, many windows: what is shared, what is bounded, and what dies with what."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest
import pytest_asyncio

from agentgym_tools.browser.find import missing_browser

if missing_browser() is not None:
    pytest.skip(str(missing_browser()), allow_module_level=True)

from browser_windows import Pages, player
from process_tree import Process, descendants, topmost, until_gone

from agentgym import EnvError
from agentgym_tools.browser.pool import BrowserPool, shared_pool

pytestmark = pytest.mark.asyncio(loop_scope="module")
SIZE = (400, 300)
NOTHING = Pages({"/": ""})


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="pool")
async def open_pool() -> AsyncIterator[BrowserPool]:
    pool = BrowserPool()
    yield pool
    await pool.aclose()


def browser(others: Collection[Process] = ()) -> Process:
    """The only one that runs besides ``others``."""
    return topmost(descendants(os.getpid()) - set(others), "chrom")


async def test_windows_share_neither_pages_nor_cookies(pool: BrowserPool) -> None:
    async with player(pool, "<p>one") as first, player(pool, "<p>two") as second:
        await first.open()
        await first.script("document.cookie = 'a=1'; localStorage.b = 2; 0")
        view = await second.open()
        assert [one.name for one in view.elements] == ["two"]
        assert await second.script("[document.cookie, localStorage.length]") == ["", 0]


FORM = "<form><label>Mail <input name=email></label><input name=name><input name=zip></form>"


@pytest.mark.parametrize("program", ["chromium-headless-shell", "chromium"])
async def test_every_chromium_shows_a_form_and_asks_nobody_about_it(program: str) -> None:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    pool = BrowserPool(chromium=Path(path))
    try:
        async with player(pool, FORM) as one:
            view = await one.open()
            assert [element.name for element in view.elements if element.id][:1] == ["Mail"]
            await one.see("fill", id=view.elements[0].id, text="a@b.test")
            await asyncio.sleep(0.5)  # for what the browser does on its own
            assert one.window.gateway.take_blocked() in ([], ["http://site.test/favicon.ico"])
    finally:
        await pool.aclose()


async def test_killing_the_browser_masks_its_episodes_and_no_later_one(pool: BrowserPool) -> None:
    windows = [await pool.acquire(NOTHING.answer, size=SIZE) for _ in range(16)]

    async def use(number: int) -> str:
        try:
            while True:
                await windows[number].visit("http://site.test/")
                await windows[number].settle()
                await windows[number].look()
        except EnvError as error:
            return error.kind

    uses = [asyncio.ensure_future(use(number)) for number in range(16)]
    await windows[0].settle()
    os.kill(browser().pid, signal.SIGKILL)
    assert await asyncio.gather(*uses) == ["browser_died"] * 16
    for window in windows:
        await window.aclose()
    async with player(pool, "<p>alive") as one:
        assert [element.name for element in (await one.open()).elements] == ["alive"]


@pytest.mark.slow
async def test_windows_that_open_when_the_browser_dies_are_opened_again(pool: BrowserPool) -> None:
    for moment in range(15):
        async with player(pool) as one:
            await one.open()
            opening = [
                asyncio.ensure_future(pool.acquire(NOTHING.answer, size=SIZE)) for _ in "abc"
            ]
            await asyncio.sleep(0.03 * moment)
            os.kill(browser().pid, signal.SIGKILL)
            async with asyncio.timeout(30):
                opened = await asyncio.gather(*opening)
            await asyncio.gather(*(window.aclose() for window in opened))


async def test_killing_the_driver_is_no_end_either(pool: BrowserPool) -> None:
    async with player(pool, "<p>one") as one:
        await one.open()
        driver = topmost(descendants(os.getpid()), "node")
        children = descendants(driver.pid)
        os.kill(driver.pid, signal.SIGKILL)
        with pytest.raises(EnvError, match="browser_died"):
            await one.do("wait")
        await until_gone(children)
    async with player(pool, "<p>alive") as one:
        assert [element.name for element in (await one.open()).elements] == ["alive"]


async def test_twenty_windows_leave_none_behind(pool: BrowserPool) -> None:
    async with player(pool, "<p>first") as one:
        await one.open()
    before = len(descendants(os.getpid()))
    for _ in range(20):
        async with player(pool, "<p>next") as one:
            await one.open()
    assert pool.leased == 0
    async with player(pool, "<p>last") as one:
        await one.open()
        chromium = one.window.context.browser
        assert chromium is not None
        while len(chromium.contexts) > 2:  # this one, the next, and those just being closed
            await asyncio.sleep(0.05)
    while len(descendants(os.getpid())) > before + 1:
        await asyncio.sleep(0.05)


async def test_a_window_that_is_waited_for_comes_when_another_is_given_back() -> None:
    pool = BrowserPool(windows=1)
    try:
        first = await pool.acquire(NOTHING.answer, size=SIZE)
        with pytest.raises(EnvError, match="browser_busy"):
            await pool.acquire(NOTHING.answer, size=SIZE, deadline_s=0.01)
        second = asyncio.ensure_future(pool.acquire(NOTHING.answer, size=SIZE))
        await first.aclose()
        await first.aclose()
        await (await second).aclose()
        assert pool.leased == 0
    finally:
        await pool.aclose()


async def test_a_browser_over_its_memory_opens_no_more_windows_and_is_replaced() -> None:
    others = descendants(os.getpid())  # of the pool that the other tests share
    pool = BrowserPool(memory_mb=1)
    try:
        first = await pool.acquire(NOTHING.answer, size=SIZE)
        old = browser(others)
        with pytest.raises(EnvError, match="browser_busy"):
            await pool.acquire(NOTHING.answer, size=SIZE, deadline_s=0.01)
        await first.aclose()
        await (await pool.acquire(NOTHING.answer, size=SIZE)).aclose()
        await until_gone({old})
    finally:
        await pool.aclose()


async def test_an_acquisition_cancelled_at_any_moment_leaves_nothing() -> None:
    others = descendants(os.getpid())
    async with shared_pool(windows=3) as pool:
        for steps in (0, 1, 5, 20, 50):
            taking = asyncio.ensure_future(pool.acquire(NOTHING.answer, size=SIZE))
            for _ in range(steps):
                await asyncio.sleep(0.002)
            taking.cancel()
            outcome = (await asyncio.gather(taking, return_exceptions=True))[0]
            if not isinstance(outcome, BaseException):
                await outcome.aclose()
        assert pool.leased == 0
        windows = [await pool.acquire(NOTHING.answer, size=SIZE) for _ in range(3)]
        for window in windows:
            await window.aclose()
    async with asyncio.timeout(20):
        await until_gone(descendants(os.getpid()) - others)


async def test_a_close_that_is_cancelled_leaves_nothing() -> None:
    others = descendants(os.getpid())
    pool = BrowserPool()
    await pool.acquire(NOTHING.answer, size=SIZE)
    pool.prepare(SIZE)
    assert descendants(os.getpid()) - others
    closing = asyncio.ensure_future(pool.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    async with asyncio.timeout(20):
        await until_gone(descendants(os.getpid()) - others)


async def test_a_browser_that_dies_while_it_starts_is_started_again_or_told() -> None:
    others = descendants(os.getpid())
    for _ in range(4):
        pool = BrowserPool()
        opening = asyncio.ensure_future(pool.acquire(NOTHING.answer, size=SIZE))
        while not any(one.name.startswith("chrom") for one in descendants(os.getpid()) - others):
            await asyncio.sleep(0.01)
        os.kill(browser(others).pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            outcome = (await asyncio.gather(opening, return_exceptions=True))[0]
            assert not isinstance(outcome, BaseException) or isinstance(outcome, EnvError)
            await pool.aclose()
            await until_gone(descendants(os.getpid()) - others)


async def test_a_window_works_after_a_cancelled_goto(pool: BrowserPool) -> None:
    started = asyncio.Event()

    async with player(pool, "<p>home") as one:
        await one.open()

        async def answer(request: object) -> None:
            started.set()
            await asyncio.Event().wait()

        one.window.gateway.answer = answer  # a server that hangs
        going = asyncio.ensure_future(one.do("goto", url="http://site.test/slow"))
        await started.wait()
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        one.window.gateway.answer = one.pages.answer
        assert [element.name for element in (await one.open()).elements] == ["home"]


PROGRAM = """
import asyncio
from agentgym_tools.browser.pool import BrowserPool

async def main():
    pool = BrowserPool()
    async def answer(request):
        return None
    for _ in range(2):
        await pool.acquire(answer, size=(400, 300))
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_nothing_is_left_when_this_process_is_killed(tmp_path: Path) -> None:
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdout=asyncio.subprocess.PIPE, env=environ
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    started = descendants(process.pid)
    assert len(started) > 5
    assert list(tmp_path.iterdir())
    process.kill()
    await process.wait()
    await until_gone(started)
    assert list(tmp_path.iterdir()) == []
