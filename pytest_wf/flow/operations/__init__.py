"""Operations on a pod: what a phase and its `wf` command both call. Each answers a `Result`."""
