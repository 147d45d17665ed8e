"""Benchmarks: each result is compared with a limit measured in the same run, because machines vary."""
