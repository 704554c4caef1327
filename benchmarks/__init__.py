"""Where the figures in docs/benchmarks.md come from: each module is a program, `python -m benchmarks` runs them all."""
