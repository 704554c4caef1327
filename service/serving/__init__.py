"""Requests under gunicorn: collected whole by one loop before a thread has them, so that slow clients hold none."""
