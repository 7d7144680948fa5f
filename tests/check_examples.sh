#!/bin/bash
# Runs the examples on small sizes, as their reader would, and looks at what they did: not only at
# what they say.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

examples=$(cd "${KMS_BUILD:-build}/examples" && pwd) || exit 1
python=${PYTHON:-python3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0
fail()
{
    echo "FAIL: $*"
    failures=$((failures + 1))
}

uuid='[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'

# in_file REGEX FILE : a line of the file is this, from its beginning to its end
in_file()
{
    grep -qxE -- "$1" "$2" || { fail "no line of $(basename "$2") is '$1'"; cat "$2"; }
}

# absent TEXT FILE... : no file has the text among its bytes
absent()
{
    local text=$1
    shift
    ! grep -qaF -- "$text" "$@" || fail "'$text' can be read in one of $*"
}

listed_in_the_readme()
{
    local folder
    for folder in examples/*/; do
        grep -q "^| \[$(basename "$folder")\]" examples/README.md ||
            fail "examples/README.md has no line for $folder"
    done
    awk '/^```c$/ && !seen { seen = 1; inside = 1; next } /^```$/ { inside = 0 } inside' README.md |
        diff - examples/twenty_lines/main.c ||
        fail "the first program in README.md is not examples/twenty_lines/main.c"
}

# The second run meets the store of the first, and the key that its alias was moved to.
twenty_lines()
{
    local folder=$scratch/twenty_lines
    local line="1 Main Street: encrypted under ($uuid), new data under ($uuid)"
    local first second
    mkdir "$folder"
    first=$(cd "$folder" && "$examples/twenty_lines" 2>&1)
    if [[ $first == *'no LMDB engine'* ]]; then
        echo "SKIP: the examples keep their stores in LMDB, which this build has not"
        exit 77
    fi
    second=$(cd "$folder" && "$examples/twenty_lines" 2>&1)
    local old new
    [[ $first =~ ^$line$ ]] || fail "twenty_lines said: $first"
    old=${BASH_REMATCH[1]-} new=${BASH_REMATCH[2]-none}
    [[ $second =~ ^$line$ ]] || fail "twenty_lines said the second time: $second"
    [[ $old != "$new" ]] || fail 'twenty_lines did not rotate'
    [[ ${BASH_REMATCH[1]-} == "$new" ]] || fail 'the second run of twenty_lines met another key'
    absent 'Main Street' "$folder"/*
}

manual_rotation()
{
    local folder=$scratch/manual_rotation out i key
    local -a a b
    mkdir "$folder"
    out=$scratch/manual_rotation.out
    PASSPHRASE='a passphrase of the test' "$examples/manual_rotation" "$folder/app.kms" >"$out" 2>&1 ||
        { fail 'manual_rotation failed'; cat "$out"; return; }
    # A key that was drawn, an imported one, and a service's.
    mapfile -t a < <(sed -nE "s/^1\. .*CMK-A: ($uuid)$/\1/p" "$out")
    mapfile -t b < <(sed -nE "s/^1\. .*CMK-B: ($uuid)$/\1/p" "$out")
    [[ $(printf '%s\n' "${a[@]}" "${b[@]}" | sort -u | wc -l) -eq 6 && ${#a[@]} -eq 3 ]] ||
        fail "manual_rotation made the keys '${a[*]}' and '${b[*]}'"
    diff <(grep -E '^(A|An) .*key' "$out") - <<<$'A key that libkms drew\nAn imported key\nA service\'s key' ||
        fail 'manual_rotation did not take a key of each origin'
    # Before the rotation all five are of A; after it the old ones still are, the new ones of B.
    diff <(sed -nE "s/^ +([a-z_]+) +opened with key ($uuid), version 1$/\1 \2/p" "$out") \
        <(for i in 0 1 2; do
            for key in "${a[i]}" "${a[i]}" "${b[i]}"; do
                printf "%s $key\n" id_card credit_card home_address object tls_profile
            done
        done) || fail 'manual_rotation opened something with another key'
    diff <(sed -nE "s/^   encrypted with key ($uuid), version 1$/\1/p" "$out") \
        <(for i in 0 1 2; do printf '%s\n' "${a[i]}" "${b[i]}"; done) ||
        fail 'manual_rotation encrypted with another key'
    absent 'a passphrase of the test' "$folder"/*
    absent '11010519491231002X' "$folder"/*

    # What is there already is left alone.
    local before after
    before=$(sha256sum "$folder/app.kms")
    PASSPHRASE=x "$examples/manual_rotation" "$folder/app.kms" >"$out" 2>&1 &&
        fail 'manual_rotation took a store that was there'
    grep -q '^KMS_ERR_ALREADY_EXISTS: ' "$out" || { fail 'it said:'; cat "$out"; }
    after=$(sha256sum "$folder/app.kms")
    [[ $before == "$after" ]] || fail 'manual_rotation changed a store that was there'
    env -u PASSPHRASE "$examples/manual_rotation" "$folder/none.kms" >/dev/null 2>&1
    [[ $? -eq 2 && ! -e $folder/none.kms ]] || fail 'manual_rotation ran without a passphrase'
}

# The database as another program sees it.
examine_people='
import base64, sqlite3, sys
rows = list(sqlite3.connect(sys.argv[1]).execute("SELECT id_number, name, name_token FROM people"))
assert len(rows) == 6, len(rows)

def blob(text):
    assert text.startswith("kms1."), text
    return base64.urlsafe_b64decode(text[5:] + "=" * (-len(text[5:]) % 4))

numbers, names = [blob(row[0]) for row in rows], [blob(row[1]) for row in rows]
assert {b[5] for b in numbers} == {4} and {b[5] for b in names} == {1}, "kinds"
assert len({b[6:58] for b in numbers}) == 1, "numbers under more than one key"
assert len(set(numbers)) == 6 and len({b[58:82] for b in names}) == 6, "nonces"
tokens = [row[2] for row in rows]
assert all(len(t) == 2 for t in tokens) and sorted(map(tokens.count, tokens))[-1] >= 3, tokens
'

searchable_column()
{
    local folder=$scratch/searchable_column out=$scratch/searchable_column.out
    mkdir "$folder"
    PASSPHRASE='a passphrase of the test' "$examples/searchable_column" "$folder/people.db" \
        "$folder/keys.kms" >"$out" 2>&1 || { fail 'searchable_column failed'; cat "$out"; return; }
    [[ $(grep -cE '^   a second row of the same number: UNIQUE constraint failed' "$out") -eq 2 ]] ||
        { fail 'a number was taken twice'; cat "$out"; }
    in_file '   rows named Zhang Wei, old tokens and new +3' "$out"
    in_file '   rows named Zhang Wei, new tokens +3' "$out"
    "$python" -c "$examine_people" "$folder/people.db" || fail 'the table is not what it should be'
    absent 'Zhang Wei' "$folder"/*
    absent '11010519491231002X' "$folder"/*
}

# Year by year another version encrypts, and everything since the first year opens.
automatic_rotation()
{
    local folder=$scratch/automatic_rotation out=$scratch/automatic_rotation.out year
    mkdir "$folder"
    PASSPHRASE='a passphrase of the test' "$examples/automatic_rotation" "$folder/app.kms" >"$out" 2>&1 ||
        { fail 'automatic_rotation failed'; cat "$out"; return; }
    in_file "alias/MyAppKey is key $uuid, which rotates every 365 days" "$out"
    diff <(sed -n '2,11p' "$out") \
        <(for ((year = 0; year < 10; year++)); do
            printf '%s: version %d encrypts, until %s; %d records open, of %d versions\n' \
                "$(date -u -d "2026-01-01 + $((365 * year)) days" +%F)" $((year + 1)) \
                "$(date -u -d "2026-01-01 + $((365 * year + 365)) days" +%F)" \
                $((12 * year + 12)) $((year + 1))
        done) || fail 'automatic_rotation did not rotate once a year'
    in_file '2040-11-23: after five years without use, version 11 encrypts' "$out"
    [[ $(wc -l <"$out") -eq 12 ]] || { fail 'automatic_rotation said more'; cat "$out"; }
    absent 'medical record' "$folder"/*
    PASSPHRASE=x "$examples/automatic_rotation" "$folder/app.kms" >"$out" 2>&1 &&
        fail 'automatic_rotation took a store that was there'
    grep -q '^KMS_ERR_ALREADY_EXISTS: ' "$out" || { fail 'it said:'; cat "$out"; }
}

# A rotation takes effect with the next object, and old ones stay readable.
object_store()
{
    local folder=$scratch/object_store
    mkdir -p "$folder/objects"
    printf 'a photo of the first year' >"$folder/one"
    printf 'a photo of the second year' >"$folder/two"
    objects()
    {
        PASSPHRASE='a passphrase of the test' "$examples/object_store" "$folder/kms" "$folder/objects" "$@"
    }
    objects put one "$folder/one" || fail 'object_store put'
    in_file "alias/ObjectStore: version 2 of key $uuid from the next object on" <(objects rotate)
    objects put two "$folder/two" || fail 'object_store put'
    objects list >"$scratch/list"
    in_file "one: version 1 of key $uuid" "$scratch/list"
    in_file "two: version 2 of key $uuid" "$scratch/list"
    for name in one two; do
        objects get $name "$folder/back" || fail 'object_store get'
        cmp -s "$folder/$name" "$folder/back" || fail "object_store did not give $name back"
    done
    absent 'a photo' "$folder/objects"/* "$folder"/kms*
    mv "$folder/objects/one" "$folder/objects/three"
    objects get three "$folder/back" 2>"$scratch/said" && fail 'object_store opened a renamed object'
    grep -q KMS_ERR_INVALID_CIPHERTEXT "$scratch/said" || { fail 'it said:'; cat "$scratch/said"; }
}

# A rotation has no effect on a volume; copying it to a new key has, however often that is killed.
volume()
{
    local folder=$scratch/volume kills=0 turn
    mkdir "$folder"
    volumes()
    {
        PASSPHRASE='a passphrase of the test' "$examples/volume" "$folder/kms" "$@"
    }
    volumes make "$folder/disk" alias/disk-2025 4000 || fail 'volume make'
    volumes write "$folder/disk" 7 'the seventh block' || fail 'volume write'
    volumes write "$folder/disk" 3999 'the last block' || fail 'volume write'
    volumes show "$folder/disk" >"$scratch/before"
    in_file "$folder/disk: 4000 blocks, under version 1 of key $uuid" "$scratch/before"
    for ((turn = 0; turn < 200; turn++)); do
        volumes copy "$folder/disk" alias/disk-2026 2>"$scratch/progress" &
        local copier=$!
        sleep "0.$(((turn * 37) % 10))$((turn % 10))"
        kill -9 $copier 2>/dev/null && kills=$((kills + 1))
        wait $copier 2>/dev/null && break
        in_file 'the seventh block' <(volumes read "$folder/disk" 7)
    done
    ((turn < 200 && kills > 0)) || fail "volume copy: $kills kills in $turn turns"
    in_file '4000 of 4000 blocks copied' "$scratch/progress"
    volumes show "$folder/disk" >"$scratch/after"
    in_file "$folder/disk: 4000 blocks, under version 1 of key $uuid" "$scratch/after"
    cmp -s "$scratch/before" "$scratch/after" && fail 'the copied volume is under the old key'
    in_file 'the seventh block' <(volumes read "$folder/disk" 7)
    in_file 'the last block' <(volumes read "$folder/disk" 3999)
    absent 'seventh block' "$folder"/*
    [[ ! -e $folder/disk-copy ]] || fail 'the copy stayed behind'
}

# Files of several chunks: whole, piped, a range, and rewrapped after a rotation, header only.
encrypted_file()
{
    local folder=$scratch/encrypted_file size=5000000
    mkdir "$folder"
    files()
    {
        (cd "$folder" && PASSPHRASE='a passphrase of the test' "$examples/encrypted_file" kms "$@")
    }
    yes 'a line of the report' | head -c "$size" >"$folder/report"
    chmod 640 "$folder/report"
    files encrypt alias/uploads report report.kms || fail 'encrypted_file encrypt'
    absent 'line of the report' "$folder/report.kms"
    [[ $(stat -c %a "$folder/report.kms") == 640 ]] || fail 'the permissions are others'
    files seal alias/uploads <"$folder/report" >"$folder/piped.kms" || fail 'encrypted_file seal'
    files unseal <"$folder/piped.kms" | cmp -s - "$folder/report" || fail 'encrypted_file unseal'
    files rewrap alias/uplaods report.kms 2>"$scratch/said" && fail 'rewrapped under a misspelt alias'
    grep -q KMS_ERR_ALIAS_NOT_FOUND "$scratch/said" || { fail 'it said:'; cat "$scratch/said"; }
    cp "$folder/report.kms" "$folder/before.kms"
    files rotate alias/uploads >/dev/null || fail 'encrypted_file rotate'
    files rewrap alias/uploads report.kms piped.kms >"$scratch/first" || fail 'encrypted_file rewrap'
    files rewrap alias/uploads report.kms piped.kms >"$scratch/second" || fail 'rewrap again'
    in_file 'report.kms: rewrapped' "$scratch/first"
    in_file 'piped.kms: up to date' "$scratch/second"
    in_file "report.kms: under version 2 of key $uuid" <(files show report.kms)
    cmp -s -i 8192 "$folder/before.kms" "$folder/report.kms" || fail 'rewrap changed the data'
    local name
    for name in report piped before; do
        files decrypt "$name.kms" "$name.again" || fail "encrypted_file decrypt $name.kms"
        cmp -s "$folder/report" "$folder/$name.again" || fail "$name.kms is something else"
    done
    cmp -s <(tail -c +4000001 "$folder/report" | head -c 70000) <(files range report.kms 4000000 70000) ||
        fail 'encrypted_file range'
    truncate -s -1 "$folder/report.kms"
    files decrypt report.kms report.again 2>"$scratch/said" && fail 'a file that was cut was decrypted'
    grep -q KMS_ERR_INVALID_CIPHERTEXT "$scratch/said" || { fail 'it said:'; cat "$scratch/said"; }
    cmp -s "$folder/report" "$folder/report.again" || fail 'the file from before is gone'
}

# quickstart ARGUMENT... : a run that must succeed; what it said is then in quickstart.out
quickstart()
{
    "$examples/quickstart" "$@" >"$scratch/quickstart.out" 2>&1 ||
        { fail "quickstart $*"; cat "$scratch/quickstart.out"; }
}

# quickstart_refuses SENTENCE ARGUMENT... : a run that must fail, and say why
quickstart_refuses()
{
    local sentence=$1
    shift
    "$examples/quickstart" "$@" >"$scratch/refused.out" 2>&1 && fail "quickstart $* succeeded"
    grep -qF -- "$sentence" "$scratch/refused.out" ||
        { fail "quickstart $* did not say: $sentence"; cat "$scratch/refused.out"; }
}

# The database and the files as another program sees them: argument 1 is the folder, 2 what --print
# said, 3 and 4 the ids of CMK-A and CMK-B.
examine='
import os, sqlite3, sys
folder, printed, cmk_a, cmk_b = sys.argv[1:]
customers = [line.rstrip("\n").split("\t") for line in open(printed, encoding="utf-8")]
assert len(customers) == 400, len(customers)

def id_number_is_valid(number):     # GB 11643, ISO 7064 MOD 11-2
    values = [10 if character == "X" else int(character) for character in number]
    return len(values) == 18 and sum(v << (17 - i) for i, v in enumerate(values)) % 11 == 1

def card_number_is_valid(number):   # ISO/IEC 7812-1, Luhn
    values = [int(character) * (2 - i % 2) for i, character in enumerate(number)]
    return len(values) == 16 and sum(v // 10 + v % 10 for v in values) % 10 == 0

assert id_number_is_valid("11010519491231002X") and card_number_is_valid("4111111111111111")
for _, name, id_number, card_number, home_address in customers:
    assert id_number_is_valid(id_number) and card_number_is_valid(card_number), name
assert len({tuple(customer[2:]) for customer in customers}) == 400

files = {name: open(os.path.join(folder, name), "rb").read() for name in os.listdir(folder)}
assert {"customers.db", "customers.db-wal", "keys.kms", "keys.kms-lock"} <= set(files), list(files)
windows = {data[i:i + 8] for data in files.values() for i in range(len(data) - 7)}
fields = [field.encode() for customer in customers for field in customer[2:]]
assert not windows & {f[i:i + 8] for f in fields for i in range(len(f) - 7)}
assert windows >= {c[1].encode()[i:i + 8] for c in customers for i in range(len(c[1]) - 7)}

database = sqlite3.connect(os.path.join(folder, "customers.db"))
rows = list(database.execute("SELECT * FROM customers ORDER BY id"))
assert [(row[0], row[1]) for row in rows] == [(int(c[0]), c[1]) for c in customers]
blobs = [(blob, plain) for row, customer in zip(rows, customers)
         for blob, plain in zip(row[2:], customer[2:])]
header = b"KMS\x01\x01\x01" + bytes.fromhex(cmk_b.replace("-", "")) + b"\0\0\0\x01"
for blob, plain in blobs:
    assert blob.startswith(header) and len(blob) == len(plain) + 98, blob[:26]
assert len({blob[58:82] for blob, _ in blobs}) == 1200, "a nonce came twice"
assert bytes.fromhex(cmk_a.replace("-", "")) in files["keys.kms"], "CMK-A is gone"
'

quickstart_in_a_directory()
{
    local folder=$scratch/quickstart out=$scratch/quickstart.out a b
    "$examples/quickstart" --print 400 >"$scratch/printed"
    quickstart --records 200 --directory "$folder"
    a=$(sed -nE "s/^ +CMK-A is ($uuid), .*/\1/p" "$out")
    b=$(sed -nE "s/^ +CMK-B is ($uuid), .*/\1/p" "$out")
    in_file " +$a +1 +200  CMK-A" "$out"
    in_file " +$b +1 +200  CMK-B, alias/MyAppKey" "$out"
    in_file " +$b +1 +400  CMK-B, alias/MyAppKey" "$out"
    [[ $(grep -cE "^ +$a +1 " "$out") -eq 1 ]] || fail 'rows are under CMK-A in the end'
    [[ $(grep -cE '^ +encrypted and written +200 +[0-9.]+ s +[0-9,]+ rows/s$' "$out") -eq 2 ]] ||
        fail 'not twice 200 customers were written'
    [[ $(grep -cE '^ +read, decrypted and compared +400 +[0-9.]+ s +[0-9,]+ rows/s$' "$out") -eq 2 ]] ||
        fail 'not twice 400 customers were read'
    in_file ' +re-encrypted +200 +[0-9.]+ s +[0-9,]+ rows/s' "$out"
    in_file ' +every record of the store is authentic .*, after 4 changes' "$out"
    in_file ' +1,200 encrypted fields and the passphrase: 0 of [0-9],[0-9]{3} pieces found' "$out"
    absent 'two ferns' "$folder"/*
    "$python" -c "$examine" "$folder" "$scratch/printed" "$a" "$b" ||
        fail 'the database or the files are not what they should be'
}

# What differs from run to run has one form here: ids, ciphertext, times, and how full the files are.
same_in_every_run()
{
    sed -E "s/$uuid/ID/g; s/[0-9a-f]{52}\.\.\.[0-9a-f]{12}/HEX/; s/ +[0-9.]+ s\b/ TIME/
        s/ +[0-9,]+ rows\/s/ RATE/; s/[0-9,]+ bytes of/BYTES of/"
}

# The README shows some of the lines of a run of the usual size, in their order, and as they are.
quickstart_of_the_readme()
{
    local lost
    awk '/^```text$/ { inside = 1; next } /^```$/ && inside { exit } inside' README.md |
        same_in_every_run >"$scratch/readme.out"
    [[ $(wc -l <"$scratch/readme.out") -ge 20 ]] || fail 'README.md shows no output of quickstart'
    quickstart
    same_in_every_run <"$scratch/quickstart.out" >"$scratch/same.out"
    lost=$(diff "$scratch/readme.out" "$scratch/same.out" | grep '^<')
    [[ -z $lost ]] || fail $'README.md shows these lines, and quickstart does not print them there:\n'"$lost"
}

# On a terminal a line is written over and over while the work goes on; elsewhere nothing is.
quickstart_on_a_terminal()
{
    local terminal=$scratch/terminal.out carriage_return=$'\r'
    grep -q "$carriage_return" "$scratch/quickstart.out" && fail 'quickstart shows progress in a file'
    if ! command -v script >/dev/null; then
        echo 'SKIP: progress of quickstart on a terminal: no script(1) here (Debian: bsdutils)'
        return
    fi
    script --quiet --return --command "'$examples/quickstart' --records 10000" /dev/null \
        </dev/null >"$terminal" 2>&1 || { fail 'quickstart on a terminal'; cat "$terminal"; }
    grep -qE "$carriage_return   read, decrypted and compared +[0-9,]+ of 20,000" "$terminal" ||
        { fail 'quickstart shows no progress on a terminal'; cat "$terminal"; }
    grep -qE "$carriage_return"$'\033\\[K   read, decrypted and compared +20,000 +[0-9.]+ s' "$terminal" ||
        fail 'quickstart does not write over its progress'
}

# It runs again in its own directory, and in nobody else's.
quickstart_and_other_files()
{
    local folder=$scratch/quickstart other=$scratch/other
    quickstart --records 20 --directory "$folder"
    in_file ' +120 encrypted fields and the passphrase: 0 of [0-9]+ pieces found' \
        "$scratch/quickstart.out"

    # The search finds what is there: here in a file that somebody else put beside the others.
    sed -n 7p "$scratch/printed" | cut -f 5 >"$folder/somebody's"
    quickstart_refuses 'plaintext lies in the files' --records 20 --directory "$folder"
    grep -q Room "$folder/somebody's" || fail "quickstart removed somebody else's file"

    mkdir "$other"
    echo precious >"$other/customers.db"
    quickstart_refuses 'is not an empty directory' --records 20 --directory "$other"
    [[ $(ls "$other") == customers.db && $(<"$other/customers.db") == precious ]] ||
        fail "quickstart touched somebody else's directory"

    flock "$folder/made-by-libkms-quickstart" \
        "$examples/quickstart" --records 20 --directory "$folder" >"$scratch/refused.out" 2>&1 &&
        fail 'two runs went on in one directory'
    grep -qF 'another quickstart is at work' "$scratch/refused.out" || cat "$scratch/refused.out"
}

# Without --directory it leaves nothing behind, also when it is interrupted.
quickstart_in_a_temporary_directory()
{
    local temporary=$scratch/temporary pid
    mkdir "$temporary"
    TMPDIR=$temporary quickstart --records 20
    [[ -z $(ls "$temporary") ]] || fail "quickstart left $(ls "$temporary")"
    TMPDIR=$temporary quickstart --records 20 --keep
    [[ -s $(echo "$temporary"/*/customers.db) ]] || fail 'quickstart --keep kept nothing'
    rm -rf "${temporary:?}"/*

    TMPDIR=$temporary "$examples/quickstart" --records 1000000 >"$scratch/interrupted" 2>&1 &
    pid=$!
    for ((i = 0; i < 200; i++)); do
        [[ -s $(echo "$temporary"/*/customers.db-wal) ]] && break
        sleep 0.05
    done
    kill -TERM "$pid"
    wait "$pid" && fail 'an interrupted quickstart succeeded'
    grep -q '^quickstart: interrupted$' "$scratch/interrupted" ||
        { fail 'quickstart was not interrupted'; cat "$scratch/interrupted"; }
    [[ -z $(ls "$temporary") ]] || fail "an interrupted quickstart left $(ls "$temporary")"
}

listed_in_the_readme
twenty_lines
manual_rotation
searchable_column
automatic_rotation
object_store
volume
encrypted_file
quickstart_in_a_directory
quickstart_and_other_files
quickstart_in_a_temporary_directory
quickstart_of_the_readme
quickstart_on_a_terminal
exit $((failures > 0))
