"""The rules: who may do what, and what it changes. They know no table, no HTTP request and no clock."""
