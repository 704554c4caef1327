"""How an e-mail address is shown where nobody may read it."""

from __future__ import annotations


def masked_email(address: str) -> str:
    """`student@example.com` as `s***t@example.com`: the first and the last letter at most, never the whole name."""
    name, _, domain = address.rpartition("@")
    first = name[0] if len(name) > 1 else ""
    last = name[-1] if len(name) > 2 else ""
    return f"{first}***{last}@{domain}"
