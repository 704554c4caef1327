"""The destination that moves deals: a lesson brings its student's deal to the right stage."""
