#!/bin/bash
# The benchmark runs, for a few seconds, and its JSON holds a row for everything that it promises to
# measure. No time and no ratio is judged: that is for who reads it.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

bench=${KMS_BUILD:-build}/bench/bench
if [[ ! -x $bench ]]; then
    echo 'SKIP: the benchmark: it needs a build with LMDB and libcrypto'
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Without durability, if that can be had: thousands of commits follow.
mkdir "$scratch/disk"
fast=$(mktemp -d -p /dev/shm 2>/dev/null) || fast=$(mktemp -d -p "$scratch")
trap 'rm -rf "$scratch" "$fast"' EXIT

"$bench" --quick --rounds=3 --fast="$fast" --disk="$scratch/disk" \
    --json="$scratch/bench.json" >"$scratch/table" 2>"$scratch/errors" ||
    { echo "FAIL: bench: status $?"; cat "$scratch/errors"; exit 1; }
if [[ $(ls "$fast" "$scratch/disk") != "$fast:"$'\n\n'"$scratch/disk:" ]]; then
    echo 'FAIL: the benchmark left its stores behind'
    exit 1
fi

"${PYTHON:-python3}" - "$scratch/bench.json" "$scratch/table" <<'PYTHON'
import json, sys

with open(sys.argv[1]) as file:
    found = json.load(file)
with open(sys.argv[2]) as file:
    table = file.read()
failures = 0

def check(holds, what):
    global failures
    if not holds:
        print("FAIL:", what)
        failures += 1

rows = {(g["section"], g["suite"], g["bytes"], r["name"]): r
        for g in found["groups"] for r in g["rows"]}
for suite in 1, 2:
    for size in 64, 1024, 16384:
        for name in "kms_encrypt() by alias", "kms_encrypt() by key id", "kms_decrypt()":
            check(("hot", suite, size, name) in rows, f"no row {name}, suite {suite}, {size} B")
    for size in 65536, 1048576:
        check(("big", suite, size, "kms_encrypt()") in rows, f"no row of {size} B, suite {suite}")
    check(("streams", suite, 65536, "kms_stream_push(), sealing") in rows, f"no streams, suite {suite}")
    check(("threads", suite, 64, "kms_encrypt(), 2 threads") in rows, f"no threads, suite {suite}")
for (section, _, _, name), row in rows.items():
    check(0 < row["least_ns"] <= row["median_ns"], f"times of {section}: {name}")
    check(name in table, f"{section}: {name} is not in the table")
for section in "hot", "writers", "calls", "big", "streams", "threads", "rotating", "admin", "scaling":
    check(any(key[0] == section for key in rows), f"no row of {section}")
for ratio in found["ratios"]:
    check(0 < ratio["quarter"] <= ratio["median"] <= ratio["three_quarters"], f"{ratio}")
check(len(found["goals"]) > 20, "hardly any goals")
for goal in found["goals"]:
    check(goal["goal"] in table, f"goal {goal['goal']} is not in the table")
    low = goal["measured"] <= goal["limit"]
    check(goal["met"] == (low if goal["bound"] == "at most" else goal["measured"] >= goal["limit"]),
          f"the mark of {goal}")
check(all(found["machine"][name] for name in ("cpu", "kernel", "libsodium", "libcrypto", "lmdb")),
      "what machine it was")
sys.exit(failures > 0)
PYTHON
