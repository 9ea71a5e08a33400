"""Campaigns that several pods share: claims on rows, and rows that move between the pods."""
