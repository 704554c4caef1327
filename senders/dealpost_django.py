"""For Django: tells Dealpost of a completed lesson once the transaction that records it is committed.

Copy this file and dealpost.py. Call lesson_completed() where the completion is saved, inside the same transaction.
"""

from functools import partial

from django.db import transaction

from dealpost import complete_lesson


def lesson_completed(student_id: int, email: str, lesson_id: int) -> None:
    """A rollback sends nothing. Whatever goes wrong here never reaches the view (robust: Django 4.2 or newer)."""
    event_id = f"lesson-{student_id}-{lesson_id}"
    transaction.on_commit(partial(complete_lesson, email, lesson_id, event_id), robust=True)
