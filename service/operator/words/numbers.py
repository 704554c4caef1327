"""Numbers and money by the rules of the reader's language. A space before a unit does not break."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from babel.numbers import format_decimal
from flask_babel import get_domain, get_locale

NBSP = "\N{NO-BREAK SPACE}"


def number(value: float, digits: int = 1) -> str:
    """24 900 in Russian, 24,900 in English; at most `digits` decimals."""
    return plain(round(value, digits) if isinstance(value, float) else value)


def ngettext(singular: str, plural: str, num: int, /, **values: Any) -> str:
    """As the catalogue's, but %(num)s is grouped as all figures are."""
    text = str(get_domain().get_translations().ungettext(singular, plural, num))  # type: ignore[no-untyped-call]
    return text % {"num": number(num), **values}


def plain(value: float | Decimal, pattern: str | None = None) -> str:
    """Grouped by the language's rules, with the one non-breaking space that all fonts have."""
    return format_decimal(value, format=pattern, locale=get_locale() or "en").replace("\u202f", NBSP)


def percent(value: int) -> str:
    return f"{value}{NBSP}%" if language() == "ru" else f"{value}%"


def money(value: Any) -> str:
    """An amount in the shop's money, or the text as it came."""
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        return str(value)
    if not amount.is_finite():
        return str(value)
    whole = amount == amount.to_integral_value()
    text = plain(int(amount)) if whole else plain(amount, "#,##0.00")
    return f"{text}{NBSP}₽" if language() == "ru" else f"₽{text}"


def language() -> str:
    """ "ru" or "en"."""
    locale = get_locale()
    return "ru" if locale and locale.language == "ru" else "en"
