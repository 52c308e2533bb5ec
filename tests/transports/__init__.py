"""The transports for httpx2 and httpx."""
