"""The console: pages in which people run their Service Users. Imported only when a page is asked for."""
