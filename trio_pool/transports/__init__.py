"""The clients that people already use, on a pool of this library: `transports.httpx2` and `transports.httpx`."""
