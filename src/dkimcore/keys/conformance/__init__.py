"""The contracts of key backends and key makers as checks, for their own tests.

`dkimcore.testing` publishes them.
"""
