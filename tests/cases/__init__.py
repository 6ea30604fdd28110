"""Our own case set: what the RFCs say of each kind of message, signed without dkimcore."""
