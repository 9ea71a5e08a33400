"""Control files of the pod: lease, locks, state, journal, frozen campaigns, settings."""
