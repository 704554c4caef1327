"""What every engine runs: the statements that SQLite and PostgreSQL both take, by what they are for."""
