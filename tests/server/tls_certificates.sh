#!/bin/sh
# Makes the certificates and keys that the tests of TLS use, with openssl, in a directory.
#
#   tests/server/tls_certificates.sh DIRECTORY
#
#   ca.pem                  the authority; other_ca.pem: one that nobody has heard of
#   server.pem, .key        localhost, 127.0.0.1, test: a leaf with its intermediate behind it
#   server.leaf.der, .key.der   the same leaf and its key, binary
#   server.aes.key          the same key, encrypted: "secret"
#   renewed.pem, .key       the same names, another key
#   expired.pem, .key       the same names, of yesterday
#   rsa.pem, .key           RSA, other.example and *.wild.example
#   p384.pem, .key          localhost on a larger curve
#   alice.pem, .key         a client; mallory.pem, .key: one of the other authority
#   broken.pem              a chain whose second certificate is damaged
set -eu
dir=${1:?directory}
mkdir -p "$dir"
cd "$dir"
[ ! -e complete ] || exit 0
exec 2>log

key() {         # NAME: an elliptic key
    openssl ecparam -name "${2:-prime256v1}" -genkey -noout -out "$1.key"
}

root() {        # NAME SUBJECT
    key "$1"
    openssl req -x509 -new -key "$1.key" -subj "$2" -days 3650 -out "$1.pem" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign,cRLSign
}

# sign NAME SUBJECT ISSUER DAYS EXTENSION...: a certificate for NAME.key
sign() {
    name=$1 subject=$2 issuer=$3 days=$4
    shift 4
    printf '%s\n' "$@" >"$name.ext"
    openssl req -new -key "$name.key" -subj "$subject" -out "$name.csr"
    openssl x509 -req -in "$name.csr" -CA "$issuer.pem" -CAkey "$issuer.key" -CAcreateserial \
        -days "$days" -extfile "$name.ext" -out "$name.pem"
}

here=subjectAltName=DNS:localhost,DNS:test,IP:127.0.0.1
root ca "/O=uHTTP tests/CN=authority"
root other_ca "/O=Nobody/CN=authority"
key middle
sign middle "/O=uHTTP tests/CN=middle" ca 3650 basicConstraints=critical,CA:TRUE,pathlen:0

key server
sign server /CN=localhost middle 3650 $here
openssl x509 -in server.pem -outform DER -out server.leaf.der
openssl ec -in server.key -outform DER -out server.key.der
openssl ec -in server.key -aes128 -passout pass:secret -out server.aes.key
cat middle.pem >>server.pem
key renewed
sign renewed /CN=localhost ca 3650 $here
key expired
sign expired /CN=localhost ca -1 $here
openssl genrsa -out rsa.key 2048
sign rsa /CN=other.example ca 3650 "subjectAltName=DNS:other.example,DNS:*.wild.example"
key p384 secp384r1
sign p384 /CN=localhost ca 3650 $here
key alice
sign alice "/C=DE/O=uHTTP tests/CN=alice" ca 3650 extendedKeyUsage=clientAuth
key mallory
sign mallory /CN=mallory other_ca 3650 extendedKeyUsage=clientAuth
sed '/BEGIN/,/END/s/^MI/XX/' middle.pem | cat renewed.pem - >broken.pem
: >complete
