"""``make load``: many clients of the package at once, and what DynamoDB's limits do to them."""
