"""Benchmarks of the package: cold start, memory, time, DynamoDB calls and capacity units (``make bench``)."""
