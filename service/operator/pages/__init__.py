"""The pages under /outbox: what a manager sees of the deliveries, and what an operator can press."""

from service.operator.pages import (
    action_log,
    bulk,
    connections,
    correct,
    deliveries,
    delivery,
    errors,
    help,
    journey,
    language,
    overview,
    pause,
    preview,
    preview_many,
    progress,
    refused,
    students,
)
from service.operator.pages.blueprint import bp

__all__ = [
    "action_log",
    "bp",
    "bulk",
    "connections",
    "correct",
    "deliveries",
    "delivery",
    "errors",
    "help",
    "journey",
    "language",
    "overview",
    "pause",
    "preview",
    "preview_many",
    "progress",
    "refused",
    "students",
]
