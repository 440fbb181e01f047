"""Webhooks over HTTP: where a team is told of its jobs, and what became of each message."""
