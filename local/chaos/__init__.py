"""Breaks the system on purpose, while people write to it, and says which of its promises it kept."""
