"""The account: settings, password, wish list, and the contact form."""

from __future__ import annotations

from collections.abc import Mapping

from agentgym_envs.web.shop.accounts import change_password, profile, save_profile
from agentgym_envs.web.shop.exchange import Reply, Request, go
from agentgym_envs.web.shop.feedback import TOPICS, send_message
from agentgym_envs.web.shop.forms import (
    button,
    check_field,
    choice_field,
    errors_box,
    form,
    long_field,
    small_form,
    text_field,
)
from agentgym_envs.web.shop.markup import tag
from agentgym_envs.web.shop.pages.search import entry
from agentgym_envs.web.shop.products import require_product
from agentgym_envs.web.shop.state import Refused, Shop
from agentgym_envs.web.shop.wishes import wishes_of

_LINKS = (
    ("/account/settings", "Settings"),
    ("/account/password", "Change password"),
    ("/account/addresses", "Addresses"),
    ("/account/orders", "Your orders"),
    ("/account/wishes", "Your wish list"),
)


def overview(shop: Shop, request: Request) -> Reply:
    """What there is to an account."""
    who = profile(shop, request.customer)
    links = [tag("li", tag("a", text, href=to)) for to, text in _LINKS]
    return Reply("Account", tag("div", tag("p", f"{who.name}, {who.email}"), tag("ul", links)))


def settings(shop: Shop, request: Request) -> Reply:
    """Name, telephone and newsletter."""
    who = profile(shop, request.customer)
    return _settings_page(who.name, who.phone, who.newsletter, {})


def save_settings(shop: Shop, request: Request) -> Reply:
    """Change them."""
    name, phone = request.text("name"), request.text("phone")
    newsletter = request.text("newsletter") == "1"
    try:
        save_profile(shop, request.customer, name, phone, newsletter)
    except Refused as refused:
        return _settings_page(name, phone, newsletter, refused.errors)
    return go("/account/settings", "Your settings were saved.")


def password(shop: Shop, request: Request) -> Reply:
    """The form for a new password."""
    return _password_page({})


def save_password(shop: Shop, request: Request) -> Reply:
    """Change the password."""
    texts = [request.text(name) for name in ("old", "new", "repeated")]
    try:
        change_password(shop, request.customer, *texts)
    except Refused as refused:
        return _password_page(refused.errors)
    return go("/account", "Your password was changed.")


def wishes(shop: Shop, request: Request) -> Reply:
    """The wish list."""
    listed = [require_product(shop, number) for number in wishes_of(shop, request.customer)]
    shop.log.shown.update(one.id for one in listed)
    if not listed:
        return Reply("Your wish list", tag("p", "There is nothing on your wish list."))
    items = [
        tag(
            "li",
            entry(one),
            " ",
            small_form(f"/product/{one.id}/no-wish", "Remove", f"Remove {one.name}"),
        )
        for one in listed
    ]
    return Reply("Your wish list", tag("ul", items))


def contact(shop: Shop, request: Request) -> Reply:
    """The form for a message."""
    known = request.session.customer
    return _contact_page(request, {}, "" if known is None else profile(shop, known).email)


def save_message(shop: Shop, request: Request) -> Reply:
    """Send a message."""
    email, topic, body = (request.text(name) for name in ("email", "topic", "body"))
    try:
        send_message(shop, email, topic, body)
    except Refused as refused:
        return _contact_page(request, refused.errors, email)
    return go("/contact", "Thank you, we have received your message.")


def _settings_page(name: str, phone: str, newsletter: bool, errors: Mapping[str, str]) -> Reply:
    main = form(
        "/account/settings",
        errors_box(errors),
        text_field("name", "Name", name, errors=errors),
        text_field("phone", "Telephone", phone, errors=errors),
        check_field("newsletter", "Send me the newsletter", newsletter),
        button("Save settings"),
    )
    return Reply("Settings", main, 422 if errors else 200)


def _password_page(errors: Mapping[str, str]) -> Reply:
    fields = (
        ("old", "Current password"),
        ("new", "New password"),
        ("repeated", "Repeat new password"),
    )
    main = form(
        "/account/password",
        errors_box(errors),
        [text_field(name, label, kind="password", errors=errors) for name, label in fields],
        button("Save password"),
    )
    return Reply("Change password", main, 422 if errors else 200)


def _contact_page(request: Request, errors: Mapping[str, str], email: str) -> Reply:
    topics = [("", "Please choose"), *((topic, topic) for topic in TOPICS)]
    main = form(
        "/contact",
        errors_box(errors),
        text_field("email", "Email", email, kind="email", errors=errors),
        choice_field("topic", "Topic", topics, request.text("topic"), errors),
        long_field("body", "Message", request.text("body"), errors),
        button("Send message"),
        novalidate="novalidate",
    )
    return Reply("Contact", main, 422 if errors else 200)
