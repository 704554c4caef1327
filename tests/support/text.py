"""A page as a person reads it."""

import re
from html import unescape


def plain(html: str) -> str:
    """No tags, single spaces, ordinary spaces."""
    html = re.sub(r"<(script|style|head).*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html))).strip()
