#!/bin/sh
# Sets up what `make demo` or `make test` needs, and nothing when it is all there:
# Debian packages, a virtual environment, this project in it. For tests, also two servers
# that Debian does not have, each in an environment of its own in .servers.
#
# usage: scripts/setup.sh demo|test [environment folder, default .venv]
#
# As root, missing packages are installed. Otherwise the command that installs them is
# printed and nothing is changed. `make demo` goes on without Postfix where it cannot be
# had. A mail server that is there is never touched.
set -eu

purpose=${1:?usage: scripts/setup.sh demo|test [folder]}
venv=${2:-.venv}
cd "$(dirname "$0")/.."

case $purpose in
demo) extras=cli,milter ;;
test) extras=cli,docs,milter,test ;;
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
wanted= # the demonstration is shorter without these
check() { # check LIST PACKAGE COMMAND...: the package is missing when the command fails
    list=$1 package=$2
    shift 2
    "$@" >/dev/null 2>&1 || eval "$list=\"\$$list \$package\""
}
need() { check missing "$@"; }
want() { if [ "$purpose" = demo ]; then check wanted "$@"; else need "$@"; fi; }

# Daemons are in /usr/sbin, which is not on every user's PATH.
have() { PATH=$PATH:/usr/sbin:/sbin command -v "$1"; }

headers="import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h')))"

# The accelerator is built where it is installed, and tests compare it with the Python code.
# Elsewhere it is left out where there is no compiler.
find_missing_for_accelerator() {
    need gcc have gcc
    need libc6-dev [ -e /usr/include/stdio.h ]
    need python3-dev "$python" -c "$headers"
}

find_missing() {
    [ -x "$venv/bin/python" ] || need python3-venv "$python" -c 'import ensurepip, venv'
    need nsd have nsd
    # apt would take another mail server away for Postfix.
    if have postfix >/dev/null || ! have sendmail >/dev/null; then
        want postfix have postfix
    else
        say "another mail server than Postfix is installed, so Postfix is not: no mail passes through it"
    fi
    [ "$purpose" = test ] || return 0
    find_missing_for_accelerator
    need opendkim have opendkim
    need opendkim-tools have opendkim-genkey
    need libmail-dkim-perl perl -MMail::DKIM::Verifier -MMail::DKIM::Signer -e 1
    need openssl have openssl
    need groff-base have groff
    need systemd have systemd-analyze
    need bind9-dnsutils have dig
    need softhsm2 have softhsm2-util
}

policy=/usr/sbin/policy-rc.d
own_policy=
restore_policy() {
    [ -z "$own_policy" ] || rm -f "$policy"
    own_policy=
}

# These packages start daemons on ports 25, 53 and 8891 when they are installed, and at
# every boot afterwards. Tests start their own, so none is wanted.
install_packages() { # install_packages PACKAGE...
    say "installing $*"
    trap restore_policy EXIT
    trap 'exit 130' INT TERM
    if [ ! -e "$policy" ]; then
        own_policy=yes
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # Postfix would ask what it is for.
    case " $* " in
    *" postfix "*) echo postfix postfix/main_mailer_type select Local only | debconf-set-selections ;;
    esac
    status=0
    {
        apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
                --no-remove "$@" >/dev/null
    } || status=$?
    restore_policy
    for package in "$@"; do
        case $package in
        nsd | opendkim | postfix) ! have systemctl >/dev/null || systemctl --quiet disable "$package" || true ;;
        esac
    done
    return $status
}

# --- Environment --------------------------------------------------------------------

digest() { # digest EXTRAS
    {
        cat pyproject.toml setup.py src/dkimcore/_speedups.c constraints.txt scripts/setup.sh &&
            echo "$1"
    } | cksum
}

stamped() { [ "$(cat "$venv/.dkimcore-$1" 2>/dev/null)" = "$(digest "$2")" ]; }

# A test environment serves the demo too.
installed() { stamped "$purpose" "$extras" || stamped test cli,docs,milter,test; }

# Without noise: no check for a newer pip, and Debian's pip would warn of dkimpy's setup.py.
pip() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --use-pep517 \
        --constraint constraints.txt "$@"
}

make_venv() {
    say "creating $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
}

make_environment() {
    "$venv/bin/python" -c 'import pip' >/dev/null 2>&1 || make_venv || return 1
    say "installing dkimcore[$extras] into $venv"
    pip --editable ".[$extras]" || return 1
    digest "$extras" >"$venv/.dkimcore-$purpose"
}

# --- Servers ------------------------------------------------------------------------

# They are no part of dkimcore: tests run them, as nobody where the tests run as root.
servers=.servers

runs_as_nobody() {
    [ "$(id -u)" -ne 0 ] || setpriv --reuid=nobody "--regid=$(id -g nobody)" --clear-groups "$1" -c '' \
        >/dev/null 2>&1
}

# A version manager's Python under /root is closed to nobody; Debian's own is not.
find_python_for_servers() {
    for candidate in "$python" /usr/bin/python3; do
        if new_enough "$candidate" && runs_as_nobody "$candidate" &&
            "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "$python"
}

requirements() { echo "tests/servers/requirements/$1.txt"; }

# One whose Python is gone must be made again too.
server_installed() {
    [ "$(cat "$servers/$1/.installed" 2>/dev/null)" = "$(cksum <"$(requirements "$1")")" ] &&
        "$servers/$1/bin/python" -c '' 2>/dev/null
}

# Nothing but what the hashes name, and nothing that must be built.
make_server() {
    say "installing $1 into $servers/$1"
    "$(find_python_for_servers)" -m venv --clear "$servers/$1" &&
        "$servers/$1/bin/python" -m pip install --quiet --disable-pip-version-check \
            --require-hashes --only-binary :all: --requirement "$(requirements "$1")" &&
        cksum <"$(requirements "$1")" >"$servers/$1/.installed"
}

make_servers() { # make_servers NAME...
    for server in "$@"; do
        server_installed "$server" || make_server "$server" || {
            say "going on without $server: tests that need it are skipped, and fail in CI. To try again:"
            printf '    scripts/setup.sh test\n' >&2
        }
    done
}

apt_command="apt-get update && sudo apt-get install --no-install-recommends"
is_admin() { [ "$(id -u)" -eq 0 ] && have apt-get >/dev/null; }

find_python
find_missing
if [ -n "$missing$wanted" ] && is_admin; then
    # shellcheck disable=SC2086 # lists of words
    if ! install_packages $missing $wanted; then
        [ "$purpose" = demo ] || exit 1
        [ -z "$missing" ] || install_packages $missing
    fi
    missing='' wanted=''
    find_missing
fi
if [ -n "$missing" ]; then
    say "these Debian packages are missing:$missing. Install them, then run make $purpose again:"
    printf '    sudo %s%s\n' "$apt_command" "$missing$wanted" >&2
    exit 1
fi
if [ -n "$wanted" ]; then
    say "going on without$wanted; for the whole demonstration:"
    printf '    sudo %s%s\n' "$apt_command" "$wanted" >&2
fi
if ! installed && ! make_environment; then
    say "it failed: see above"
    exit 1
fi
if [ "$purpose" = test ]; then
    have bao >/dev/null || have vault >/dev/null || make_servers openbao
    make_servers ministack
fi
