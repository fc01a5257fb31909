"""The customer's addresses."""

from __future__ import annotations

from collections.abc import Mapping

from agentgym_envs.web.shop.addresses import addresses_of, delete_address, save_address
from agentgym_envs.web.shop.exchange import Reply, Request, go
from agentgym_envs.web.shop.forms import button, errors_box, form, small_form, text_field
from agentgym_envs.web.shop.markup import join, tag
from agentgym_envs.web.shop.pages.home import missing
from agentgym_envs.web.shop.people import Address
from agentgym_envs.web.shop.state import Refused, Shop

_FIELDS = (("label", "Label"), ("street", "Street"), ("postcode", "Postcode"), ("city", "City"))


def listing(shop: Shop, request: Request) -> Reply:
    """All of them."""
    items = [
        tag(
            "li",
            f"{one.address} ",
            tag("a", f"Edit {one.address.label}", href=f"/account/addresses/{one.id}"),
            " ",
            small_form(
                f"/account/addresses/{one.id}/delete", "Delete", f"Delete {one.address.label}"
            ),
        )
        for one in addresses_of(shop, request.customer)
    ]
    main = join(
        tag("ul", items), tag("p", tag("a", "Add an address", href="/account/addresses/new"))
    )
    return Reply("Your addresses", main)


def new(shop: Shop, request: Request) -> Reply:
    """The form for one more."""
    return _page("Add an address", "/account/addresses/new", Address("", "", "", ""), {})


def save_new(shop: Shop, request: Request) -> Reply:
    """Add it."""
    return _save(shop, request, None)


def edit(shop: Shop, request: Request, number: int) -> Reply:
    """The form to change one."""
    for one in addresses_of(shop, request.customer):
        if one.id == number:
            return _page("Edit an address", f"/account/addresses/{number}", one.address, {})
    return missing(shop, request)


def save(shop: Shop, request: Request, number: int) -> Reply:
    """Change it."""
    return _save(shop, request, number)


def delete(shop: Shop, request: Request, number: int) -> Reply:
    """Forget it."""
    delete_address(shop, request.customer, number)
    return go("/account/addresses", "The address was deleted.")


def _save(shop: Shop, request: Request, number: int | None) -> Reply:
    address = Address(*(request.text(name) for name, _ in _FIELDS))
    try:
        save_address(shop, request.customer, address, number)
    except Refused as refused:
        return _page(
            "Add an address" if number is None else "Edit an address",
            f"/account/addresses/{'new' if number is None else number}",
            address,
            refused.errors,
        )
    return go("/account/addresses", "The address was saved.")


def _page(title: str, action: str, address: Address, errors: Mapping[str, str]) -> Reply:
    fields = [
        text_field(name, label, getattr(address, name), errors=errors) for name, label in _FIELDS
    ]
    main = form(action, errors_box(errors), fields, button("Save address"))
    return Reply(title, main, 422 if errors else 200)
