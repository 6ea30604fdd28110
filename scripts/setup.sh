#!/bin/sh
# Sets up what `make demo` or `make test` needs, and nothing when it is all there:
# Debian packages, a virtual environment, this project in it.
#
# usage: scripts/setup.sh demo|test [environment folder, default .venv]
#
# As root, missing packages are installed. Otherwise the command that installs them is
# printed and nothing is changed.
set -eu

purpose=${1:?usage: scripts/setup.sh demo|test [folder]}
venv=${2:-.venv}
cd "$(dirname "$0")/.."

case $purpose in
demo) extras=cli ;;
test) extras=cli,docs,test ;;
*)
    echo "setup: '$purpose' is neither demo nor test" >&2
    exit 64
    ;;
esac

say() { printf 'setup: %s\n' "$*" >&2; }

# --- Python -------------------------------------------------------------------------

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    # A name on PATH may be a version manager's stub for a Python that is not there: try it.
    for candidate in ${PYTHON:-} python3.11 python3; do
        if new_enough "$candidate"; then
            python=$candidate
            return
        fi
    done
    say "Python 3.11 or newer is needed; python3 is $(python3 --version 2>&1 || echo absent)."
    say "On Debian 12: apt-get install python3 python3-venv"
    say "Elsewhere, name one: make $purpose PYTHON=/path/to/python3.11"
    exit 1
}

# --- Debian packages ----------------------------------------------------------------

missing=
need() { # need PACKAGE COMMAND...: the package is missing when the command fails
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

# Daemons are in /usr/sbin, which is not on every user's PATH.
have() { PATH=$PATH:/usr/sbin:/sbin command -v "$1"; }

find_missing() {
    [ -x "$venv/bin/python" ] || need python3-venv "$python" -c 'import ensurepip, venv'
    need nsd have nsd
    [ "$purpose" = test ] || return 0
    need opendkim have opendkim
    need opendkim-tools have opendkim-genkey
    need libmail-dkim-perl perl -MMail::DKIM::Verifier -MMail::DKIM::Signer -e 1
    need openssl have openssl
    need groff-base have groff
}

policy=/usr/sbin/policy-rc.d
own_policy=
restore_policy() {
    [ -z "$own_policy" ] || rm -f "$policy"
    own_policy=
}

# These packages start daemons on ports 53 and 8891 when they are installed, and at
# every boot afterwards. Tests start their own, so neither is wanted.
install_missing() {
    say "installing$missing"
    trap restore_policy EXIT
    trap 'exit 130' INT TERM
    if [ ! -e "$policy" ]; then
        own_policy=yes
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    restore_policy
    for package in $missing; do
        case $package in
        nsd | opendkim) ! have systemctl >/dev/null || systemctl --quiet disable "$package" || true ;;
        esac
    done
}

# --- Environment --------------------------------------------------------------------

digest() {
    cat pyproject.toml constraints.txt scripts/setup.sh | cksum
}

installed() { # a test environment serves the demo too
    for stamp in "$venv/.dkimcore-$purpose" "$venv/.dkimcore-test"; do
        [ "$(cat "$stamp" 2>/dev/null)" != "$(digest)" ] || return 0
    done
    return 1
}

make_environment() {
    if ! "$venv/bin/python" -c 'import pip' >/dev/null 2>&1; then
        say "creating $venv with $("$python" --version)"
        "$python" -m venv --clear "$venv"
    fi
    say "installing dkimcore[$extras] into $venv"
    # Without noise: no check for a newer pip, and Debian's pip would warn of dkimpy's setup.py.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --use-pep517 \
        --constraint constraints.txt --editable ".[$extras]"
    digest >"$venv/.dkimcore-$purpose"
}

find_python
find_missing
if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ] || ! have apt-get >/dev/null; then
        say "these Debian packages are missing:$missing. Install them, then run make $purpose again:"
        printf '    sudo apt-get update && sudo apt-get install --no-install-recommends%s\n' "$missing" >&2
        exit 1
    fi
    install_missing
fi
installed || make_environment
