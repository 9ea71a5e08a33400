"""Terminal output of a flow: contract lines for programs, or lines for people."""
