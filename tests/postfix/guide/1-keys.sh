# Create key and dns record
mkdir "$ETC/keys/$DOMAIN" -p
cd "$ETC/keys/$DOMAIN"
dkimcore keygen -s dkim -d "$DOMAIN"

# keys referenced by the KeyTable must always be accessible for read by the unprivileged user
chown "root:$FILTER_GROUP" dkim.private
chmod 640 dkim.private

cat dkim.txt
