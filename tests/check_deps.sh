#!/bin/bash
# scripts/deps says what is missing and installs it only as root: as anybody else it prints the one
# command that does, and does nothing else; with everything there it says and does nothing. And the
# build's own messages name Debian's package.
#
# The machine is made of stand-ins, the only programs that scripts/deps can find here.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
machine=$scratch/machine calls=$scratch/calls
failures=0
fail()
{
    echo "FAIL: $*"
    failures=$((failures + 1))
}

# stand_in NAME BODY
stand_in()
{
    printf '#!/bin/sh\n%s\n' "$2" >"$machine/$1"
    chmod 755 "$machine/$1"
}

# A machine with everything there.
make_machine()
{
    local name
    rm -rf "$machine"
    mkdir "$machine"
    for name in cc make pkg-config g++ nm perl python3 openssl valgrind gnuplot jq softhsm2-util; do
        stand_in "$name" 'exit 0'
    done
    mkdir -p "$machine/postgresql/15/bin"
    stand_in postgresql/15/bin/initdb 'exit 0'
    for name in apt-get sudo; do
        stand_in "$name" "echo $name \"\$@\" >>'$calls'"
    done
    ln -s "$(command -v id)" "$machine/id"
    : >"$calls"
    chmod 666 "$calls"
}

# No root, if that can be had: else as who runs the test.
as_nobody()
{
    if [[ $(id -u) -eq 0 ]]; then
        setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
    else
        "$@"
    fi
}

# deps WHO ARGUMENT... : runs it from its text, which nobody need be allowed to read
deps()
{
    local who=$1
    shift
    $who "$(command -v env)" -i PATH="$machine" PYTHON="$machine/python3" POSTGRESQL="$machine/postgresql" \
        "${environment[@]}" \
        /bin/sh -s -- "$@" <scripts/deps >"$scratch/out" 2>"$scratch/err"
    status=$?
}

# asks PACKAGES ARGUMENT... : nobody is told to install exactly these, and nothing is done
asks()
{
    local packages=$1
    local command="  sudo apt-get update && sudo apt-get install -y --no-install-recommends $packages"
    shift
    deps as_nobody "$@"
    [[ $status -eq 1 ]] || fail "deps $* without $packages: status $status"
    [[ ! -s $scratch/out ]] || fail "deps $* without $packages printed $(<"$scratch/out")"
    [[ $(tail -n 1 "$scratch/err") == "$command" && $(grep -c apt-get "$scratch/err") -eq 1 ]] ||
        { fail "deps $* without $packages said:"; cat "$scratch/err"; }
    [[ ! -s $calls ]] || fail "deps $* without $packages called $(<"$calls")"
}

# silent WHO ARGUMENT... : with everything there nothing is said or done
silent()
{
    deps "$@"
    [[ $status -eq 0 && ! -s $scratch/out && ! -s $scratch/err && ! -s $calls ]] ||
        { fail "deps with everything there ($*): status $status"; cat "$scratch/out" "$scratch/err" "$calls"; }
}

# without_library WORD... : a pkg-config that does not find these
without_library()
{
    # shellcheck disable=SC2016 # for the stand-in's shell
    stand_in pkg-config 'case "$*" in *"'"${1// /'"*|*"'}"'"*) exit 1 ;; esac'
}

nothing_missing()
{
    make_machine
    silent env check
    silent as_nobody check
    silent as_nobody quickstart
    silent as_nobody bench
    silent as_nobody bench-peers
    silent as_nobody plots
    # What only the tests need is not asked for by the quickstart, nor what only the plots or the
    # peers need by the benchmark.
    rm -r "$machine/nm" "$machine/gnuplot" "$machine/softhsm2-util" "$machine/postgresql"
    silent as_nobody quickstart
    silent as_nobody bench
}

each_missing()
{
    local name library package
    while read -r name package; do
        make_machine
        rm "$machine/$name"
        asks "$package" check
    done <<'ROWS'
make make
nm binutils
g++ g++
perl perl-base
valgrind valgrind
cc gcc libc6-dev
ROWS
    while read -r library package; do
        make_machine
        without_library "$library"
        asks "$package" check
    done <<'ROWS'
libsodium libsodium-dev
lmdb liblmdb-dev
libcrypto libssl-dev
sqlite3 libsqlite3-dev
jansson libjansson-dev
ROWS
    make_machine
    without_library 'lmdb jansson'
    asks 'liblmdb-dev libjansson-dev' check
    asks 'liblmdb-dev' quickstart
    asks 'liblmdb-dev libjansson-dev' bench
    rm "$machine/gnuplot" "$machine/jq"
    asks 'gnuplot-nox jq' plots
    make_machine
    without_library 'libmongocrypt libpq'
    asks 'libmongocrypt-dev libpq-dev' bench-peers
    silent as_nobody bench
    make_machine
    rm -r "$machine/postgresql/15" "$machine/softhsm2-util"
    asks 'softhsm2 postgresql' bench-peers
    environment=(WITH_LMDB=no)
    silent as_nobody quickstart
    environment=()
}

# The stand-in of apt-get installs nothing.
as_root()
{
    make_machine
    without_library lmdb
    if [[ $(id -u) -ne 0 ]]; then
        echo 'SKIP: scripts/deps as root: run as somebody else'
        return
    fi
    deps env check
    [[ $status -eq 1 ]] || fail "deps as root: status $status"
    diff - "$calls" <<'CALLS' || fail 'deps as root called something else'
apt-get update -q
apt-get install -y -q --no-install-recommends liblmdb-dev
CALLS
    grep -q 'still not usable: liblmdb-dev$' "$scratch/err" || { fail 'deps said:'; cat "$scratch/err"; }
}

# refuses PACKAGE SETTING... : make stops before it compiles, and names the package
refuses()
{
    local package=$1
    shift
    MAKEFLAGS='' make --no-print-directory BUILD="$scratch/build" SODIUM_LIBS= LMDB_LIBS= LIBCRYPTO_LIBS= \
        PKG_CONFIG="$machine/pkg-config" "$@" all >"$scratch/out" 2>&1 && fail "make $* went on"
    grep -qF "(Debian: apt-get install $package)" "$scratch/out" ||
        { fail "make $* does not name $package:"; cat "$scratch/out"; }
}

messages_of_make()
{
    make_machine
    without_library libsodium
    refuses libsodium-dev
    without_library lmdb
    refuses liblmdb-dev WITH_LMDB=yes
    without_library libcrypto
    refuses libssl-dev WITH_LIBCRYPTO=yes WITH_LMDB=no
    rm "$machine/pkg-config"
    refuses pkg-config
}

environment=()
make_machine
chmod a+x "$scratch"
# run-tests gives each test a folder of its own for temporary files.
[[ ${TMPDIR:-} != */kms-check_deps.* ]] || chmod a+x "$TMPDIR"
if ! as_nobody test -x "$machine/cc" 2>/dev/null; then
    echo 'SKIP: scripts/deps as nobody: no setpriv(1) here, or no way for nobody to the scratch folder'
else
    nothing_missing
    each_missing
fi
as_root
messages_of_make
exit $((failures > 0))
