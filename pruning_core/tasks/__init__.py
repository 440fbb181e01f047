"""Tasks: how rows become model inputs, and how predictions are judged."""
