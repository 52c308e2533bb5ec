"""What came of experiments, for people: tables, charts, a page."""
