"""The same request in curl, Python, Node and PHP, to copy. Each reads DEALPOST_URL and DEALPOST_KEY."""

from __future__ import annotations

import json
import re
from typing import Any

ENVIRON = {"event_key": "DEALPOST_KEY", "event_id": "EVENT_ID"}
"""Where a place in an address comes from."""


def samples(method: str, path: str, example: Any = None) -> dict[str, str]:
    """By language. example: the body, or None for a request without one."""
    signed = "{event_key}" not in path  # there the key is in the address
    make = {"curl": _curl, "Python": _python, "Node": _node, "PHP": _php}
    return {language: write(method.upper(), path, example, signed) for language, write in make.items()}


def _fill(path: str, before: str, after: str) -> str:
    return re.sub(r"{(\w+)}", lambda found: f"{before}{ENVIRON[found[1]]}{after}", path)


def _curl(method: str, path: str, example: Any, signed: bool) -> str:
    lines = [f'curl --fail-with-body --max-time 5 "$DEALPOST_URL{_fill(path, "$", "")}"']
    if signed:
        lines.append('--header "Authorization: Bearer $DEALPOST_KEY"')
    if example is not None:
        lines += ["--header 'Content-Type: application/json'", f"--data '{json.dumps(example)}'"]
    return " \\\n  ".join(lines)


def _python(method: str, path: str, example: Any, signed: bool) -> str:
    address = _fill(path, "{os.environ['", "']}")
    lines = [f"""f"{{os.environ['DEALPOST_URL']}}{address}",""", "timeout=5,"]
    if signed:
        lines.append("""headers={"Authorization": f"Bearer {os.environ['DEALPOST_KEY']}"},""")
    if example is not None:
        lines.append(f"json={_literal(example)},")
    inner = "".join(f"    {line}\n" for line in lines)
    return (
        f"import os\n\nimport requests\n\nanswer = requests.{method.lower()}(\n{inner})\n"
        "answer.raise_for_status()\nprint(answer.json())"
    )


def _node(method: str, path: str, example: Any, signed: bool) -> str:
    headers = ["Authorization: `Bearer ${process.env.DEALPOST_KEY}`"] if signed else []
    lines = [f'method: "{method}",', "signal: AbortSignal.timeout(5000),"]
    if example is not None:
        headers.append('"Content-Type": "application/json"')
        lines.append(f"body: JSON.stringify({json.dumps(example)}),")
    if headers:
        lines.append(f"headers: {{ {', '.join(headers)} }},")
    inner = "".join(f"  {line}\n" for line in lines)
    address = _fill(path, "${process.env.", "}")
    return (
        f"const answer = await fetch(`${{process.env.DEALPOST_URL}}{address}`, {{\n{inner}}});\n"
        "if (!answer.ok) throw new Error(await answer.text());\nconsole.log(await answer.json());"
    )


def _php(method: str, path: str, example: Any, signed: bool) -> str:
    headers = ["'Authorization: Bearer ' . getenv('DEALPOST_KEY')"] if signed else []
    lines = ["CURLOPT_RETURNTRANSFER => true,", "CURLOPT_TIMEOUT => 5,"]
    if example is not None:
        headers.append("'Content-Type: application/json'")
        lines.append(f"CURLOPT_POSTFIELDS => json_encode({_literal(example, '[', ']', ' => ')}),")
    if headers:
        lines.append(f"CURLOPT_HTTPHEADER => [{', '.join(headers)}],")
    inner = "".join(f"    {line}\n" for line in lines)
    address = _fill(path, "' . getenv('", "') . '").removesuffix(" . ''")
    address = f"getenv('DEALPOST_URL') . '{address}" + ("" if address.endswith(")") else "'")
    return (
        f"$curl = curl_init({address});\ncurl_setopt_array($curl, [\n{inner}]);\n$answer = curl_exec($curl);\n"
        "if (curl_getinfo($curl, CURLINFO_RESPONSE_CODE) >= 300 || $answer === false) {\n"
        "    throw new RuntimeException($answer === false ? curl_error($curl) : $answer);\n}\necho $answer;"
    )


def _literal(value: Any, opening: str = "{", closing: str = "}", arrow: str = ": ") -> str:
    """The value as Python writes it, or with other brackets as PHP does."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)}{arrow}{_literal(one, opening, closing, arrow)}" for key, one in value.items())
        return f"{opening}{', '.join(pairs)}{closing}"
    if isinstance(value, list):
        return f"[{', '.join(_literal(one, opening, closing, arrow) for one in value)}]"
    return json.dumps(value)
