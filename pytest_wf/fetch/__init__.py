"""Results brought from the pod to this machine, verified."""
