"""DKIM as the RFCs define it: no I/O, no clock, no randomness, no logging.

Time and answers are arguments.  Read in this order: `message`, `taglist`,
`algorithm`, `canonical`, `hashing`, `signature`, `keyrecord`, `crypto`,
`policy`, `result`, `verify`, `sign`, `authres`.
"""
