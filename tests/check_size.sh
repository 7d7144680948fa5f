#!/bin/bash
# The size budget: files of at most 600 lines; functions with a median of at most 12 lines and a
# 90th percentile of at most 40, counted between their braces.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
shopt -s nullglob

sources=(lib/*/*.c backends/*/*.c)
failures=0
for file in "${sources[@]}" lib/*/*.h backends/*/*.h include/kms/*.h tests/*.c tests/*/*.[ch] examples/*/*.[ch] bench/*.[ch] bench/*/*.[ch]; do
    lines=$(wc -l <"$file")
    if ((lines > 600)); then
        echo "FAIL: $file has $lines lines"
        failures=$((failures + 1))
    fi
done

# clang-format puts the braces of functions, and of nothing else that ends so, into column one.
lengths=$(awk '
    FNR == 1 { start = 0 }
    /^{$/ { start = FNR }
    /^}$/ && start { printf "%d %s:%d\n", FNR - start - 1, FILENAME, start; start = 0 }
' "${sources[@]}" | sort -n)
count=$(wc -l <<<"$lengths")
at()
{
    sed -n "$(((count * $1 + 99) / 100))p" <<<"$lengths" | cut -d ' ' -f 1
}
median=$(at 50)
ninetieth=$(at 90)
echo "$count functions: median $median lines, 90th percentile $ninetieth; the longest:"
tail -n 5 <<<"$lengths"
if ((count < 10 || median > 12 || ninetieth > 40)); then
    echo 'FAIL: functions are over the budget'
    failures=$((failures + 1))
fi
exit $((failures > 0))
