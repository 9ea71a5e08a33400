"""Messages to people: a process that sends them, and the client that starts it."""
