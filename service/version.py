"""The version that pages, requests and the API's description tell; pyproject.toml takes it from here."""

VERSION = "0.2.0"
