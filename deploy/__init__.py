"""Deploys the project to AWS: the package, the stack, and the first account."""
