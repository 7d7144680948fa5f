#!/bin/bash
# The benchmark of peers runs, for a few seconds, with those peers that are here, stops the server that it
# started, and its JSON holds a row and its ratios for everything that it promises to measure. What is
# not here is left out with a sentence. No time and no ratio is judged.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

bench=${KMS_BUILD:-build}/bench/bench-peers
if [[ ! -x $bench ]]; then
    echo 'SKIP: the benchmark of peers: it needs a build with LMDB and libcrypto'
    exit 77
fi
scratch=$(mktemp -d)
fast=$(mktemp -d -p /dev/shm 2>/dev/null) || fast=$(mktemp -d -p "$scratch")
trap 'rm -rf "$scratch" "$fast"' EXIT
# As root, PostgreSQL runs as another user, who must get there.
chmod 711 "$fast"

# A server that is still there has the folder in its arguments.
left_behind()
{
    local file
    for file in /proc/[0-9]*/cmdline; do
        [[ $(tr '\0' ' ' 2>/dev/null <"$file") != *"$fast"* ]] || return 0
    done 2>/dev/null
    [[ -n $(ls "$fast") ]]
}

"$bench" --quick --rounds=3 --fast="$fast" --json="$scratch/peers.json" >"$scratch/table" 2>"$scratch/errors" ||
    { echo "FAIL: bench-peers: status $?"; cat "$scratch/errors"; exit 1; }
if left_behind; then
    echo 'FAIL: the benchmark of peers left something behind'
    exit 1
fi

"${PYTHON:-python3}" - "$scratch/peers.json" "$scratch/table" "$scratch/errors" <<'PYTHON' || exit 1
import json, sys

with open(sys.argv[1]) as file:
    found = json.load(file)
with open(sys.argv[2]) as file:
    table = file.read()
with open(sys.argv[3]) as file:
    errors = file.read()
failures = 0

def check(holds, what):
    global failures
    if not holds:
        print("FAIL:", what)
        failures += 1

# How the rows of each peer begin, and how many of them each direction has.
PEERS = {"openssl": ("OpenSSL EVP", 4, 3), "softhsm2": ("SoftHSM2", 2, 2),
         "libmongocrypt": ("libmongocrypt", 1, 1), "pgcrypto": ("pgcrypto", 3, 3)}
there = []
for name in PEERS:
    note = found["machine"].get(name, "")
    if note.startswith("left out: "):
        print(f"SKIP: {name}: {note}")
        check(name != "openssl" and "see what it said" not in note, f"{note}\n{errors}")
    else:
        there.append(name)

rows = {(g["section"], g["title"].split(",")[0], g["bytes"], r["name"]): r
        for g in found["groups"] for r in g["rows"]}
for size in 64, 16384:
    for way, index in ("encrypt", 1), ("decrypt", 2):
        names = [name for section, verb, bytes, name in rows
                 if (section, verb, bytes) == ("peers", way, size)]
        check(sum(name.startswith("libkms, suite") for name in names) == 2, f"both suites, {way}, {size} B")
        for peer in there:
            begin = PEERS[peer][0]
            count = sum(name.startswith(begin) for name in names)
            check(count == PEERS[peer][index], f"{count} rows of {peer}, {way}, {size} B")
        if "pgcrypto" in there:
            check(any(key[:3] == ("statements", way, size) for key in rows), f"statements, {way}, {size} B")
ratios = {(r["section"], r["title"].split(",")[0], r["bytes"], r["row"], r["suite"]) for r in found["ratios"]}
for (section, verb, size, name), row in rows.items():
    check(0 < row["least_ns"] <= row["median_ns"], f"times of {section}, {verb}: {name}")
    check(name in table, f"{name} is not in the table")
    if not name.startswith("libkms"):
        check(all((section, verb, size, name, suite) in ratios for suite in (1, 2)), f"ratios of {name}")
for ratio in found["ratios"]:
    check(ratio["to"].startswith("libkms, suite %d" % ratio["suite"]), f"{ratio}")
    check(0 < ratio["quarter"] <= ratio["median"] <= ratio["three_quarters"], f"{ratio}")
sys.exit(failures > 0)
PYTHON

# A peer that was not asked for has no row.
"$bench" --quick --rounds=1 --only=openssl --fast="$fast" >"$scratch/one" 2>"$scratch/errors" ||
    { echo "FAIL: bench-peers --only=openssl: status $?"; cat "$scratch/errors"; exit 1; }
if ! grep -q 'OpenSSL EVP' "$scratch/one" || grep -qE 'SoftHSM2|libmongocrypt|pgcrypto' "$scratch/one"; then
    echo 'FAIL: --only=openssl measures something else'
    cat "$scratch/one"
    exit 1
fi
