"""How many signatures a second keys give that are kept elsewhere, and how long each takes.

`standin` is a server that costs little, `standinkeys` what it answers, `relay` a delay in front
of real servers, `apart` runs both as processes; `sites` has the keys and says where they are,
`callers` keeps signatures in flight; `scenario` says what is measured, `contest` measures it,
`milter` does so through the milter, `overhead` what the store costs; `tables` and `pictures` show
it.
"""
