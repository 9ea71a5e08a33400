"""The court of a phase: laws, contracts, checks, the auditor, the verdict, the checklist."""
