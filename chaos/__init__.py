"""Dealpost broken on purpose: kills, stops, clocks that jump, disks that fail, and a ledger of what was lost."""
