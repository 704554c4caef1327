"""The version that pages, requests and the API's description tell; pyproject.toml bears the same."""

VERSION = "0.1.0"
