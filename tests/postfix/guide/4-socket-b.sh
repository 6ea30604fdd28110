# Unix socket: a folder inside Postfix's queue directory
mkdir -p "$QUEUE/opendkim"
chown "$FILTER_USER:postfix" "$QUEUE/opendkim"
chmod 770 "$QUEUE/opendkim"
