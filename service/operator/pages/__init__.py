"""The pages under /outbox: what a manager sees of the deliveries, and what an operator can press."""

from service.operator.pages import (
    action_log,
    bulk,
    connections,
    deliveries,
    delivery,
    errors,
    help,
    language,
    overview,
    pause,
    progress,
    students,
)
from service.operator.pages.blueprint import bp

__all__ = [
    "action_log",
    "bp",
    "bulk",
    "connections",
    "deliveries",
    "delivery",
    "errors",
    "help",
    "language",
    "overview",
    "pause",
    "progress",
    "students",
]
