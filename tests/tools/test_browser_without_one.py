"""What of the browser's code can be tested where there is no browser."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from agentgym import PluginMissing
from agentgym_tools.browser.find import find_chromium
from agentgym_tools.browser.gateway import Gateway
from agentgym_tools.browser.page_text import page_text
from agentgym_tools.browser.view import Element, View


def program(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_chromium_is_found_where_it_is_named_installed_or_fetched(tmp_path: Path) -> None:
    home, path = tmp_path / "home", tmp_path / "bin"
    fetched = program(home, ".cache/ms-playwright/chromium-1200/chrome-linux64/chrome")
    program(home, ".cache/ms-playwright/chromium-999/chrome-linux/chrome")
    environ = {"HOME": str(home), "PATH": str(path)}
    assert find_chromium(environ) == fetched
    installed = program(path, "chromium")
    assert find_chromium(environ) == installed
    light = program(path, "chromium-headless-shell")
    assert find_chromium(environ) == light
    named = program(tmp_path, "mine")
    assert find_chromium({**environ, "CHROMIUM_PATH": str(named)}) == named


def test_no_chromium_says_how_to_get_one(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "PATH": str(tmp_path)}
    with pytest.raises(PluginMissing, match="apt-get install chromium"):
        find_chromium(environ)
    with pytest.raises(PluginMissing, match="CHROMIUM_PATH is '/nowhere'"):
        find_chromium({**environ, "CHROMIUM_PATH": "/nowhere"})


def test_a_view_reads_as_a_head_and_a_line_for_each_element() -> None:
    elements = (
        Element("1", "heading", "Shop", states=("level 1",)),
        Element("", "text", "Two offers", depth=1),
        Element("2", "textbox", "Search", value="té", states=("focused",), depth=1),
        Element("3", "combobox", "Sort", value="Price"),
        Element("", "option", "Price", states=("selected",), depth=1),
        Element("", "option", "Name", states=("disabled",), depth=1),
    )
    view = View("http://a.test/", "A", elements, hidden=4, tabs=("A", "B"), tab=1, error="no")
    assert page_text(view, ["The page showed an alert."]) == "\n".join(
        [
            "Error: no",
            "The page showed an alert.",
            'Page: "A" http://a.test/',
            'Tabs: 0 "A", 1 "B" (in front)',
            'Focused: [2] textbox "Search"',
            '[1] heading "Shop" (level 1)',
            " Two offers",
            ' [2] textbox "Search" = "té" (focused)',
            '[3] combobox "Sort" = "Price"',
            ' options: "Price", "Name" (disabled)',
            "… 4 more elements",
        ]
    )


@pytest.fixture(name="gateway")
async def open_gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    await gateway.start()
    yield gateway
    await gateway.aclose()
    await gateway.aclose()


async def fetch(gateway: Gateway, url: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, proxy=gateway.address) as answer,
    ):
        return answer.status, await answer.text()


async def test_the_gateway_asks_the_task_and_records_what_it_refuses(gateway: Gateway) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse | None:
        if request.url.host != "a.test":
            return None
        if request.url.path == "/gone":
            raise web.HTTPGone
        return web.Response(text=f"{request.method} {request.url}")

    assert (await fetch(gateway, "http://a.test/"))[0] == 403  # nobody to ask yet
    gateway.answer = answer
    assert await fetch(gateway, "http://a.test/x?y=1") == (200, "GET http://a.test/x?y=1")
    assert (await fetch(gateway, "http://a.test/gone"))[0] == 410
    assert (await fetch(gateway, "http://b.test/"))[0] == 403
    with pytest.raises(aiohttp.ClientHttpProxyError):
        await fetch(gateway, "https://a.test/")
    assert gateway.take_blocked() == ["http://a.test/", "http://b.test/", "https://a.test/"]
    assert gateway.take_blocked() == []
    assert gateway.blocked_count == 3
    assert gateway.failure is None


async def test_a_site_that_fails_is_no_fault_of_the_page(gateway: Gateway) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse | None:
        raise ZeroDivisionError("bug")

    gateway.answer = answer
    assert (await fetch(gateway, "http://a.test/"))[0] == 500
    assert isinstance(gateway.failure, ZeroDivisionError)


async def test_the_gateway_is_busy_while_a_request_is_answered(gateway: Gateway) -> None:
    go_on = asyncio.Event()
    asked = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse | None:
        asked.set()
        await go_on.wait()
        return web.Response(text="late")

    gateway.answer = answer
    fetching = asyncio.ensure_future(fetch(gateway, "http://a.test/"))
    await asked.wait()
    assert gateway.busy
    go_on.set()
    await gateway.quiet()
    assert await fetching == (200, "late")
    assert not gateway.busy
