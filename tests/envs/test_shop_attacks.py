"""Ways to cheat in the shop that must not work, over HTTP, where everything can be forged."""

import numpy as np
import pytest
from aiohttp.test_utils import make_mocked_request
from shop_browser import ShopBrowser

from agentgym_envs.web.shop.catalogue import products
from agentgym_envs.web.shop.errand import Errand
from agentgym_envs.web.shop.facts import facts
from agentgym_envs.web.shop.goals.members import SetNewsletter
from agentgym_envs.web.shop.people import customers
from agentgym_envs.web.shop.visit import ShopVisit

WHO, OTHER = next(
    (who, other)
    for who in customers()
    for other in customers()
    if who is not other and any(order.status == "Processing" for order in other.orders)
)
ERRAND = Errand(WHO.id, (SetNewsletter(not WHO.newsletter),), "2025-05-02")
PLAIN = next(one for one in products() if one.stock and not one.sizes and not one.colours)
PAYLOADS = (
    "'; DROP TABLE product; --",
    "' OR '1'='1",
    '"><script>document.title="taken"</script><b id="x',
    "</textarea><img src=x onerror=alert(1)>",
    "{{7*7}}${7*7}%s\x00\ufffd",
)
FORMS = (
    "/",
    "/search?q=mug",
    f"/product/{PLAIN.id}",
    f"/product/{PLAIN.id}/review",
    "/cart",
    "/contact",
    "/account/settings",
    "/account/password",
    "/account/addresses/new",
    "/account/addresses/1",
    "/checkout/address",
    "/checkout/payment",
    "/register",
    "/login?next=//evil.test/",
)


@pytest.mark.parametrize(
    "path",
    [
        "/admin",
        "/admin/orders",
        "/db",
        "/db.sqlite",
        "/.env",
        "/.git/config",
        "/debug",
        "/api/orders",
        "/static/",
        "/static/../visit.py",
        "/static/%2e%2e/%2e%2e/schema.py",
        "/static/..%2f..%2fetc/passwd",
        "/account/../admin",
        "/product/0",
        "/product/999999",
        "/product/1%20OR%201=1",
        "/product/1/cart",
        "/logout",
        "/account/orders/999",
    ],
)
async def test_there_are_no_other_paths(path: str) -> None:
    async with ShopBrowser(ERRAND) as browser:
        before = facts(browser.shop.db)
        await browser.open(path)
        assert browser.status == 404
        assert "There is nothing at this address." in browser.text
        assert facts(browser.shop.db) == before


@pytest.mark.parametrize("path", ["/admin", "/db", "/search", "/account/orders", "/cart"])
async def test_nothing_can_be_posted_where_there_is_no_form(path: str) -> None:
    async with ShopBrowser(ERRAND) as browser:
        await browser.open(path, {"query": "DELETE FROM product"})
        assert browser.status == 404


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("path", FORMS)
async def test_what_is_typed_into_forms_stays_text(path: str, payload: str) -> None:
    async with ShopBrowser(ERRAND) as browser:
        await browser.open(f"/product/{PLAIN.id}/cart", {"quantity": "1"})
        await browser.open(path)
        forms = list(browser.forms)
        names = {one.name for one in browser.controls() if one.name and one.form >= 0}
        for form in forms:
            if form.action == "/logout":
                continue
            fields = dict.fromkeys(names, payload)
            if form.method == "get":
                await browser.search(fields)
            else:
                await browser.open(form.action, fields)
            assert browser.status in (200, 404, 422)
            assert "<script>document" not in browser.html
            assert "<img" not in browser.html
            assert "evil.test" not in browser.url
        await browser.open("/search")
        assert "320 products found" in browser.text
        await browser.open("/account/orders")
        listed = [one for one in browser.controls() if one.label.startswith("Order ")]
        assert len(listed) == len(WHO.orders)


@pytest.mark.parametrize(
    "quantity", ["-3", "0", "11", "1e9", "99999999999999999999", "", "٣", "1.5"]
)
async def test_impossible_quantities_are_refused(quantity: str) -> None:
    async with ShopBrowser(ERRAND) as browser:
        before = facts(browser.shop.db)
        await browser.open(f"/product/{PLAIN.id}/cart", {"quantity": quantity})
        assert browser.status == 422
        assert facts(browser.shop.db) == before
        await browser.open(f"/product/{PLAIN.id}/cart", {"quantity": "2"})
        held = facts(browser.shop.db)
        await browser.open("/cart/change", {"line": f"{PLAIN.id}||", "quantity": quantity})
        assert browser.status == 422
        assert facts(browser.shop.db) == held


async def test_prices_in_forms_are_not_read() -> None:
    async with ShopBrowser(ERRAND) as browser:
        forged = {"quantity": "1", "price": "1", "total": "0", "discount": "99999", "stock": "9"}
        await browser.open(f"/product/{PLAIN.id}/cart", forged)
        for name, value in (("address", _address(browser)), ("shipping", "Standard")):
            await browser.open(f"/checkout/{name}", {name: value, **forged})
        await browser.open("/checkout/payment", {"payment": "Card", **forged})
        await browser.open("/checkout/confirm", {"terms": "1", **forged})
        row = browser.shop.db.execute(
            "SELECT goods, discount FROM purchase ORDER BY number DESC"
        ).fetchone()
        assert tuple(row) == (PLAIN.price, 0)


async def test_an_order_sent_twice_is_one_order() -> None:
    async with ShopBrowser(ERRAND) as browser:
        await _order(browser)
        placed = facts(browser.shop.db)
        await browser.open("/checkout/confirm", {"terms": "1"})
        assert "Your cart is empty." in browser.text
        assert facts(browser.shop.db) == placed


async def test_a_coupon_is_good_for_one_order() -> None:
    async with ShopBrowser(ERRAND) as browser:
        await _order(browser, coupon="SPRING10")
        await browser.open(f"/product/{PLAIN.id}/cart", {"quantity": "1"})
        await browser.open("/cart/coupon", {"code": "spring10"})
        assert "You have already used this coupon." in browser.text
        assert not browser.shop.db.execute("SELECT * FROM cart_coupon").fetchall()


async def test_other_customers_orders_are_out_of_reach() -> None:
    mine = {order.number for order in WHO.orders}
    async with ShopBrowser(ERRAND) as browser:
        before = facts(browser.shop.db)
        for order in OTHER.orders:
            assert order.number not in mine
            line = order.lines[0]
            key = f"{line.product.id}|{line.size}|{line.colour}"
            await browser.open(f"/account/orders/{order.number}")
            assert browser.status == 404
            await browser.open(f"/account/orders/{order.number}/return?line={key}")
            assert browser.status == 404
            await browser.open(f"/account/orders/{order.number}/cancel", {})
            reason = {"line": key, "reason": "Damaged"}
            await browser.open(f"/account/orders/{order.number}/return", reason)
        assert facts(browser.shop.db) == before


async def test_other_customers_addresses_are_out_of_reach() -> None:
    async with ShopBrowser(ERRAND) as browser:
        theirs = browser.shop.db.execute(
            "SELECT id FROM address WHERE customer = ?", (OTHER.id,)
        ).fetchone()[0]
        before = facts(browser.shop.db)
        await browser.open(f"/account/addresses/{theirs}")
        assert browser.status == 404
        forged = {"label": "Mine", "street": "1 Here", "postcode": "12345", "city": "Town"}
        await browser.open(f"/account/addresses/{theirs}", forged)
        await browser.open(f"/account/addresses/{theirs}/delete", {})
        assert facts(browser.shop.db) == before
        await browser.open(f"/product/{PLAIN.id}/cart", {"quantity": "1"})
        await browser.open("/checkout/address", {"address": str(theirs)})
        assert "Please choose one of your addresses." in browser.text


@pytest.mark.parametrize(
    ("step", "value"), [("shipping", "Free"), ("payment", "Nothing"), ("shipping", "")]
)
async def test_only_what_is_offered_can_be_chosen(step: str, value: str) -> None:
    async with ShopBrowser(ERRAND) as browser:
        await browser.open(f"/product/{PLAIN.id}/cart", {"quantity": "1"})
        await browser.open(f"/checkout/{step}", {step: value})
        assert browser.status == 422
        await browser.open("/checkout/confirm", {"terms": "1"})
        assert "Please choose address, shipping and payment first." in browser.text


@pytest.mark.parametrize("cookie", ["", "0" * 32, "customer 1", "' OR 1=1 --"])
async def test_a_forged_session_is_a_guest(cookie: str) -> None:
    async with ShopBrowser(ERRAND) as browser:
        browser.use_cookie(cookie)
        await browser.open("/account")
        assert browser.url.startswith("http://shop.test/login")


async def test_signing_in_leads_to_no_other_site() -> None:
    guest = Errand(WHO.id, ERRAND.goals, ERRAND.today, signed_in=False)
    async with ShopBrowser(guest) as browser:
        fields = {"email": WHO.email, "password": WHO.password}
        for place in ("//evil.test/", "http://evil.test/", "/\\evil.test", "/a\r\nX: 1"):
            await browser.open("/login", {**fields, "next": place})
            assert browser.url == "http://shop.test/account"


async def test_other_hosts_are_refused_and_everything_is_once_the_visit_is_over() -> None:
    visit = ShopVisit(ERRAND, np.random.default_rng(0), 8)
    for host, served in (("shop.test", True), ("evil.test", False), ("shop.test.evil", False)):
        request = make_mocked_request("GET", "/", headers={"Host": host})
        assert (await visit.answer(request) is not None) is served
    await visit.aclose()
    request = make_mocked_request("GET", "/", headers={"Host": "shop.test"})
    assert await visit.answer(request) is None


async def test_a_form_that_is_far_too_large_is_refused() -> None:
    async with ShopBrowser(ERRAND) as browser:
        await browser.open("/contact", {"body": "x" * 100_000})
        assert browser.status == 413
        await browser.open("/contact", {f"f{place}": "" for place in range(100)})
        assert browser.status == 413


def _address(browser: ShopBrowser) -> str:
    query = "SELECT id FROM address WHERE customer = ?"
    return str(browser.shop.db.execute(query, (WHO.id,)).fetchone()[0])


async def _order(browser: ShopBrowser, coupon: str = "") -> None:
    await browser.open(f"/product/{PLAIN.id}/cart", {"quantity": "1"})
    if coupon:
        await browser.open("/cart/coupon", {"code": coupon})
    await browser.open("/checkout/address", {"address": _address(browser)})
    await browser.open("/checkout/shipping", {"shipping": "Standard"})
    await browser.open("/checkout/payment", {"payment": "Card"})
    await browser.open("/checkout/confirm", {"terms": "1"})
    assert "Thank you! Your order" in browser.text
