#!/bin/bash
# Runs the recipes of docs/import.md as the page prints them, in a folder of its own, and looks at
# whether the key encrypts and decrypts then. With RSA also for the other sizes of the key.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

page=$PWD/docs/import.md
examples=$(cd "${KMS_BUILD:-build}/examples" && pwd) || exit 1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0
fail()
{
    echo "FAIL: $*"
    failures=$((failures + 1))
}
skip()
{
    echo "SKIP: $*"
    exit 77
}

# A python3 that has PyNaCl comes first in the recipes' PATH.
python=
for candidate in "${PYTHON:-python3}" /usr/bin/python3; do
    if "$candidate" -c 'import nacl.public' >/dev/null 2>&1; then
        python=$(command -v "$candidate")
        break
    fi
done
[[ -n $python ]] || skip 'wrapping material with PyNaCl: python3-nacl is not installed'
command -v openssl >/dev/null || skip 'wrapping material with RSA: openssl is not installed'
mkdir "$scratch/bin"
ln -s "$python" "$scratch/bin/python3"
export PATH=$scratch/bin:$examples:$PATH PASSPHRASE='a passphrase of the test'

import_key "$scratch/probe.kms" create >"$scratch/probe" 2>&1 ||
    { grep -q 'no LMDB engine' "$scratch/probe" && skip 'the example keeps its store in LMDB, which this build has not'; }
grep -qE '^[0-9a-f-]{36}$' "$scratch/probe" || { fail 'import_key made no key'; cat "$scratch/probe"; }

# script HEADING : what is to be typed below a heading, in its order. A block of Python becomes the
# file that its first line names.
script()
{
    awk -v heading="## $1" '
        /^## / { inside = ($0 == heading) }
        !inside { next }
        /^```sh$/ { block = "sh"; next }
        /^```python$/ { block = "python"; first = 1; next }
        /^```$/ { if (block == "python") print "END_OF_PYTHON"; block = ""; next }
        block == "python" && first { first = 0; print "cat >" $2 " <<\"END_OF_PYTHON\"" }
        block != "" { print }
    ' "$page"
}

# recipe NAME SCRIPT : runs it in a folder of that name, and uses the key.
recipe()
{
    local folder=$scratch/$1 said
    mkdir "$folder"
    printf '%s\n' "$2" >"$folder/script"
    said=$(cd "$folder" && bash -euo pipefail script 2>&1) ||
        { fail "the recipe for $1"; echo "$said"; return 1; }
    [[ ${said##*$'\n'} == 'version 1, primary: enabled' ]] || { fail "$1: at its end is said:"; echo "$said"; }
    printf 'Room 1204, Building 17' >"$folder/plain"
    (
        cd "$folder" || exit 1
        import_key keys.kms encrypt "$(cat ./*key-id)" <plain >blob && import_key keys.kms decrypt <blob | cmp - plain
    ) || fail "$1: a blob does not come back"
    ! grep -qF 'Room 1204' "$folder/blob" || fail "$1: the plaintext is in the blob"
}

# works FOLDER COMMAND... and refuses FOLDER WORDS COMMAND... : one call of the example
works()
{
    (cd "$1" && import_key keys.kms "${@:2}" >"$scratch/said" 2>&1) ||
        { fail "import_key ${*:2}"; cat "$scratch/said"; }
}
refuses()
{
    (cd "$1" && import_key keys.kms "${@:3}" >"$scratch/said" 2>&1) && fail "import_key ${*:3} succeeded"
    grep -q -- "$2" "$scratch/said" || { fail "import_key ${*:3} did not say $2:"; cat "$scratch/said"; }
}

# Material goes, and comes back by the same token; other material is another version.
afterwards()
{
    local folder=$scratch/$1 wrapping=$1 key
    key=$(<"$folder/key-id")
    works "$folder" forget "$key"
    refuses "$folder" '^KMS_ERR_PENDING_IMPORT: .*deleted' decrypt <"$folder/blob"
    refuses "$folder" '^KMS_ERR_INVALID_IMPORT: ' import "$key" "$wrapping" token.bin token.bin
    works "$folder" import "$key" "$wrapping" token.bin wrapped.bin 30
    (cd "$folder" && import_key keys.kms decrypt <blob | cmp - plain) || fail "$1: not after it came back"
    refuses "$folder" '^KMS_ERR_ALREADY_EXISTS: ' new-version "$key" "$wrapping" token.bin wrapped.bin
}

box=$(script 'With a sealed box')
rsa=$(script 'With RSA')
# shellcheck disable=SC2016 # so it stands on the page
[[ $box == *'python3 wrap.py'*'import "$(cat key-id)" sealed-box'* ]] || fail 'no recipe for sealed boxes on the page'
# shellcheck disable=SC2016 # so it stands on the page
[[ $rsa == *'openssl pkeyutl -encrypt'*'import "$(cat rsa-key-id)" rsa-4096'* ]] || fail 'no recipe for RSA on the page'

recipe sealed-box "$box" && afterwards sealed-box
# Another size of material is refused on the spot.
(cd "$scratch/sealed-box" && head -c 31 /dev/urandom >material.bin && python3 wrap.py >"$scratch/said" 2>&1) &&
    fail 'wrap.py wraps 31 bytes'
grep -q 'has 32 bytes, not 31' "$scratch/said" || { fail 'wrap.py says of 31 bytes:'; cat "$scratch/said"; }

(cd "$scratch" && import_key probe.kms parameters "$(<probe)" rsa-2048 p t) >"$scratch/said" 2>&1
if grep -q '^KMS_ERR_UNSUPPORTED: .*no libcrypto' "$scratch/said"; then
    echo 'SKIP: wrapping material with RSA: this build has no libcrypto'
else
    for size in 2048 3072 4096; do
        recipe "rsa-$size" "${rsa//rsa-4096/rsa-$size}"
    done
fi

# Whoever does not know how to call it is told.
for arguments in '' 'keys.kms' 'keys.kms nonsense' 'keys.kms import x' 'keys.kms create x'; do
    # shellcheck disable=SC2086 # words
    (cd "$scratch" && import_key $arguments >said 2>&1)
    [[ $? -eq 2 ]] || fail "import_key $arguments"
    grep -q '^usage: ' "$scratch/said" || fail "import_key $arguments says nothing"
done
[[ ! -e $scratch/keys.kms ]] || fail 'import_key made a store for nothing'
exit $((failures > 0))
