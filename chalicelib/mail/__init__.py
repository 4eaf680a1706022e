"""Email: the text for an event, and its delivery to every recipient."""
