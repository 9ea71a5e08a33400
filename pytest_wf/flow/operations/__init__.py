"""Operations on a pod, one module each; a phase and its `wf` command call the same function.

An operation takes what it works on, does one thing, and returns a `Result`. It raises
`OperationFailed` (with a kind of `wire.failures`) or `TransportError` where it could not do it.
"""
