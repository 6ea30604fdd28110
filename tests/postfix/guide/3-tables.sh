# SigningTable and KeyTable
grep -e KeyTable -e SigningTable "$ETC/opendkim.conf"

cat >"$ETC/signing.table" <<TABLE
# domain                  short name for the domain
*          datahunter
TABLE

cat >"$ETC/key.table" <<TABLE
datahunter  $DOMAIN:dkim:$ETC/keys/$DOMAIN/dkim.private
TABLE

cat >"$ETC/TrustedHosts" <<TABLE
127.0.0.1
::1
# mx1 IP
# mx2 IP
TABLE

# What would start, and whether all of it can work
dkimcore-milter -n -x "$ETC/opendkim.conf"
