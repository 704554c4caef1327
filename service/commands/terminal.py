"""What every command shares: how it speaks, how it fails, and in whose name it acts."""

from __future__ import annotations

import getpass
import gettext
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click
from flask.cli import AppGroup
from flask_babel import gettext as _

from outbox.message import StoreUnavailable
from service.causes import N_ as N_
from service.characters import printable
from service.operator import language
from service.startup import said_plainly

OWN_WORDS = ("backup", "restore", "forget", "copy")
"""Commands whose fault may be another file's than the store's: the error itself says which."""


CLICK = (
    N_("Usage:"), N_("Options"), N_("Commands"), N_("Show this message and exit."), N_("Error: {message}"),
    N_("Try '{command} {option}' for help."), N_("Missing argument"),
    N_("default: {default}"), N_("required"),
)  # fmt: skip
"""What click itself says most; it asks the standard library's gettext for it, in our catalogue: see speak."""


def speak(locale: str) -> None:
    """Let click say its own words in the language of the commands. Before it has said anything."""
    os.environ["LANGUAGE"] = language.choose(locale)
    gettext.bindtextdomain("messages", str(language.compiled(language.CATALOGUES)))


class Helpful(click.Command):
    """Its help is marked by N_ where it is written, and translated where it is shown."""

    def get_help(self, ctx: click.Context) -> str:
        with self._translated():
            return super().get_help(ctx)

    def get_short_help_str(self, limit: int = 45) -> str:
        with self._translated():
            return super().get_short_help_str(limit)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        told: list[click.Command | click.Option] = [
            self,
            *(one for one in self.params if isinstance(one, click.Option)),
        ]
        kept = [one.help for one in told]
        for one, text in zip(told, kept, strict=True):
            one.help = str(_(text)) if text else text
        try:
            yield
        finally:
            for one, text in zip(told, kept, strict=True):
                one.help = text


class Group(Helpful, AppGroup):
    """Several commands under one word."""


class Command(Helpful):
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
