"""The deployed package in the emulator: each environment a process with Lambda's runtime client."""
