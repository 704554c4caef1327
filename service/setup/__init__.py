"""Setting Dealpost up, step by step: what is done, what can be done now, and what waits for an earlier step."""
