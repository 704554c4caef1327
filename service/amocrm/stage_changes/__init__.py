"""Changes of stage: our own, those seen, and which webhooks and log rows tell of the same one."""
