"""The access to an account: its tokens, who may renew them and when, and how they are kept."""
