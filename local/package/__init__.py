"""The emulator of the deployed package, used by the tests and the benchmark."""
