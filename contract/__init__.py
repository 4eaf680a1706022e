"""The public contract: the OpenAPI document and its checks. Never part of the Lambda package."""
