"""Where pods come from and how they are reached.

`base` defines providers and connections. `local`, `ssh` and `lium` are providers; none imports
another. `rental` is what all renting providers share, behind the interface
`rental.account.Account`. `provider_choice` reads what providers declare: their config keys, and
which one rents. `rpc` is the agent's client. Nothing here imports paramiko before a connection is
opened.
"""
