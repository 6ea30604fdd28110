"""A real Postfix with our milter: from the client's socket to the octets in the mailbox."""
