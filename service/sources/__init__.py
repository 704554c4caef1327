"""The ways in: each reads its own protocol, commits events to the outbox, and waits for nobody else."""
