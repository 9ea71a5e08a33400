"""Messages to people: one process that sends them, and what talks to it."""
