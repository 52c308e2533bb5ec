"""The command `trio-pool`: fetch a URL, and see what a pool is worth."""
