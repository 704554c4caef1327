"""A fake Rukovoditel with its REST API."""
