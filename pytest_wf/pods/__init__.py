"""Where pods come from and how they are reached.

`base` says what a provider and a connection are. `local`, `ssh` and `lium` are the
adapters; none imports another. What they share stands beside them: `pipes` (one way to
talk to a running process), `ssh_connect` and `ssh_link` (how an SSH connection comes about,
and what goes over it), `ssh_config`, `ssh_keys` and `known_hosts`. Nothing here imports
paramiko before a connection is opened.
"""
