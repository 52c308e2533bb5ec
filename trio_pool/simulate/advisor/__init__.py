"""How large a pool must be: searched for, warned about, and tried."""
