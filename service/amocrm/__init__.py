"""amoCRM (Kommo): tokens, pace, deals by e-mail, and stages written in batches."""

from service.amocrm.account import AmocrmAccount

__all__ = ["AmocrmAccount"]
