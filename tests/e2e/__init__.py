"""The package as Lambda would run it: unpacked, on Lambda's own runtime client, a process an environment."""
