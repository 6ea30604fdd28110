"""Thin drivers for other implementations: each signs and verifies lists of messages."""
