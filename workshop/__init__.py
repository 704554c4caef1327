"""What stands behind the make targets: setting up, running and showing the whole."""
