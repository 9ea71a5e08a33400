"""Campaigns that a cluster's queue runs, and the job of a row in it."""
