"""The durable core: it knows time, SQL and messages, and nothing of Flask, HTTP, amoCRM or the environment."""
