"""What is asked in an experiment, and when: drawn before anything runs."""
