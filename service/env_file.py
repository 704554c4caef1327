"""The file .env, read so that a line which cannot be read is a fault, and no setting is silently unset. Pure."""

from __future__ import annotations

import codecs
import io
import re

from dotenv.parser import Binding, parse_stream

from service.settings_reader import EXAMPLES

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ASSIGNMENT = re.compile(r"^\s*(export\s+)?[A-Z_][A-Z0-9_]*\s*=", re.MULTILINE)
SECOND = re.compile(r"[\s;](export\s+)?[A-Z][A-Z0-9_]{2,}=")
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def parse(data: bytes, file: str) -> tuple[dict[str, str], list[str]]:
    """-> the values, literally (`${...}` is no reference), and the faults: file and line, never a value."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, text = data[: error.start].count(b"\n") + 1, ""
        kind = "it is UTF-16" if data.startswith(UTF_16) else "it is no UTF-8 text (Windows-1251, perhaps)"
        return {}, [f"{file}, line {line}: {kind}; expected a file that is saved as UTF-8"]
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        return {}, [f"{file}, line {line}: it holds zero bytes, as UTF-16 does; expected a file that is saved as UTF-8"]
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    faults: list[str] = []
    for binding in parse_stream(io.StringIO(text)):
        line = _line(binding)
        if why := _fault(binding):
            faults.append(f"{file}, line {line}: {why}")
        elif binding.key:
            name, value = binding.key, binding.value or ""
            if not _set(values.get(name, "")):
                values[name], lines[name] = value, line
            elif _set(value) and value != values[name]:
                faults.append(
                    f"{file}, line {line}: {name} has another value than in line {lines[name]}; expected it once"
                )
    return values, faults


def _set(value: str) -> bool:
    return bool(value.strip()) and not EXAMPLES.search(value)


def _line(binding: Binding) -> int:
    # The parser counts the empty lines before a binding as a part of it.
    text = binding.original.string
    return binding.original.line + len(re.findall(r"\r\n|\n|\r", text[: len(text) - len(text.lstrip())]))


def _fault(binding: Binding) -> str:
    """What is wrong with these lines, and what was expected; "" when they can be read."""
    text = binding.original.string.strip()
    # What does not look like a setting's name may be the rest of a secret.
    name = re.match(r"(?:export\s+)?([A-Z][A-Z0-9_]{2,40})\s*[=:]", text)
    shown = f"{name[1]}: " if name else ""
    readable = not binding.error and binding.value is not None and NAME.fullmatch(binding.key or "")
    if not readable and re.match(r"(export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*:", text):
        return f"{shown}a colon stands where = should; expected NAME=value"
    if binding.error and re.match(r"[^=\s]+\s*=\s*[\"']", text):
        return f"{shown}the quote is not closed, or something follows it; expected NAME='value'"
    if binding.error or (binding.key and binding.value is None):
        return f"{shown}the line cannot be read; expected NAME=value, or # before a remark"
    if binding.key and not NAME.fullmatch(binding.key):
        return "what stands before = is no name of a setting; expected NAME=value"
    if SECOND.search(binding.value or "") and not re.match(r"[^=]*=\s*[\"']", text):
        return f"{shown}another setting follows in the same line; expected each in a line of its own, or NAME='value'"
    if binding.value and ASSIGNMENT.search(binding.value.partition("\n")[2]):
        return f"{shown}the quote is closed only after other settings; expected NAME='value' in one line"
    return ""
