"""What every command shares: how it speaks, how it fails, and in whose name it acts."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

import click

from outbox.message import StoreUnavailable
from service.characters import printable
from service.startup import said_plainly

OWN_WORDS = ("backup", "restore", "forget", "copy")
"""Commands whose fault may be another file's than the store's: the error itself says which."""


class Command(click.Command):
    """One that tells in words, without a trace, that the store cannot be used."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except StoreUnavailable as error:
            fail(str(error) if self.name in OWN_WORDS else said_plainly(error))


def say(text: str = "") -> None:
    """What strangers sent must not steer the terminal."""
    click.echo(printable(text, "\n"))


def fail(text: str) -> NoReturn:
    """End with exit code 1."""
    click.echo(printable(text, "\n"), err=True)
    sys.exit(1)


def table(rows: Iterable[Iterable[Any]]) -> None:
    """Columns as wide as they need to be."""
    lines = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def operator() -> str:
    """Who gives the command, for the action log."""
    try:
        return f"{getpass.getuser()} (flask)"
    except (KeyError, OSError):
        return "flask"
