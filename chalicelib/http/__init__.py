"""HTTP in, HTTP out: decides what a request and a response look like, and not who may do what."""
