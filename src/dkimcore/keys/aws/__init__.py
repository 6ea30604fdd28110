"""Keys in AWS KMS: ``awskms:`` signs there, ``awskms-envelope:`` here with a key that only KMS
can decrypt.

`reference` says which key a URI names, `login` who asks, `exchange` carries one request and one
answer, `client` makes them a call, `failures` turns what went wrong into our errors.  `kms` and
`envelope` open keys and `making` makes them.  Needs the extra ``aws``.
"""
