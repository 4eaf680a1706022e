"""``service-users``: a command line for the Service Users API."""
