"""The key of a student's deliveries, by which their lessons keep their order."""

from __future__ import annotations


def student_key(email: str) -> str:
    return f"email:{email}"
