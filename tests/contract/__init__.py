"""Strangers' tools against the API, over HTTP on the local server."""
