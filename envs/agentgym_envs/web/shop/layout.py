"""The frame of every page: header with search and navigation, a note, the page, the footer."""

from __future__ import annotations

from agentgym_envs.web.shop.cart import cart_of
from agentgym_envs.web.shop.exchange import Reply, Session
from agentgym_envs.web.shop.forms import small_form
from agentgym_envs.web.shop.markup import Html, join, tag
from agentgym_envs.web.shop.state import Shop

NAME = "Lindenmarkt"
STYLE = """
*{box-sizing:border-box}body{margin:0;font:14px/1.35 sans-serif;color:#222;background:#fafaf7}
header,footer{display:flex;flex-wrap:wrap;gap:6px 14px;align-items:center;padding:6px 16px;
background:#24513f;color:#fff}header a,footer a{color:#fff}header form{display:inline-flex;gap:4px}
header nav{display:flex;gap:14px;align-items:center}main{padding:6px 16px 10px;max-width:1200px}
h1{font-size:20px;margin:4px 0 6px}h2{font-size:16px;margin:8px 0 4px}p{margin:4px 0}
ul,ol{margin:4px 0;padding-left:18px}p label{display:inline-block;min-width:110px}
fieldset{border:1px solid #ccc;margin:6px 0;padding:4px 10px}.radio{display:block;min-width:0}
table{border-collapse:collapse;background:#fff}td,th{padding:3px 10px;text-align:left;
border-bottom:1px solid #ddd}.inline{display:inline-block;margin-right:6px}
button{padding:3px 10px;border:1px solid #24513f;background:#fff;border-radius:3px}
button.main{background:#24513f;color:#fff}input,select,textarea{padding:2px 5px;font:inherit}
textarea{width:360px;vertical-align:top}[role=status]{background:#e3f1e8;padding:4px 10px}
[role=alert]{background:#fbe6e1;padding:4px 10px}.wrong{color:#a11;margin-left:8px}
.side{display:flex;gap:24px;align-items:flex-start}.side>aside{width:270px;flex:none}
.side>aside label{min-width:80px}.was{color:#777}
""".replace("\n", "")


def page(shop: Shop, session: Session, reply: Reply, note: str, words: str) -> str:
    """The whole document. ``words`` stand in the search box."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("title", f"{reply.title} - {NAME}"),
        tag("style", Html(STYLE)),
        tag("script", src="/static/shop.js", defer=True)
        if "data-ask" in (reply.main or "")
        else None,
    )
    shown = tag("p", note, role="status") if note else None
    body = tag(
        "body",
        _header(shop, session, words),
        tag("main", shown, tag("h1", reply.title), reply.main),
        _footer(),
    )
    return "<!DOCTYPE html>" + tag("html", head, body, lang="en")


def _header(shop: Shop, session: Session, words: str) -> Html:
    box = tag(
        "form",
        tag("input", type="search", name="q", value=words, aria_label="Search products",
            maxlength=100, autocomplete="off"),
        tag("button", "Search", type="submit"),
        role="search", action="/search",
    )  # fmt: skip
    count = cart_of(shop, session.owner).count
    links = [("/", "Home"), ("/cart", f"Cart ({count})")]
    if session.customer is None:
        links += [("/login", "Log in"), ("/register", "Register")]
    else:
        links += [
            ("/account/wishes", "Wish list"), ("/account/orders", "Orders"),
            ("/account", "Account"),
        ]  # fmt: skip
    links.append(("/contact", "Contact"))
    leave = None if session.customer is None else small_form("/logout", "Log out")
    nav = tag("nav", [tag("a", text, href=to) for to, text in links], leave, aria_label="Main")
    return tag("header", tag("strong", NAME), box, nav)


def _footer() -> Html:
    return tag(
        "footer",
        tag("a", "Delivery and returns", href="/help"),
        join("All prices include taxes."),
    )
