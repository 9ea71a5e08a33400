"""Operations on a pod, one module each; a phase and its `wf` command call the same function.

An operation does one thing with its arguments and returns a `Result`. It raises
`OperationFailed` (with a kind of `wire.failures`) or `TransportError` if it could not do it.
"""
