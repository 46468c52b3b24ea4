"""The benchmark suite: ``python -m tests.benchmarks``, or ``make bench``. See docs/performance.md."""
