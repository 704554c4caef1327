"""The stages of closed deals, under the same ids in every pipeline of every amoCRM account."""

WON, LOST = 142, 143

CLOSED = (WON, LOST)
