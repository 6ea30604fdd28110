"""How many messages a second a filter takes: ours and Debian's opendkim, in turn.

`packets` has the octets that an MTA sends, `answers` checks what comes back, `generator` does
both; `mail` has the messages, `processes` reads what the filters use, `bare` signs without a
milter; `scenario` says what is measured, `contest` measures it, `tables`, `plot` and `pictures`
show it.
"""
