"""Guard other people's APIs: decide by route rules whether a key may call a path."""
