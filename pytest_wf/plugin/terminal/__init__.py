"""The flow on the terminal: contract lines for programs, or lines for people."""
