"""What is so, and who has to do something: one answer for pages, alerts and checks, out of all signals."""

from service.situations.signals import Situation

__all__ = ["Situation"]
