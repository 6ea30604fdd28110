# Verify DNS record
cd "$ETC/keys/$DOMAIN"
dig -t txt "dkim._domainkey.$DOMAIN" "@$DNS_HOST" -p "$DNS_PORT" +noall +answer +comments

# -d domain ; -s selector ; -k keypath
status=0
dkimcore testkey -d "$DOMAIN" -s dkim -k dkim.private --nameserver "$DNS_HOST:$DNS_PORT" || status=$?
echo "status=$status"
