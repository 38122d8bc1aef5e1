"""What can be told without a server: check, lock, plan."""
