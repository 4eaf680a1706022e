"""The DynamoDB tables: stores what the rules decided, on the condition that what they read is unchanged."""
