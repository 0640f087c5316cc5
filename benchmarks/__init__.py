"""Benchmarks: what is measured against what is in README.md. Nothing here is shipped."""
