"""The commands of `wf`: one module for each group, on the operations that the phases call."""
