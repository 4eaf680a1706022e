"""The whole system on one machine, and an emulator of the deployed package (``local/package``)."""
