"""The one seam to other machines: requests with a total deadline, and what is kept of them, masked."""
