"""What an experiment takes place in: virtual time, a network, and who answers on it."""
