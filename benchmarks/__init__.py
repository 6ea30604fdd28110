"""How fast dkimcore is: against dkimpy, Mail::DKIM and the cryptography that nobody can avoid.

usage: python -m benchmarks --help

What the figures mean is in docs/explanation/performance.md.
"""
