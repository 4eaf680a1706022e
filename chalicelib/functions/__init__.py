"""What Lambda starts: read the environment, build the objects, pass the event on."""
