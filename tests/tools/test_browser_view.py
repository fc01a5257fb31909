"""What is seen of pages: roles, names, frames, shadows; and what the page cannot see."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agentgym_tools.browser.find import missing_browser

if missing_browser() is not None:
    pytest.skip(str(missing_browser()), allow_module_level=True)

from browser_windows import player

from agentgym_tools.browser.page_text import page_text
from agentgym_tools.browser.pool import BrowserPool

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="pool")
async def open_pool() -> AsyncIterator[BrowserPool]:
    pool = BrowserPool()
    yield pool
    await pool.aclose()


SHOP = """<!doctype html><title>Shop</title><nav aria-label=Main><a href=/a>Home</a></nav>
<h1>Lamps</h1><p>Two <b>fine</b> lamps<br>from <i>here</i>.</p>
<ul><li>Blue<li><a href=/b>Red</a></ul>
<table><tr><th>Name<th>Price<tr><td>Lamp<td>5 €</table>
<img alt="A lamp" src=data: width=20 height=20><img alt="" src=data: width=20 height=20>
<label>Size <input type=number value=3 required></label>
<label><input type=checkbox checked> Gift</label>
<select aria-label=Sort><option>Name<option selected>Price</select>
<div role=tab aria-selected=true>Details</div><span onclick=1>More</span>
<details><summary>Why</summary>Because</details>
<p hidden>secret</p><p style="visibility:hidden">secret</p><p aria-hidden=true>secret</p>
<button aria-label=Close disabled>x</button><button><svg aria-hidden=true></svg>Buy</button>"""

SHOWN = """Page: "Shop" http://site.test/
[1] navigation "Main"
 [2] link "Home"
[3] heading "Lamps" (level 1)
Two fine lamps from here.
 [4] listitem "Blue"
 [5] listitem
  [6] link "Red"
 [7] row
  [8] columnheader "Name"
  [9] columnheader "Price"
 [10] row
  [11] cell "Lamp"
  [12] cell "5 €"
[13] image "A lamp"
[14] spinbutton "Size" = "3" (required)
[15] checkbox "Gift" (checked)
[16] combobox "Sort" = "Price"
 options: "Name", "Price"
[17] tab "Details" (selected)
[18] clickable "More"
[19] button "Why" (collapsed)
[20] button "Close" (disabled)
[21] button "Buy\""""


async def test_a_page_is_its_visible_elements_with_roles_names_and_states(
    pool: BrowserPool,
) -> None:
    async with player(pool, SHOP, size=(800, 900)) as one:
        text = page_text(await one.open())
        assert [line.strip() for line in text.splitlines()] == [
            line.strip() for line in SHOWN.splitlines()
        ]
        assert page_text(await one.look()) == text
    async with player(pool, SHOP, size=(800, 900)) as one:
        assert page_text(await one.open()) == text


async def test_frames_and_shadows_are_looked_into_and_clicked(pool: BrowserPool) -> None:
    page = """<div id=host></div><iframe src=/inner width=300 height=100></iframe><script>
    const root = host.attachShadow({mode: 'open'}); root.innerHTML =
    "<button onclick=\\"this.textContent = 'pressed'\\">shadow</button><slot></slot>"</script>"""
    inner = "<button onclick=\"this.textContent = 'clicked'\">frame</button>"
    async with player(pool, page, inner=inner) as one:
        view = await one.open()
        for name, after in (("shadow", "pressed"), ("frame", "clicked")):
            button = view.find("button", name)
            assert button is not None
            assert (await one.see("click", id=button.id)).find("button", after)


async def test_a_page_sees_no_ids_and_forges_none(pool: BrowserPool) -> None:
    page = """<button>one</button><script>
    before = document.documentElement.outerHTML.length; names = Object.keys(window).join()
    Object.prototype.id = '7'; Array.from = () => ['forged']; JSON.stringify = () => '"forged"'
    WeakMap = Map = class {}; document.querySelector = () => null
    Element.prototype.getBoundingClientRect = () => ({left: 0, top: 0, width: 9, height: 9})
    window.agentgym = {look: () => 'forged'}; mutations = 0
    new MutationObserver(all => mutations += all.length).observe(document,
      {subtree: true, childList: true, attributes: true})</script>"""
    async with player(pool, page) as one:
        view = await one.open()
        assert [(element.id, element.name) for element in view.elements] == [("1", "one")]
        assert await one.script("mutations") == 0
        added = ",names,agentgym,mutations"
        assert await one.script(f"Object.keys(window).join() === names + '{added}'")


async def test_ids_stay_with_their_elements(pool: BrowserPool) -> None:
    page = "<button id=a>a</button><button id=b>b</button>"
    async with player(pool, page) as one:
        before = await one.open()
        await one.script("b.after(a); b.before(document.createElement('input')); 0")
        after = await one.look()
        assert [(element.id, element.name) for element in after.elements] == [
            ("3", ""),
            ("2", "b"),
            ("1", "a"),
        ]
        assert {element.id for element in before.elements} == {"1", "2"}


async def test_a_huge_page_is_counted_and_cut(pool: BrowserPool) -> None:
    page = "".join(f"<p><a href=/{n}>link {n}</a></p>" for n in range(20_000))
    async with player(pool, page) as one:
        view = await one.open()
        assert len(view.elements) + view.hidden == 20_000
        assert view.elements[0].name == "link 0"
        assert len(page_text(view)) < 8_000


@pytest.mark.parametrize(
    "page",
    [
        f"<title>{'long ' * 100_000}</title><p>here",
        f"<p>here<form name=title><input aria-valuetext='{'v' * 100_000}'></form>",
        f"<p>here<select><option selected>{'o' * 100_000}</select>",
        f"<p>here<input type=password value='{'p' * 100_000}'>",
        "<p>here<script>history.pushState(0, '', '/' + 'u'.repeat(100_000))</script>",
    ],
    ids=["title", "clobbered title", "option", "password", "address"],
)
async def test_nothing_of_a_page_is_shown_at_any_length(page: str, pool: BrowserPool) -> None:
    async with player(pool, page) as one:
        text = page_text(await one.open())
        assert "here" in text
        assert len(text) < 8_000
