"""What models are pruned for, one task in one file."""
