"""The system on one machine: its tables, its gateway, its schedules, the real database engine."""
