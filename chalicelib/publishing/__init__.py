"""Publishing events on the stack's EventBridge bus, and archiving what is published."""
