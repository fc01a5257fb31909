"""Fields of forms, each with its label and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agentgym_envs.web.shop.markup import Content, Html, join, tag

Errors = Mapping[str, str]


def form(action: str, *content: Content, **attributes: str) -> Html:
    """A form that changes something."""
    return tag("form", *content, method="post", action=action, **attributes)


def text_field(
    name: str, label: str, value: str = "", *, kind: str = "text", errors: Errors | None = None
) -> Html:
    """A line of text; ``kind`` is an input's type."""
    wrong = (errors or {}).get(name)
    field = tag(
        "input", type=kind, id=f"f-{name}", name=name, value=value, maxlength=200,
        autocomplete="off", aria_invalid="true" if wrong else None,
    )  # fmt: skip
    return tag("p", tag("label", label, for_=f"f-{name}"), field, _wrong(wrong))


def number_field(name: str, label: str, value: int, least: int, most: int) -> Html:
    """A whole number."""
    field = tag("input", type="number", id=f"f-{name}", name=name, value=value, min=least, max=most)
    return tag("p", tag("label", label, for_=f"f-{name}"), field)


def long_field(name: str, label: str, value: str = "", errors: Errors | None = None) -> Html:
    """Several lines of text."""
    wrong = (errors or {}).get(name)
    field = tag(
        "textarea", value, id=f"f-{name}", name=name, rows=3, maxlength=500,
        aria_invalid="true" if wrong else None,
    )  # fmt: skip
    return tag("p", tag("label", label, for_=f"f-{name}"), field, _wrong(wrong))


def choice_field(
    name: str,
    label: str,
    options: Iterable[tuple[str, str]],
    chosen: str = "",
    errors: Errors | None = None,
) -> Html:
    """One of a list; options are pairs of value and text."""
    wrong = (errors or {}).get(name)
    listed = [tag("option", text, value=value, selected=value == chosen) for value, text in options]
    field = tag("select", listed, id=f"f-{name}", name=name, aria_invalid="true" if wrong else None)
    return tag("p", tag("label", label, for_=f"f-{name}"), field, _wrong(wrong))


def radio_fields(
    name: str,
    legend: str,
    options: Iterable[tuple[str, str]],
    chosen: str = "",
    errors: Errors | None = None,
) -> Html:
    """One of a few, all to be seen."""
    buttons = [
        tag(
            "label",
            tag("input", type="radio", name=name, value=value, checked=value == chosen),
            text,
            class_="radio",
        )
        for value, text in options
    ]
    return tag("fieldset", tag("legend", legend), buttons, _wrong((errors or {}).get(name)))


def check_field(name: str, label: str, checked: bool, errors: Errors | None = None) -> Html:
    """Yes or no."""
    box = tag("input", type="checkbox", name=name, value="1", checked=checked)
    return tag("p", tag("label", box, label, class_="radio"), _wrong((errors or {}).get(name)))


def hidden(name: str, value: str | int) -> Html:
    """What the form is about. Nothing that decides a price is ever read from one."""
    return tag("input", type="hidden", name=name, value=value)


def button(text: str, *, label: str | None = None, kind: str = "main") -> Html:
    """Sends the form; ``label`` is the accessible name where the text alone is ambiguous."""
    return tag("button", text, type="submit", aria_label=label, class_=kind)


def small_form(action: str, text: str, label: str | None = None, **fields: str | int) -> Html:
    """A form that is one button."""
    inputs = [hidden(name, value) for name, value in fields.items()]
    return form(action, inputs, button(text, label=label, kind="plain"), class_="inline")


def errors_box(errors: Errors) -> Html | None:
    """All that is wrong, where it is heard first."""
    if not errors:
        return None
    return tag("div", tag("ul", [tag("li", text) for text in errors.values()]), role="alert")


def _wrong(text: str | None) -> Html:
    return join(tag("span", text, class_="wrong")) if text else Html("")
