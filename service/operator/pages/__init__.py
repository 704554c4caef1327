"""The pages under /outbox: what a manager sees of the deliveries, and what an operator can press."""

from service.operator.pages import (
    broken,
    bulk,
    connections,
    controls,
    deliveries,
    delivery,
    help,
    journal,
    language,
    overview,
    students,
)
from service.operator.pages.blueprint import bp

__all__ = [
    "bp",
    "broken",
    "bulk",
    "connections",
    "controls",
    "deliveries",
    "delivery",
    "help",
    "journal",
    "language",
    "overview",
    "students",
]
