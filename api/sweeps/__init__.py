"""Sweeps: many jobs from one spec and a grid, and what they show together."""
