"""The agent's request loop, operations that outlive a link, and uploads."""
