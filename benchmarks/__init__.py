"""Benchmarks: what autorec takes, in time and memory, beside others."""
