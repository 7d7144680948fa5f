#!/bin/bash
# What the libraries export is what the public headers declare, both ways, under names that no
# other library of the same process has; and the shared library is compiled and linked as hardening
# wants it.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C

build=${KMS_BUILD:-build}
shared=$build/libkms.so
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0
fail()
{
    echo "FAIL: $*"
    failures=$((failures + 1))
}

# same A B WHAT: A holds the names that should be, B those that are
same()
{
    diff "$1" "$2" >"$scratch/diff" && return
    fail "$3 ('<': declared in include/kms only, '>': there only)"
    grep '^[<>]' "$scratch/diff"
}

defined_in_static()
{
    nm --extern-only --defined-only "$1" | awk 'NF == 3 { print $3 }' | sort -u
}

scripts/public-symbols >"$scratch/declared"
[[ -s $scratch/declared ]] || fail 'no public function found in include/kms'

nm --dynamic --defined-only "$shared" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
    sort -u >"$scratch/exported"
same "$scratch/declared" "$scratch/exported" 'exports of libkms.so'

scripts/public-symbols --map | diff lib/libkms.map - ||
    fail 'lib/libkms.map is not what the headers say: run "make symbols"'

defined_in_static "$build/libkms.a" >"$scratch/static"
grep -v '^kms_' "$scratch/static" && fail 'names in libkms.a that do not begin with kms_'
grep -v '^kms__' "$scratch/static" >"$scratch/public"
same "$scratch/declared" "$scratch/public" \
    'names in libkms.a without the second underscore of internal ones'

scripts/public-symbols --conformance >"$scratch/conformance"
defined_in_static "$build/libkms-conformance.a" >"$scratch/static"
grep -v '^kms_' "$scratch/static" && fail 'names in libkms-conformance.a that do not begin with kms_'
grep -v '^kms__' "$scratch/static" >"$scratch/public"
same "$scratch/conformance" "$scratch/public" 'public names in libkms-conformance.a'
nm --undefined-only "$build/libkms-conformance.a" | awk '$1 == "U" && $2 ~ /^kms_/ { print $2 }' |
    sort -u | comm -23 - <(sort "$scratch/static" "$scratch/declared") | grep . &&
    fail 'libkms-conformance.a needs internal functions, so nobody else can link it'

# libdrm's retired libkms and libmongocrypt's kms-message live in the same processes.
grep -E '^kms_(create|destroy|get_prop|bo_.*|request_.*|response_.*|message_.*|kmip_.*|b64_.*)$' \
    "$scratch/declared" && fail 'names that other libraries export'

dynamic=$(readelf --dynamic --wide "$shared")
segments=$(readelf --program-headers --wide "$shared")
grep -q 'SONAME.*\[libkms\.so\.0\]' <<<"$dynamic" || fail 'the soname is not libkms.so.0'
grep -q 'FLAGS_1.*NOW' <<<"$dynamic" || fail 'not linked with -z now'
grep -q 'FLAGS_1.*NODELETE' <<<"$dynamic" || fail 'not linked with -z nodelete'
grep -q 'GNU_RELRO' <<<"$segments" || fail 'not linked with -z relro'
grep -q 'TEXTREL' <<<"$dynamic" && fail 'has text relocations'
grep -qE 'GNU_STACK.*RWE' <<<"$segments" && fail 'wants an executable stack'

# The compiler's hardening shows in what the library calls. Sanitizers do without glibc's checks.
nm --dynamic --undefined-only "$shared" | awk '{ sub(/@.*/, "", $2); print $2 }' >"$scratch/undefined"
if grep -qE '^__(asan|ubsan|tsan|msan)_' "$scratch/undefined"; then
    echo 'SKIP: fortified calls: this build is for a sanitizer'
elif ! grep -qE -- ' -O([1-3s]|fast)' "$build/flags"; then
    echo 'SKIP: fortified calls: this build is not optimised'
else
    grep -qx '__stack_chk_fail' "$scratch/undefined" || fail 'not compiled with -fstack-protector-strong'
    grep -qxE '__[a-z]+_chk' "$scratch/undefined" || fail 'not compiled with -D_FORTIFY_SOURCE'
fi

for program in "$build"/examples/*; do
    [[ -f $program && -x $program ]] || continue
    grep -q 'Type: *DYN' <<<"$(readelf --file-header "$program")" || fail "$program is not a PIE"
done

echo "$(wc -l <"$scratch/declared") public functions"
exit $((failures > 0))
