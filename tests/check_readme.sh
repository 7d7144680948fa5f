#!/bin/bash
# The README's program is examples/twenty_lines/main.c, has twenty lines, and builds and runs against
# libkms.a; links between the pages lead somewhere; the pages name every public function, and no file,
# function or test that is not there.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C

build=${KMS_BUILD:-build}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0
fail()
{
    echo "FAIL: $*"
    failures=$((failures + 1))
}

mapfile -t pages < <(find . -name '*.md' -not -path './.git/*' -not -path './build*/*' | sort)

# The first block of C.
readme_program()
{
    awk '/^```c$/ { inside = 1; next } /^```$/ && inside { exit } inside' README.md
}

# The section is called "Twenty lines": those between the braces of main(), blank ones included.
twenty_lines()
{
    local lines
    lines=$(readme_program | awk '/^}$/ { inside = 0 } inside { n++ } /^{$/ { inside = 1 } END { print n + 0 }')
    ((lines > 0 && lines <= 20)) || fail "main() of the README's program has $lines lines"
}

# What libkms.a needs, as its own symbols tell.
libraries()
{
    local undefined
    undefined=$(nm --undefined-only "$build/libkms.a")
    echo -lsodium
    grep -q ' U mdb_env_create$' <<<"$undefined" && echo -llmdb
    grep -q ' U EVP_CIPHER_CTX_new$' <<<"$undefined" && echo -lcrypto
    echo -pthread
}

program()
{
    local round flags
    flags=$(libraries)
    readme_program >"$scratch/main.c"
    diff examples/twenty_lines/main.c "$scratch/main.c" ||
        fail "the README's program is not examples/twenty_lines/main.c"
    # shellcheck disable=SC2086 # words
    "${CC:-cc}" -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -o "$scratch/program" \
        "$scratch/main.c" "$build/libkms.a" $flags || { fail "it does not build"; return; }
    [[ $flags == *lmdb* ]] ||
        { echo 'SKIP: this build has no LMDB, so the program of the README was not run'; return; }
    # It makes its store, and then finds it.
    for round in first second; do
        (cd "$scratch" && ./program) >"$scratch/out" 2>&1 || { fail "its $round run"; cat "$scratch/out"; }
        [[ -s $scratch/out ]] || fail "its $round run says nothing"
    done
}

# links PAGE... : prints each link whose file or heading is not there
links()
{
    perl -e '
        use File::Basename;
        sub text { my ($file) = @_; local $/; open my $in, "<", $file or die "$file: $!"; my $t = <$in>;
                   $t =~ s/^```.*?^```$//gms; return $t }
        sub headings {
            my %seen;
            for (text($_[0]) =~ /^#+ +(.*)$/gm) {
                my $slug = lc; $slug =~ s/[^\w\- ]//g; $slug =~ s/ /-/g; $seen{$slug} = 1;
            }
            return \%seen;
        }
        for my $page (@ARGV) {
            for my $link (text($page) =~ /\]\(([^)\s]+)\)/g) {
                next if $link =~ /^(https?|mailto):/;
                my ($file, $heading) = split /#/, $link, 2;
                my $target = $file eq "" ? $page : dirname($page) . "/$file";
                if (!-e $target) { print "$page: $link\n" }
                elsif (defined $heading && !headings($target)->{$heading}) { print "$page: no such heading: $link\n" }
            }
        }
    ' "$@"
}

# Each `lib/...`, `tests/...` and so on; a name with a capital word in it stands for many.
paths()
{
    local page path
    # shellcheck disable=SC2016 # backquotes of a page
    for page in "$@"; do
        while read -r path; do
            compgen -G "$path" >/dev/null || echo "$page: $path"
        done < <(grep -oE '`(lib|include|backends|tests|examples|docs|scripts|pkgconfig|\.ci)/[^` ]*`' "$page" |
            tr -d '`' | grep -v '[A-Z]\{4\}' | sort -u)
    done
}

# Each TESTS="..." that somebody is told to type names tests that are there.
names_of_tests()
{
    local name count=0
    while read -r name; do
        count=$((count + 1))
        [[ -e tests/$name.c || -e tests/$name.sh ]] || fail "TESTS=\"$name\" is no test"
    done < <(grep -ohE 'TESTS="[a-zA-Z_ ]+"' "${pages[@]}" Makefile | cut -d'"' -f 2 | tr ' ' '\n')
    ((count >= 2)) || fail "only $count examples of TESTS= found"
}

functions()
{
    local name
    { scripts/public-symbols && scripts/public-symbols --conformance; } | sort -u >"$scratch/declared"
    grep -ohE '\bkms_[a-z0-9_]+\(\)' docs/cloud-api-map.md | tr -d '()' | sort -u >"$scratch/mapped"
    for name in $(comm -23 "$scratch/declared" "$scratch/mapped"); do
        fail "docs/cloud-api-map.md does not name $name()"
    done
    grep -ohE '\bkms_[a-z0-9_]+\(\)' "${pages[@]}" | tr -d '()' | sort -u >"$scratch/named"
    for name in $(comm -13 "$scratch/declared" "$scratch/named"); do
        fail "a page names $name(), which is no public function"
    done
    [[ -s $scratch/mapped ]] || fail 'no function found in docs/cloud-api-map.md'
}

# The last column of the threat model's table: a file, or a check in it.
tests_of_the_threat_model()
{
    local file check count=0
    while IFS=$'\t' read -r file check; do
        count=$((count + 1))
        [[ -e $file ]] || { fail "docs/threat-model.md names $file"; continue; }
        [[ -z $check ]] || grep -qwF -- "$check" "$file" ||
            fail "docs/threat-model.md names $check, which is not in $file"
    done < <(perl -ne '
        next unless /^\|/;
        my $shown = (split /\|/)[-2];
        while ($shown =~ m{\[\w+\.(?:c|sh)\]\(\.\./(tests/[^)]*)\)((?:\W*`\w+`)*)}g) {
            my ($file, $rest) = ($1, $2);
            my @checks = $rest =~ /`(\w+)`/g;
            print "$file\t$_\n" for @checks ? @checks : ("");
        }' docs/threat-model.md)
    ((count >= 10)) || fail "docs/threat-model.md: only $count tests found in its table"
}

program
twenty_lines
names_of_tests
dead=$(links "${pages[@]}")
[[ -z $dead ]] || fail $'links that lead nowhere:\n'"$dead"
missing=$(paths "${pages[@]}")
[[ -z $missing ]] || fail $'files that are not there:\n'"$missing"
functions
tests_of_the_threat_model
echo "${#pages[@]} pages"
exit $((failures > 0))
