"""The `flask` commands, for the person at a terminal."""

from __future__ import annotations

from flask import Flask

from service.commands import copy as copy  # their commands join the group of the outbox
from service.commands import maintenance as maintenance
from service.commands.alert import alert_test
from service.commands.amocrm import find_lead, pipelines
from service.commands.check import check
from service.commands.lessons import complete_lesson
from service.commands.outbox import outbox
from service.commands.sandbox import sandbox
from service.commands.tokens import tokens
from service.commands.user import user
from service.commands.webhook import webhook


def register(app: Flask) -> None:
    for command in (check, pipelines, find_lead, complete_lesson, outbox, sandbox, tokens, user, webhook, alert_test):
        app.cli.add_command(command)
