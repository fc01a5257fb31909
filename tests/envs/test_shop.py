"""The shop's pages, over HTTP as a browser without scripts sees them."""

import sqlite3
from datetime import date

import numpy as np
import pytest
from shop_browser import ShopBrowser

from agentgym_envs.web.shop.cart import cart_of
from agentgym_envs.web.shop.catalogue import products
from agentgym_envs.web.shop.database import open_copy
from agentgym_envs.web.shop.errand import Errand
from agentgym_envs.web.shop.facts import facts
from agentgym_envs.web.shop.goals.members import SetNewsletter
from agentgym_envs.web.shop.money import cents_of, dollars
from agentgym_envs.web.shop.people import customers
from agentgym_envs.web.shop.products import Search, search
from agentgym_envs.web.shop.state import Shop
from agentgym_envs.web.shop.visit import ShopVisit

WHO = customers()[0]
ERRAND = Errand(WHO.id, (SetNewsletter(not WHO.newsletter),), "2025-05-02")
GUEST = Errand(WHO.id, (SetNewsletter(not WHO.newsletter),), "2025-05-02", signed_in=False)
PLAIN = next(one for one in products() if one.stock and not one.sizes and not one.colours)
CHOOSY = next(one for one in products() if one.stock and one.sizes and one.colours)
GONE = next(one for one in products() if not one.stock)


def a_shop(page_size: int = 8) -> Shop:
    return Shop(open_copy(), date(2025, 5, 2), page_size)


def test_the_catalogue_has_hundreds_of_products_with_names_of_their_own() -> None:
    assert len(products()) == 320
    assert len({one.name for one in products()}) == 320


@pytest.mark.parametrize("sort", ["name", "price_up", "price_down", "rating"])
def test_pages_of_results_hold_every_product_once(sort: str) -> None:
    shop = a_shop(page_size=50)
    first = search(shop, Search(sort=sort))
    pages = [search(shop, Search(sort=sort, page=page)) for page in range(1, first.pages + 1)]
    found = [one.id for page in pages for one in page.products]
    assert sorted(found) == [one.id for one in products()]


def test_filters_let_through_what_they_name_and_nothing_else() -> None:
    wanted = Search("drift", "Bags", lowest=3000, highest=14000, stars=3, in_stock=True)
    found = search(a_shop(100), wanted).products
    assert found
    for one in found:
        assert "drift" in one.name.lower()
        assert one.category == "Bags"
        assert 3000 <= one.price <= 14000
        assert one.rating >= 3
        assert one.stock


@pytest.mark.parametrize(
    ("text", "cents"),
    [("12.9", 1290), ("$0.05", 5), (" 7 ", 700), ("1e3", None), ("-1", None), ("٣", None)],
)
def test_amounts_are_read_as_people_write_them(text: str, cents: int | None) -> None:
    assert cents_of(text) == cents


def test_an_amount_is_written_as_it_is_read() -> None:
    assert all(cents_of(dollars(one.price)) == one.price for one in products())


async def test_a_guest_buys_something_after_signing_in() -> None:
    async with ShopBrowser(GUEST) as browser:
        browser.fill("Search products", PLAIN.name)
        await browser.press("Search")
        await browser.press(PLAIN.name)
        browser.fill("Quantity", "2")
        await browser.press("Add to cart")
        await browser.press("Go to checkout")
        assert "Please log in first." in browser.text
        browser.fill("Email", WHO.email.upper())
        browser.fill("Password", WHO.password)
        await browser.press("Log in to your account")
        assert browser.url.endswith("/checkout/address")
        for _ in range(3):
            await browser.press("Continue")
        assert "with you on 2025-05-06" in browser.text
        await browser.submit("Place order", terms="1")
        assert "Thank you! Your order" in browser.text
        assert f"2 × {PLAIN.name}" in browser.text


async def test_an_order_needs_the_terms_accepted() -> None:
    async with ShopBrowser(ERRAND) as browser:
        await browser.open(f"/product/{PLAIN.id}")
        await browser.press("Add to cart")
        await browser.press("Go to checkout")
        for _ in range(3):
            await browser.press("Continue")
        await browser.press("Place order")
        assert browser.status == 422
        assert "Please accept the terms." in browser.text


async def test_options_must_be_chosen() -> None:
    async with ShopBrowser(ERRAND) as browser:
        await browser.open(f"/product/{CHOOSY.id}")
        await browser.press("Add to cart")
        assert "Please choose a size. Please choose a colour." in browser.text


async def test_what_is_out_of_stock_cannot_be_added() -> None:
    async with ShopBrowser(ERRAND) as browser:
        await browser.open(f"/product/{GONE.id}/cart", {"quantity": "1"})
        assert browser.status == 422
        assert "out of stock" in browser.text.lower()


@pytest.mark.parametrize(
    ("path", "button", "fields", "message"),
    [
        ("/contact", "Send message", {"topic": "", "body": "short"}, "Please choose a topic."),
        ("/account/settings", "Save settings", {"name": " "}, "Please fill in the name."),
        ("/account/settings", "Save settings", {"phone": "abc"}, "6 to 20 digits"),
        ("/account/addresses/new", "Save address", {"postcode": "1"}, "five digits"),
        ("/account/password", "Save password", {"old": "no"}, "not your current password"),
        (f"/product/{PLAIN.id}/review", "Send review", {"title": "x"}, "one to five stars"),
    ],
)
async def test_a_form_with_a_mistake_comes_back_and_changes_nothing(
    path: str, button: str, fields: dict[str, str], message: str
) -> None:
    async with ShopBrowser(ERRAND) as browser:
        before = facts(browser.shop.db)
        await browser.open(path)
        await browser.submit(button, **fields)
        assert browser.status == 422
        assert message in browser.text
        assert facts(browser.shop.db) == before


async def test_a_coupon_comes_off_and_falls_away_below_its_minimum() -> None:
    dear = next(one for one in products() if one.price > 10_000 and one.stock and not one.colours)
    async with ShopBrowser(ERRAND) as browser:
        await browser.open(f"/product/{dear.id}")
        await browser.press("Add to cart")
        await browser.submit("Apply coupon", code="big20")
        cart = cart_of(browser.shop, f"customer {WHO.id}")
        assert cart.discount == dear.price * 20 // 100
        await browser.open(f"/product/{PLAIN.id}")
        await browser.press("Add to cart")
        await browser.press(f"Remove {dear.name}")
        assert cart_of(browser.shop, f"customer {WHO.id}").discount == 0


async def test_an_expired_coupon_is_refused() -> None:
    async with ShopBrowser(ERRAND) as browser:
        await browser.open(f"/product/{PLAIN.id}")
        await browser.press("Add to cart")
        await browser.submit("Apply coupon", code="WINTER25")
        assert "This coupon has expired." in browser.text


async def test_the_same_seed_and_actions_give_the_same_bytes() -> None:
    async def bodies() -> list[str]:
        async with ShopBrowser(ERRAND, seed=4) as browser:
            for path in ("/search?q=mug&sort=rating&page=2", f"/product/{PLAIN.id}"):
                await browser.open(path)
            await browser.press("Add to cart")
            await browser.open("/account/orders")
            return browser.bodies

    assert await bodies() == await bodies()


async def test_sessions_follow_from_the_seed_alone() -> None:
    async def token(seed: int) -> str:
        async with ShopBrowser(ERRAND, seed=seed) as browser:
            return str(browser.shop.db.execute("SELECT token FROM session").fetchone()[0])

    assert await token(1) == await token(1) != await token(2)


async def test_episodes_share_nothing() -> None:
    async with ShopBrowser(ERRAND) as one, ShopBrowser(ERRAND) as other:
        await one.open(f"/product/{PLAIN.id}")
        await one.press("Add to cart")
        await other.open("/cart")
        assert "Your cart is empty." in other.text


async def test_closing_twice_closes_the_database_once() -> None:
    visit = ShopVisit(ERRAND, np.random.default_rng(0), 8)
    database = visit._moment.shop.db
    await visit.aclose()
    await visit.aclose()
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        database.execute("SELECT 1")


@pytest.mark.parametrize("path", ["/search?page=0", "/search?page=99999999999", "/search?sort=x"])
async def test_odd_queries_show_the_nearest_page(path: str) -> None:
    async with ShopBrowser(ERRAND) as browser:
        await browser.open(path)
        assert browser.status == 200
        assert "320 products found" in browser.text


async def test_a_price_that_is_no_amount_is_said_to_be_wrong() -> None:
    async with ShopBrowser(ERRAND) as browser:
        await browser.open("/search?lowest=cheap")
        assert "Please enter an amount such as 20 or 19.90." in browser.text


async def test_an_order_that_was_sent_cannot_be_cancelled() -> None:
    who, order = next(
        (who, order) for who in customers() for order in who.orders if order.status == "Shipped"
    )
    async with ShopBrowser(Errand(who.id, ERRAND.goals, ERRAND.today)) as browser:
        await browser.open(f"/account/orders/{order.number}/cancel", {})
        assert "it cannot be cancelled" in browser.text
