"""Third-party tools that test the API over HTTP, on the local server."""
