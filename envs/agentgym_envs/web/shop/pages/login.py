"""Signing in, up and out."""

from __future__ import annotations

from collections.abc import Mapping

from agentgym_envs.web.shop.accounts import enter, sign_in, sign_up
from agentgym_envs.web.shop.exchange import Reply, Request, go
from agentgym_envs.web.shop.forms import (
    button,
    check_field,
    errors_box,
    form,
    hidden,
    text_field,
)
from agentgym_envs.web.shop.markup import join, tag
from agentgym_envs.web.shop.state import Refused, Shop


def show(shop: Shop, request: Request) -> Reply:
    """The form to sign in."""
    return _login_page(request, {}, request.query.get("next", ""))


def log_in(shop: Shop, request: Request) -> Reply:
    """Sign in, and back to where that was asked for."""
    try:
        customer = sign_in(shop, request.text("email"), request.text("password"))
    except Refused as refused:
        return _login_page(request, refused.errors, request.text("next"))
    enter(shop, request.session.token, customer)
    return go(_inside(request.text("next")), "You are logged in.")


def log_out(shop: Shop, request: Request) -> Reply:
    """Leave the account."""
    shop.db.execute("UPDATE session SET customer = NULL WHERE token = ?", (request.session.token,))
    return go("/", "You are logged out.")


def show_register(shop: Shop, request: Request) -> Reply:
    """The form for a new account."""
    return _register_page(request, {})


def register(shop: Shop, request: Request) -> Reply:
    """Open an account and sign in."""
    try:
        customer = sign_up(
            shop,
            request.text("name"),
            request.text("email"),
            request.text("password"),
            request.text("newsletter") == "1",
        )
    except Refused as refused:
        return _register_page(request, refused.errors)
    enter(shop, request.session.token, customer)
    return go("/account", "Welcome! Your account is ready.")


def _login_page(request: Request, errors: Mapping[str, str], then: str) -> Reply:
    main = join(
        form(
            "/login",
            errors_box(errors),
            hidden("next", _inside(then)),
            text_field("email", "Email", request.text("email"), kind="email"),
            text_field("password", "Password", kind="password"),
            button("Log in to your account"),
            novalidate="novalidate",
        ),
        tag("p", "New here? ", tag("a", "Open an account", href="/register")),
    )
    return Reply("Log in", main, 422 if errors else 200)


def _register_page(request: Request, errors: Mapping[str, str]) -> Reply:
    main = form(
        "/register",
        errors_box(errors),
        text_field("name", "Name", request.text("name"), errors=errors),
        text_field("email", "Email", request.text("email"), kind="email", errors=errors),
        text_field("password", "Password", kind="password", errors=errors),
        check_field("newsletter", "Send me the newsletter", request.text("newsletter") == "1"),
        button("Create account"),
        novalidate="novalidate",
    )
    return Reply("Register", main, 422 if errors else 200)


def _inside(address: str) -> str:
    """The address if it is one of this shop's, else the account page."""
    inside = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if inside and address.isprintable() else "/account"
