"""What the package costs: cold start, memory, time, DynamoDB's calls and capacity. ``make bench`` runs it."""
