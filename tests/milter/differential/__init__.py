"""The same mail to Debian's opendkim and to our milter; each difference has a reason."""
