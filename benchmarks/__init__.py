"""The benchmark suite: `python -m benchmarks`. See docs/performance.md."""
