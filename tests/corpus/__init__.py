"""Real-looking messages that every implementation must agree on, and an index of them."""
