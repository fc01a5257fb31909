"""Acting on pages: what works, and in which words a model hears what does not."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from agentgym_tools.browser.find import missing_browser

if missing_browser() is not None:
    pytest.skip(str(missing_browser()), allow_module_level=True)

from browser_windows import Player, player

from agentgym_tools.browser.pool import BrowserPool
from agentgym_tools.browser.view import View

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="pool")
async def open_pool() -> AsyncIterator[BrowserPool]:
    pool = BrowserPool()
    yield pool
    await pool.aclose()


def id_of(view: View, role: str, name: str) -> str:
    found = view.find(role, name)
    assert found is not None, [(one.role, one.name) for one in view.elements]
    return found.id


async def refused(one: Player, name: str, **arguments: object) -> tuple[str, str]:
    outcome = await one.do(name, **arguments)
    return outcome.error or "", outcome.content


FORM = """<title>Form</title>
<label>Name <input value=old></label> <label>Note <textarea></textarea></label>
<label>Day <input type=date></label> <label>Volume <input type=range min=0 max=10></label>
<label>Code <input readonly value=x></label> <input type=checkbox aria-label=Agree>
<select aria-label=Colour><option>Red<option value=g>Green<option disabled>Grey</select>
<select aria-label=Sizes multiple><option>S<option>M<option>L</select>
<div contenteditable aria-label=Essay style="width:200px;height:40px">draft</div>
<button disabled>Never</button> <p>plain"""


async def test_fields_are_filled(pool: BrowserPool) -> None:
    async with player(pool, FORM) as one:
        view = await one.open()
        for role, name, text in (
            ("textbox", "Name", "Ada"),
            ("textbox", "Note", "one\ntwo"),
            ("date", "Day", "2024-12-31"),
            ("slider", "Volume", "7"),
            ("textbox", "Essay", "done"),
        ):
            view = await one.see("fill", id=id_of(view, role, name), text=text)
            found = view.find(role, name)
            assert found is not None
            assert found.value == text
        view = await one.see("fill", id=id_of(view, "textbox", "Name"), text="")
        assert view.find("textbox", "Name").value == ""  # type: ignore[union-attr]  # it is there
        view = await one.see("click", id=id_of(view, "checkbox", "Agree"))
        assert "checked" in view.find("checkbox", "Agree").states  # type: ignore[union-attr]  # too
        colour, sizes = id_of(view, "combobox", "Colour"), id_of(view, "listbox", "Sizes")
        view = await one.see("select", id=colour, options="Green")
        view = await one.see("select", id=sizes, options=["S", "L"])
        assert view.find("combobox", "Colour").value == "Green"  # type: ignore[union-attr]  # too
        assert view.find("listbox", "Sizes").value == "S, L"  # type: ignore[union-attr]  # too


async def test_what_a_field_does_not_take_is_said(pool: BrowserPool) -> None:
    async with player(pool, FORM) as one:
        view = await one.open()
        colour = id_of(view, "combobox", "Colour")
        for name, arguments, code, words in (
            ("fill", {"id": id_of(view, "textbox", "Code"), "text": "y"}, "readonly", "only be"),
            ("fill", {"id": id_of(view, "date", "Day"), "text": "soon"}, "malformed", "a date"),
            ("fill", {"id": id_of(view, "checkbox", "Agree"), "text": "y"}, "no_field", "no text"),
            ("click", {"id": id_of(view, "button", "Never")}, "disabled", "is disabled"),
            ("select", {"id": colour, "options": "Blue"}, "no_option", '"Red", "Green", "Grey"'),
            ("select", {"id": colour, "options": "Grey"}, "option_disabled", "disabled"),
            ("select", {"id": colour, "options": ["Red", "Green"]}, "one_only", "only one"),
            ("select", {"id": id_of(view, "textbox", "Name"), "options": "x"}, "no_select", "no d"),
            ("click", {"id": "999"}, "stale_element", "no element [999]"),
            ("press", {"key": "Hocus"}, "unknown_key", '"Hocus"'),
            ("back", {}, "no_history", "before"),
            ("forward", {}, "no_history", "after"),
            ("switch_tab", {"tab": 3}, "no_tab", "0 to 0"),
            ("close_tab", {}, "last_tab", "only tab"),
            ("expand", {}, "no_more", "no more"),
            ("scroll", {"direction": "up"}, "no_scroll", "nothing more"),
        ):
            error, content = await refused(one, name, **arguments)
            assert (error, words in content) == (code, True), (name, content)


COVERED = """<style>#cover{position:fixed;inset:0;background:white}</style>
<button id=under>Under</button><button style="visibility:hidden" id=ghost>Ghost</button>
<div id=cover role=dialog aria-label=Cookies hidden>
<button onclick="cover.hidden=true">Accept</button></div>
<button onclick="cover.hidden=false">Show</button>
<button onclick="this.remove()">Once</button>"""


async def test_covered_and_removed_elements_are_told(pool: BrowserPool) -> None:
    async with player(pool, COVERED) as one:
        view = await one.open()
        under, once = id_of(view, "button", "Under"), id_of(view, "button", "Once")
        assert view.find("button", "Ghost") is None
        await one.see("click", id=once)
        error, content = await refused(one, "click", id=once)
        assert (error, content) == (
            "stale_element",
            f"Error: element [{once}] is no longer there",
        )
        view = await one.see("click", id=id_of(view, "button", "Show"))
        error, content = await refused(one, "click", id=under)
        assert (error, content) == (
            "covered",
            f'Error: element [{under}] is covered by button "Accept"',
        )
        await one.see("click", id=id_of(view, "button", "Accept"))
        assert (await one.do("click", id=under)).error is None
        await one.script("under.style.visibility = 'hidden'")
        assert (await refused(one, "click", id=under))[0] == "invisible"


OVERLAID = """<style>#cover{position:fixed;inset:0;background:white}</style>
<input id=field aria-label=Field><select id=list aria-label=List><option>a<option>b</select>
<h1>Plain</h1><button onclick="cover.hidden=false">Cover</button>
<div id=cover hidden><button onclick="cover.hidden=true">Accept</button></div>"""


@pytest.mark.parametrize(
    ("name", "more"),
    [("fill", {"text": "x"}), ("select", {"options": "b"}), ("press", {"key": "x"})],
)
async def test_hidden_and_removed_elements_take_nothing(
    pool: BrowserPool, name: str, more: dict[str, str]
) -> None:
    async with player(pool, OVERLAID) as one:
        view = await one.open()
        role = ("combobox", "List") if name == "select" else ("textbox", "Field")
        target = id_of(view, *role)
        if name != "press":
            await one.see("click", id=id_of(view, "button", "Cover"))
            assert (await refused(one, name, id=target, **more))[0] == "covered"
            await one.script("cover.hidden = true; 0")
        await one.script("field.style.display = list.style.display = 'none'; 0")
        assert (await refused(one, name, id=target, **more))[0] == "invisible"
        assert await one.script("field.value + list.value") == "a"
        await one.script("field.remove(); list.remove(); 0")
        assert (await refused(one, name, id=target, **more))[0] == "stale_element"


async def test_a_key_goes_to_no_other_element_than_was_named(pool: BrowserPool) -> None:
    async with player(pool, OVERLAID) as one:
        view = await one.open()
        await one.see("click", id=id_of(view, "textbox", "Field"))
        heading = id_of(view, "heading", "Plain")
        assert (await refused(one, "press", id=heading, key="x"))[0] == "no_focus"
        assert await one.script("field.value") == ""


async def test_each_window_has_a_clipboard_of_its_own(pool: BrowserPool) -> None:
    page = "<input id=a aria-label=A value={}><textarea id=b aria-label=B></textarea>"
    async with player(pool, page.format("one")) as one, player(pool, page.format("two")) as two:
        for each in (one, two):
            view = await each.open()
            await each.see("press", id=id_of(view, "textbox", "A"), key="Control+a")
            await each.see("press", key="Control+x")
        for each, expected in ((one, "one"), (two, "two")):
            view = await each.look()
            await each.see("press", id=id_of(view, "textbox", "B"), key="Control+v")
            assert await each.script("[a.value, b.value]") == ["", expected]


async def test_ids_of_a_page_that_was_left_are_stale(pool: BrowserPool) -> None:
    async with player(pool, "<a href=/b>b</a>", b="<a href=/>home</a>") as one:
        view = await one.open()
        assert (await one.do("click", id=id_of(view, "link", "b"))).error is None
        error, _ = await refused(one, "click", id="1")  # nothing of this page was shown yet
        assert error == "stale_element"
        view = await one.look()
        await one.script("location = '/'; 0")
        await one.window.settle()
        assert (await refused(one, "click", id=id_of(view, "link", "home")))[0] == "stale_element"
        assert (await one.see("back")).find("link", "home")
        assert (await one.see("forward")).find("link", "b")


async def test_dialogs_are_accepted_and_told(pool: BrowserPool) -> None:
    ask = "document.title = confirm('Sure?') + prompt('Who?', 'me')"
    page = f"""<button onclick="{ask}">Ask</button>
    <button onclick="onbeforeunload = event => event.preventDefault()">Stay</button>"""
    async with player(pool, page, b="<p>b") as one:
        view = await one.open()
        seen = await one.see("click", id=id_of(view, "button", "Ask"))
        assert seen.title == "trueme"
        assert one.window.take_notes() == [
            'The page showed the confirm "Sure?"; it was accepted.',
            'The page showed the prompt "Who?"; it was accepted.',
        ]
        await one.see("click", id=id_of(view, "button", "Stay"))
        assert (await one.see("goto", url="/b")).elements[0].name == "b"


async def test_scripts_that_never_end_are_ended(pool: BrowserPool) -> None:
    page = "<button onclick=\"while (true) alert('again')\">Loop</button><p>home"
    async with player(pool, page) as one:
        view = await one.open()
        await one.do("click", id=id_of(view, "button", "Loop"))
        assert (await one.look()).url == "about:blank"
        assert "The page showed dialogs without end and was closed." in one.window.take_notes()
        assert (await one.see("goto", url="http://site.test/")).find("text", "home")


async def test_popups_become_tabs(pool: BrowserPool) -> None:
    page = "<title>One</title><a href=/two target=_blank>go</a><a href=/shy target=_blank>shy</a>"
    two, shy = "<title>Two</title><p>second", "<title>Shy</title><script>close()</script>"
    async with player(pool, page, two=two, shy=shy) as one:
        view = await one.open()
        seen = await one.see("click", id=id_of(view, "link", "go"))
        assert (seen.tabs, seen.tab, seen.title) == (("One", "Two"), 1, "Two")
        seen = await one.see("switch_tab", tab=0)
        assert (seen.tab, seen.title) == (0, "One")
        seen = await one.see("new_tab", url="/two")
        assert (seen.tabs, seen.tab) == (("One", "Two", "Two"), 2)
        seen = await one.see("close_tab")
        assert (seen.tabs, seen.tab) == (("One", "Two"), 1)
        await one.see("switch_tab", tab=0)
        view = await one.see("close_tab", tab=1)
        assert (view.tabs, view.title) == ((), "One")


async def test_the_mouse_hovers_drags_and_scrolls(pool: BrowserPool) -> None:
    page = """<style>body{height:3000px;margin:0} #box{position:absolute;left:10px;top:200px;
    width:50px;height:50px;cursor:move} #tip{display:none} #far{position:absolute;top:2500px}
    button:hover+#tip{display:block}</style><button>Hint</button><p id=tip>the tip
    <div id=box onmousedown="held=true">box</div><a id=far href=/>far</a>
    <script>held = false
    onmousemove = event => { if (held) { box.style.left = event.clientX - 25 + 'px' } }
    onmouseup = () => { held = false }</script>"""
    async with player(pool, page) as one:
        view = await one.open()
        seen = await one.see("hover", id=id_of(view, "button", "Hint"))
        assert seen.find("text", "the tip")
        assert view.hidden > 0
        box = view.find("clickable", "box")
        assert box is not None
        seen = await one.see("drag", id=box.id, right=100)
        assert seen.find("clickable", "box").box[0] == 110  # type: ignore[union-attr]  # it is there
        for _ in range(5):
            seen = await one.see("scroll")
        assert seen.find("link", "far")
        assert seen.find("button", "Hint") is None
        assert (await one.see("press", key="Home")).find("button", "Hint")


async def test_elements_over_the_budget_are_shown_on_request(pool: BrowserPool) -> None:
    page = "".join(f"<button style='width:60px;height:20px'>b{n}</button>" for n in range(100))
    async with player(pool, page) as one:
        one.window.budget = replace(one.window.budget, elements=40)
        view = await one.open()
        assert [len(view.elements), view.hidden] == [40, 60]
        names = [element.name for element in view.elements]
        while (seen := await one.see("expand")).elements[-1].name != "b99":
            names += [element.name for element in seen.elements]
        names += [element.name for element in seen.elements]
        assert names == [f"b{n}" for n in range(100)]
        assert seen.hidden == 80


async def test_a_page_that_never_becomes_quiet_is_shown_all_the_same(pool: BrowserPool) -> None:
    page = "<p id=n>0</p><script>setInterval(() => n.textContent++, 1)</script>"
    async with player(pool, page) as one:
        one.window.budget = replace(one.window.budget, quiet_s=0.3)
        await one.open()
        assert (await one.do("wait", seconds=0)).content == "Done; the page is still busy."
