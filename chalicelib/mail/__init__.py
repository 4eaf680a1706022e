"""Mail: what is said of an event, and how it reaches everybody entitled to hear of it."""
