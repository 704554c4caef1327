"""Documentation: the list of settings out of the code that reads them, and a site out of the pages.

`python -m workshop.docs settings` writes the list into both settings.md; `python -m workshop.docs site` builds it all.
"""

from __future__ import annotations

import html
import re
import shutil
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import markdown

from service import config
from service.settings_reader import SECRETS, SettingsReader
from workshop.processes import FOLDER

DOCS = FOLDER / "docs"
SITE = FOLDER / "build" / "docs"
BEGIN, END = "<!-- settings: written by `python -m workshop.docs settings` -->\n", "<!-- end of settings -->"

NAVIGATION = {
    ("Begin", "Начало"): ("quick-start", "amocrm-setup", "senders", "migrate-fire-and-forget", "migrate-inngest"),
    ("Use", "Работа"): ("page", "events", "api", "settings", "commands", "sandbox"),
    ("Run", "Эксплуатация"): ("deploy", "running", "troubleshooting", "backup", "upgrade", "rotate-keys"),
    ("Understand", "Устройство"): ("states", "amocrm", "webhooks", "erp", "reliability", "benchmarks"),
    ("Change", "Развитие"): ("architecture", "another-event", "another-destination", "adding-an-erp"),
}
"""The pages by heading, in the order in which a newcomer needs them; one that is in no list comes last."""

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.6 system-ui, sans-serif; margin: 0 auto; max-width: 1180px; padding: 24px 20px;
  display: flex; gap: 40px }
nav { flex: 0 0 230px; font-size: 14px } nav ul { list-style: none; padding: 0; margin: 4px 0 20px }
main { min-width: 0; flex: 1 } a { color: light-dark(#0b57d0, #8ab4f8) } [aria-current] { font-weight: 700 }
pre { overflow: auto; padding: 12px; border: 1px solid #8886; border-radius: 8px; font-size: 13px }
code { font-family: ui-monospace, monospace; font-size: .92em } img { max-width: 100% }
table { border-collapse: collapse; display: block; overflow: auto }
td, th { border: 1px solid #8886; padding: 6px 10px; text-align: left; vertical-align: top }
@media (max-width: 760px) { body { flex-direction: column; gap: 0 } nav { flex: none } }
"""


# --- settings ---------------------------------------------------------------------------------------------------------


def settings() -> dict[str, str]:
    """Every name that the code reads, in its order, with the default as it would be written."""
    seen: dict[str, str] = {}
    inner = SettingsReader.raw

    def raw(self: SettingsReader, name: str) -> str:
        seen.setdefault(name, "")
        return inner(self, name)

    def noting(method: Any, place: int) -> Any:
        def read(self: SettingsReader, *given: Any) -> Any:
            default = given[place] if len(given) > place else None
            if default not in (None, ""):
                seen[given[0]] = f"{default:g}" if isinstance(default, float) else str(default)
            return method(self, *given)

        return read

    places = {"text": 1, "list": 1, "integer": 1, "number": 1, "choice": 2}
    noted = {name: noting(getattr(SettingsReader, name), place) for name, place in places.items()}

    def flag(self: SettingsReader, name: str) -> bool:
        seen[name] = "0"
        return bool(raw(self, name) == "1")

    with patch.multiple(SettingsReader, raw=raw, flag=flag, **noted):
        config.load({"AMOCRM_STAGE_LESSON_1": "1"})
    return seen


def settings_table(russian: bool) -> str:
    """The list in Markdown."""
    head = "| имя | по умолчанию | файлом |" if russian else "| name | default | from a file |"
    rows = [
        f"| `{name}` | {f'`{default}`' if default else ''} | {f'`{name}_FILE`' if name in SECRETS else ''} |"
        for name, default in sorted(settings().items())
    ]
    return "\n".join([head, "|---|---|---|", *rows]) + "\n"


def with_settings(page: str, russian: bool) -> str:
    """The page with the list between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"settings.md lacks the marks {BEGIN.strip()} and {END}")
    return f"{before}{BEGIN}\n{settings_table(russian)}\n{END}{after}"


def write_settings() -> None:
    for page, russian in ((DOCS / "settings.md", False), (DOCS / "ru" / "settings.md", True)):
        page.write_text(with_settings(page.read_text(), russian))


# --- the site ---------------------------------------------------------------------------------------------------------


def build_site(site: Path = SITE) -> None:
    """All pages as HTML, in both languages, with nothing that comes from another machine."""
    shutil.rmtree(site, ignore_errors=True)
    for source in sorted(DOCS.glob("**/*.md")):
        target = site / source.relative_to(DOCS).with_suffix(".html")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_page(source))
    shutil.copytree(DOCS / "images", site / "images")
    (site / "index.html").write_text('<!doctype html><meta http-equiv="refresh" content="0; url=quick-start.html">')
    print(f"{len(list(site.glob('**/*.html')))} pages: {site / 'index.html'}")


def _page(source: Path) -> str:
    russian = source.is_relative_to(DOCS / "ru")
    up = "../" * (len(source.relative_to(DOCS).parts) - 1)
    text = source.read_text()
    body = markdown.markdown(text, extensions=["tables", "fenced_code", "toc", "sane_lists"])
    body = re.sub(r'<a href="([^"#]+)(#[^"]*)?">(.*?)</a>', lambda found: _link(source, found), body, flags=re.DOTALL)
    other = source.relative_to(DOCS / "ru") if russian else Path("ru") / source.relative_to(DOCS)
    switch = ""
    if (DOCS / other).exists():
        switch = f'<p><a href="{up}{other.with_suffix(".html")}">{"English" if russian else "Русский"}</a></p>'
    return (
        f'<!doctype html><html lang="{"ru" if russian else "en"}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(_title(text))} · Dealpost</title>'
        f"<style>{STYLE}</style></head><body><nav>{switch}{_menu(source, russian, up)}</nav>"
        f"<main>{body}</main></body></html>"
    )


def _link(source: Path, found: re.Match[str]) -> str:
    """Pages link to pages; whatever else of the project they name is not part of the site, and stands as a word."""
    address, place, words = found[1], found[2] or "", found[3]
    if re.match(r"[a-z]+:", address):
        return found[0]
    target = (source.parent / address).resolve()
    if target.is_relative_to(DOCS) and target.suffix == ".md":
        return f'<a href="{address.removesuffix(".md")}.html{place}">{words}</a>'
    return found[0] if target.is_relative_to(DOCS / "images") else words


def _menu(source: Path, russian: bool, up: str) -> str:
    folder = DOCS / "ru" if russian else DOCS
    base = f"{up}ru/" if russian else up
    listed = {name for names in NAVIGATION.values() for name in names}
    rest = tuple(sorted({page.stem for page in folder.glob("*.md")} - listed))
    parts = []
    for heading, names in {**NAVIGATION, ("More", "Ещё"): rest}.items():
        links = []
        for name in names:
            if (page := folder / f"{name}.md").exists():
                here = ' aria-current="page"' if page == source else ""
                links.append(f'<li><a href="{base}{name}.html"{here}>{html.escape(_title(page.read_text()))}</a></li>')
        if links:
            parts.append(f"<strong>{heading[russian]}</strong><ul>{''.join(links)}</ul>")
    return "".join(parts)


def _title(text: str) -> str:
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    return found[1].replace("`", "") if found else "Dealpost"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["settings"]:
            write_settings()
        case ["site"]:
            build_site()
        case _:
            raise SystemExit(__doc__)
