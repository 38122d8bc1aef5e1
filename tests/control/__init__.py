"""Control: what it reads, and what it decides."""
