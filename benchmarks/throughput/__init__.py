"""How many messages a second a filter takes: ours and Debian's opendkim, in turn.

`packets` has the octets that an MTA sends, `generator` sends them and checks the answers,
`processes` reads what the filters use, `bare` signs without a milter, `scenario` says what is
measured, `contest` measures it, `tables` and `plot` show it.
"""
