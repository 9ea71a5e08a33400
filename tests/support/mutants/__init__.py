"""Mutation testing: which changes of the rules the rules' own tests find."""
