r"""Comparisons of methods by search, seeds and records: ``python -m benchmarks run CONFIG``."""
