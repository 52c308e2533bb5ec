"""Pool experiments: the real pool and client on a virtual network under a virtual clock."""
