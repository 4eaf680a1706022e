"""What may be done and what it does: no table, no request, no clock of its own."""
