"""The daily job that sends expiry notices and revokes expired keys."""
