"""A fake amoCRM (Kommo) account."""
