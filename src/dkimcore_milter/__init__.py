"""The milter: DKIM for Postfix, from a site's OpenDKIM configuration as it is.

`session` decides, `engine` holds what decisions need, `adapter` talks to libmilter, and
`command` is ``dkimcore-milter``.
"""
