#!/bin/bash
# examples/reencrypt_table on a database of examples/quickstart: whatever happens to it (killed at any
# moment, other writers, damaged rows), every value is in the end what it was, and an old version is
# disabled only when nothing needs it. What the table holds is read by another program, in Python.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

build=$(cd "${KMS_BUILD:-build}" && pwd) || exit 1
examples=$build/examples
python=${PYTHON:-python3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0
fail()
{
    echo "FAIL: $*"
    failures=$((failures + 1))
}

export PASSPHRASE='two ferns, a kettle and 40 pencils'
uuid='[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'
folder=$scratch/quickstart db=$scratch/quickstart/customers.db store=$scratch/quickstart/keys.kms
out=$scratch/out
columns=(id_number card_number home_address)

# table OPTION... : the example; what it says is then in out
table()
{
    "$examples/reencrypt_table" "$db" "$store" alias/MyAppKey "$@" >"$out" 2>&1
}

# answers STATUS OPTION... : a run with this exit status
answers()
{
    local wanted=$1 status
    shift
    table "$@"
    status=$?
    [[ $status -eq $wanted ]] || { fail "reencrypt_table $*: status $status, not $wanted"; cat "$out"; }
}

# The other program, with the store open all the time.
application_starts()
{
    mkfifo "$scratch/asked" "$scratch/answered"
    "$python" tests/support/application.py "$build/libkms.so" "$db" "$store" serve "$scratch/said" \
        <"$scratch/asked" >"$scratch/answered" &
    exec 3>"$scratch/asked" 4<"$scratch/answered"
}

# application COMMAND ARGUMENT... : prints what it said
application()
{
    local IFS=$'\t' status=1
    echo "$*" >&3
    read -r status <&4 || fail 'the application ended'
    cat "$scratch/said"
    return "$status"
}

# says REGEX : a line of out is this, from its beginning to its end
says()
{
    grep -qxE -- "$1" "$out" || { fail "no line is '$1'"; cat "$out"; }
}

# all_rows N STATE [KEY VERSION] : each column has one line, of N values
all_rows()
{
    local column
    for column in "${columns[@]}"; do
        says "customers\.$column +${3:-$uuid} +${4:-[0-9]+} +$1  $2"
    done
    [[ $(grep -c '^customers\.' "$out") -eq 3 ]] || { fail 'there are more lines'; cat "$out"; }
}

# unchanged WHEN : every value is what it was
unchanged()
{
    application dump >"$scratch/dumped" || fail "$1: values do not open"
    diff "$scratch/expected" "$scratch/dumped" >"$scratch/diff" ||
        { fail "$1: values are others"; head -n 10 "$scratch/diff"; }
}

rotate()
{
    answers 0 --rotate="$1"
    key=$(grep -oE "$uuid" "$out")
    version=$(grep -oE 'version [0-9]+' "$out" | cut -d' ' -f 2)
    version=${version:-1}
}

make_database()
{
    "$examples/quickstart" --records 200 --directory "$folder" >"$out" 2>&1 || {
        cat "$out"
        grep -q 'no LMDB engine' "$out" || exit 1
        echo 'SKIP: the example keeps its store in LMDB, which this build has not'
        exit 77
    }
    "$examples/quickstart" --print 400 >"$scratch/expected"
    application_starts
    second=$(sed -nE "s/^ +CMK-B is ($uuid), .*/\1/p" "$out")
    answers 0 --dry-run
    all_rows 400 current "$second" 1
}

dry_run()
{
    local before
    application keep "$scratch/of_version_1"
    rotate version
    [[ $key == "$second" && $version -eq 2 ]] || fail "the rotation made version $version of $key"
    before=$(sha256sum "$folder"/customers.db* "$store")
    answers 2 --dry-run
    all_rows 400 stale "$second" 1
    says '1200 values are stale, and 0 cannot be read'
    sha256sum --quiet --check <<<"$before" || fail 'a dry run changed a file'
    answers 2 --retire --unused-for=0
    says 'so nothing is retired'
    [[ $(application try "$scratch/of_version_1") == KMS_OK ]] || fail 'retired what is in use'
}

# Killed again and again, and run again.
kills()
{
    application kill "$scratch/expected" 15 "$second" "$examples/reencrypt_table" --batch=10 "$db" "$store" \
        alias/MyAppKey >"$out" || fail 'a killed run did harm'
    cat "$out"
    answers 0
    grep -q '^nothing is left under an old key$' "$out" || { fail 'something is left'; cat "$out"; }
    unchanged 'after the kills'
}

# What does not open is named and left, and the rest goes on.
damaged_rows()
{
    rotate version
    application damage "$scratch/undamaged" || fail 'application damage'
    answers 2
    says 'reencrypt_table: customers\.card_number, row 7: .*'
    says 'reencrypt_table: customers\.home_address, row 8: .*'
    says 'reencrypt_table: customers\.id_number, row 9: .*'
    says 'reencrypt_table: customers\.id_number, row 10: .*'
    [[ $(grep -c '^reencrypt_table: ' "$out") -eq 4 ]] || { fail 'something else was told'; cat "$out"; }
    says "customers\.card_number +$key +$version +399  current"
    says "customers\.card_number +$uuid +[0-9]+ +1  stale"
    says 'customers\.home_address +of no known key +0 +1  unreadable'
    says '2 values are stale, and 2 cannot be read'
    answers 2 --retire --unused-for=0
    says '2 values are stale, and 2 cannot be read|0 values are stale, and 4 cannot be read'
    says 'so nothing is retired'
    application repair "$scratch/undamaged" || fail 'application repair'
    answers 0
    all_rows 400 current "$key" "$version"
    unchanged 'after a repair'
}

# A row that was changed between reading and writing keeps what it was given.
changed_behind()
{
    local wait text
    for wait in 0.5 1 2 4 8; do
        text="moved $wait s after the lock"
        rotate version
        application change_behind 5 "$text" "$wait" "$examples/reencrypt_table" "$db" "$store" \
            alias/MyAppKey >"$out" || { fail 'a run with another writer'; cat "$out"; }
        all_rows 400 current "$key" "$version"
        grep -q '; 1 rows were changed meanwhile$' "$out" && break
    done
    says 're-encrypted 1197 values of 399 rows in 1 transactions; 1 rows were changed meanwhile'
    # The second pass: the two columns that the other writer left alone.
    says 're-encrypted 2 values of 1 rows in 1 transactions'
    awk -F '\t' -v OFS='\t' -v text="$text" '$1 == 5 { $5 = text } 1' "$scratch/expected" >"$scratch/new"
    mv "$scratch/new" "$scratch/expected"
    unchanged 'after a change behind the back'
}

# An application that goes on writing loses nothing, and gets its work done.
concurrent_writer()
{
    local writer changed=0
    rotate key
    "$python" tests/support/application.py "$build/libkms.so" "$db" "$store" \
        write "$scratch/expected" 150 "$scratch/written" &
    writer=$!
    while kill -0 $writer 2>/dev/null; do
        rotate version
        table --batch=3
        [[ $? -ne 1 ]] || { fail 'a run beside another writer'; cat "$out"; }
        grep -q 'were changed meanwhile$' "$out" && changed=$((changed + 1))
    done
    wait $writer || fail 'the other writer failed'
    echo "$version runs beside another writer, $changed of which met one of its changes"
    mv "$scratch/written" "$scratch/expected"
    answers 0
    says "customers\.id_number +$key +$version +[0-9]+  current"
    [[ $(grep -c '^customers\.' "$out") -eq 3 ]] || { fail 'something is left'; cat "$out"; }
    unchanged 'after another writer'
}

# What was used lately stays, and what was never used goes; then what is not needed goes too.
retire()
{
    local old=$second
    answers 2 --retire
    says 'every value was read, and opens'
    says "key $old stays enabled: it was used in the hour of [0-9-]+ [0-9:]+ UTC, and must rest 24 hours .*"
    application alias alias/Another "$old" || fail 'application alias'
    answers 2 --retire --unused-for=0
    says "key $old stays enabled: alias/Another points to it"
    application no_alias alias/Another || fail 'application no_alias'
    answers 0 --retire --unused-for=0
    says "key $old is disabled"
    [[ $(grep -c '^every value was read, and opens$' "$out") -eq 2 ]] || fail 'it did not look again'
    [[ $(application try "$scratch/of_version_1") == KMS_ERR_DISABLED ]] || fail 'the old key still opens'
    unchanged 'after the old key was retired'
    answers 0 --retire --unused-for=0
    says 'no old version is enabled, and no key before'
}

retire_versions()
{
    local old=$version wait
    application keep "$scratch/of_old_version"
    rotate version
    rotate version
    [[ $version -eq $((old + 2)) ]] || fail "version $version, and not $((old + 2))"
    answers 0
    answers 2 --retire
    says "version $old of key $key stays enabled: it was used in the hour of .*"
    says "version $((old + 1)) of key $key is disabled"

    # A row of the old version that comes in between looking and looking again.
    for wait in 0.5 1 2 4 8; do
        application old_blob_behind "$scratch/of_old_version" "$wait" "$examples/reencrypt_table" \
            --retire --unused-for=0 "$db" "$store" alias/MyAppKey >"$out"
        [[ $? -eq 2 ]] || { fail 'an old row was overlooked'; cat "$out"; break; }
        grep -q 'is enabled again$' "$out" && break
        table
    done
    says "version $old of key $key is disabled"
    says 'reencrypt_table: customers\.id_number, row 1: .*'
    says "version $old of key $key is enabled again"
    answers 0
    answers 0 --retire --unused-for=0
    says "version $old of key $key is disabled"
    unchanged 'in the end'
}

# The tables of examples/searchable_column: text, a UNIQUE deterministic column, and tokens.
people()
{
    local alias number='11010519491231002X'
    mkdir "$scratch/people"
    db=$scratch/people/people.db store=$scratch/people/keys.kms
    "$examples/searchable_column" "$db" "$store" >"$out" 2>&1 || { fail searchable_column; cat "$out"; }
    person()
    {
        "$examples/reencrypt_table" "$db" "$store" "alias/people/$1" "${@:2}" >"$out" 2>&1
    }
    # Tokens follow from version 1: a new version changes none, and the old one stays.
    person name_index --rotate=version
    person name_index || { fail 'tokens of a new version'; cat "$out"; }
    says "people\.name_token +$uuid +1 +6  current"
    person name_index --retire --unused-for=0
    says "version 1 of key $uuid stays enabled: 6 values of people\.name_token need it"
    person name_index --rotate=key
    person name_index --dry-run
    says "people\.name_token +$uuid +1 +6  stale"
    person name_index || { fail 'tokens of a new key'; cat "$out"; }
    says 're-encrypted 6 values of 6 rows in 1 transactions'
    says "people\.name_token +$uuid +1 +6  current"
    person name_index --retire --unused-for=0 || { fail 'the key of the old tokens'; cat "$out"; }

    for alias in name id_number; do
        person $alias --rotate=key
        person $alias || { fail "$alias"; cat "$out"; }
        says "people\.$alias +$uuid +1 +6  current"
        person $alias --retire --unused-for=0 || { fail "retiring the old key of $alias"; cat "$out"; }
    done

    # Who inserts between the rotation and the re-encryption can insert a value twice.
    person id_number --rotate=key
    "$python" tests/support/application.py "$build/libkms.so" "$db" "$store" twice "$number" || fail 'application twice'
    person id_number && fail 'one of two rows of one number was not told'
    says 'reencrypt_table: people\.id_number, row 1: UNIQUE constraint failed: people\.id_number'
    says "people\.id_number +$uuid +1 +6  current"
    says "people\.id_number +$uuid +1 +1  stale"
    person id_number --retire --unused-for=0 && fail 'retired the key of one of two rows'
    says 'so nothing is retired'

    # Tokens to come need version 1 too.
    "$python" -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1], isolation_level=None).execute("DELETE FROM people")' "$db"
    person name_index --rotate=version
    person name_index --retire --unused-for=0
    says "version 1 of key $uuid stays enabled: the tokens of a blind index follow from it"
}

refusals()
{
    "$examples/reencrypt_table" "$db" "$store" alias/MyAppKey >"$out" 2>&1
    [[ $? -eq 1 ]] || fail 'an alias that no column is under'
    says 'reencrypt_table: the database has no column under alias/MyAppKey .*'
    "$examples/reencrypt_table" "$scratch/none" "$store" alias/people/name >"$out" 2>&1
    [[ $? -eq 1 && ! -e $scratch/none ]] || fail 'a database that is not there'
    "$python" -c 'import sqlite3, sys
sqlite3.connect(sys.argv[1]).executescript("CREATE TABLE people (id INT PRIMARY KEY, id_number, tax_number, name, name_index)")
' "$scratch/other-id" || fail 'a database of another kind'
    "$examples/reencrypt_table" "$scratch/other-id" "$store" alias/people/name --dry-run >"$out" 2>&1
    [[ $? -eq 1 ]] || fail 'a primary key that rows are passed over by'
    says 'reencrypt_table: people.id is no INTEGER PRIMARY KEY, by which pages are found'
    PASSPHRASE=another "$examples/reencrypt_table" "$db" "$store" alias/people/name >"$out" 2>&1
    [[ $? -eq 1 ]] || fail 'another passphrase'
    grep -q KMS_ERR_WRONG_ROOT_KEY "$out" || { fail 'another passphrase'; cat "$out"; }
}

make_database
# The second database has its own files, and is looked at beside the first.
(
    exec 3>&- 4<&-
    out=$scratch/people.out
    people
    refusals
    exit $failures
) &
others=$!
dry_run
kills
damaged_rows
changed_behind
concurrent_writer
retire
retire_versions
wait $others || fail 'the other database: see above'
exit $((failures > 0))
