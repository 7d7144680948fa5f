#!/bin/bash
# A warm call takes as many instructions in libkms.so as bench/instructions.txt says, within 3%: so a
# slow-down of a few nanoseconds fails, which a timing would not show. Where one is meant, or where a
# call got faster, `make instructions` writes the file anew.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

kept=bench/instructions.txt
build=${KMS_BUILD:-build}
skip()
{
    echo "SKIP: instructions of the hot path: $*"
    exit 77
}

[[ -x $build/bench/hot_calls ]] || skip 'they need a build with LMDB and libcrypto'
command -v "${VALGRIND:-valgrind}" >/dev/null || skip 'no valgrind here'
flags=" $(<"$build/flags") "
if [[ $flags != *' -O2 '* || $flags =~ ' -fsanitize='|' -m'|' -flto' ]]; then
    skip 'the build has other flags than -O2'
fi

found=$(scripts/count-instructions) || { echo 'FAIL: scripts/count-instructions'; exit 1; }
for what in compiler processor; do
    was=$(grep "^$what " "$kept") is=$(grep "^$what " <<<"$found")
    [[ $was == "$is" ]] || skip "$kept was written with $was, this is $is"
done

echo "$found" | awk '
    /^#/ || /^(compiler|processor) / { next }
    FNR == NR { kept[$1] = $2; next }
    !($1 in kept) { printf "FAIL: %s is not in the kept file\n", $1; failures++; next }
    {
        change = $2 / kept[$1] - 1
        failed = change > 0.03 || change < -0.03
        printf "%s%-26s %7.1f, kept %7.1f, %+.1f%%\n", failed ? "FAIL: " : "", $1, $2, kept[$1], change * 100
        failures += failed
        delete kept[$1]
    }
    END {
        for (call in kept) {
            printf "FAIL: %s was not counted\n", call
            failures++
        }
        if (failures)
            print "If that is meant: make instructions"
        exit failures > 0
    }' "$kept" -
