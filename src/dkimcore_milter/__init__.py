"""The milter: DKIM for Postfix, from a site's OpenDKIM configuration as it is.

`session` decides, `engine` holds what decisions need, `conversation` speaks the milter
protocol, and `command` is ``dkimcore-milter``.
"""
