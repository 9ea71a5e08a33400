"""The controller's end of the agent: its zipapp, channel and client."""
