"""The version, shown by `/health`, the stack's outputs and the OpenAPI document."""

VERSION = "1.1.0"
"""Of the code and of its contract alike. docs/versioning.md says when it changes, docs/releasing.md how."""
