#!/bin/bash
# An independent decoder, written from docs/blob-format.md, docs/stream-format.md and
# docs/store-format.md alone, opens the blobs, streams and stores of every release and those that this
# build makes now, refuses altered ones, and finds the pages' test vectors to be true.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1

make_fixtures=${KMS_BUILD:-build}/tests/make_fixtures
make_derived=${KMS_BUILD:-build}/tests/make_derived
make_streams=${KMS_BUILD:-build}/tests/make_streams
fixtures=tests/fixtures
fresh_blobs=150
fresh_values=10
fresh_streams=12
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0
fail()
{
    echo "FAIL: $*"
    failures=$((failures + 1))
}

# The first python that has these modules.
python_with()
{
    local python
    for python in "${PYTHON:-python3}" /usr/bin/python3; do
        "$python" -c "import ${1// /, }" >/dev/null 2>&1 && echo "$python" && return
    done
    return 1
}

check()
{
    "$python" tests/decoder/check.py "$@" || fail "$*"
}

blobs()
{
    check page docs/blob-format.md "$fixtures/blobs-0.1.txt"
    check blobs "$fixtures/blobs-0.1.txt"
    "$make_fixtures" vectors >"$scratch/vectors.txt"
    case $? in
    # All but the first line, which names the release.
    0) cmp <(tail -n +2 "$scratch/vectors.txt") <(tail -n +2 "$fixtures/blobs-0.1.txt") ||
        fail 'this build makes other blobs of the same material and nonces' ;;
    77) echo 'SKIP: making the fixtures anew: this build of libkms has no AES-256-GCM' ;;
    *) fail 'no vectors' ;;
    esac
    "$make_fixtures" fresh "$fresh_blobs" >"$scratch/fresh.txt" || fail 'no fresh blobs'
    check blobs "$scratch/fresh.txt"
}

# Deterministic blobs, and what else follows from a key.
values()
{
    check values "$fixtures/derived-0.2.txt"
    check page docs/blob-format.md "$fixtures/derived-0.2.txt" 2
    "$make_derived" vectors >"$scratch/derived.txt"
    case $? in
    0) cmp <(tail -n +2 "$scratch/derived.txt") <(tail -n +2 "$fixtures/derived-0.2.txt") ||
        fail 'this build makes other deterministic blobs and values of the same material' ;;
    77) echo 'SKIP: making deterministic blobs anew: this build of libkms has no AES-256-GCM' ;;
    *) fail 'no deterministic vectors' ;;
    esac
    "$make_derived" fresh "$fresh_values" >"$scratch/fresh_derived.txt" || fail 'no fresh values'
    check values "$scratch/fresh_derived.txt"
}

# The decoder also makes the vectors' streams from what the page says, and compares.
streams()
{
    check page docs/stream-format.md "$fixtures/streams-0.2.txt"
    check streams "$fixtures/streams-0.2.txt"
    check made "$fixtures/stream-0.2.txt" "$fixtures"
    cp "$fixtures/store-0.2.kms" "$scratch/keys.kms"
    "$make_streams" vectors "$scratch/keys.kms" >"$scratch/streams.txt"
    case $? in
    0) cmp <(tail -n +2 "$scratch/streams.txt") <(tail -n +2 "$fixtures/streams-0.2.txt") ||
        fail 'this build makes other streams of the same keys, nonces and salts' ;;
    77) echo 'SKIP: making streams anew: this build of libkms has no AES-256-GCM or no LMDB' ;;
    *) fail 'no vectors of streams' ;;
    esac
    mkdir "$scratch/streams"
    "$make_streams" fresh "$fresh_streams" "$scratch/streams" >"$scratch/fresh_streams.txt" ||
        fail 'no fresh streams'
    check made "$scratch/fresh_streams.txt" "$scratch/streams"
}

# fresh_store raw|passphrase COMMAND
fresh_store()
{
    "$make_fixtures" "$2" "$scratch/$1.kms" >"$scratch/$1.txt"
    case $? in
    0) check store "$scratch/$1.kms" "$scratch/$1.txt" ;;
    77) echo "SKIP: fresh store ($1): this build of libkms has no LMDB" ;;
    *) fail "no fresh store ($1)" ;;
    esac
}

stores()
{
    python=$(python_with 'cryptography lmdb') || {
        echo 'SKIP: stores in the independent decoder: no python3-lmdb here'
        return
    }
    check store-page docs/store-format.md "$fixtures/store-0.2.kms" "$fixtures/store-0.2.txt"
    check store "$fixtures/store-0.1.kms" "$fixtures/store-0.1.txt"
    check store "$fixtures/store-0.2.kms" "$fixtures/store-0.2.txt"
    fresh_store raw store
    fresh_store life life
    python=$(python_with 'cryptography lmdb argon2') || {
        echo 'SKIP: passphrases in the independent decoder: no python3-argon2 here'
        return
    }
    check store "$fixtures/passphrase-0.1.kms" "$fixtures/passphrase-0.1.txt"
    fresh_store passphrase passphrase
}

python=$(python_with cryptography) || {
    echo 'SKIP: the independent decoder: no python3-cryptography here'
    exit 77
}
blobs
values
streams
if [[ $(uname -m) == x86_64 || $(uname -m) == aarch64 ]]; then
    stores
else
    echo "SKIP: stores in the independent decoder: LMDB's files are of another machine here"
fi
exit $((failures > 0))
