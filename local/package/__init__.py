"""An emulator of AWS around the deployed package, used by tests and benchmarks."""
