"""The DynamoDB tables: keeps what the rules decided, conditional on what they read."""
