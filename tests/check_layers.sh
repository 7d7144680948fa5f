#!/bin/bash
# Folder is permission: who may include what, and which habits a library must not have. Comments and
# strings are blanked first, so that only code counts.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
shopt -s nullglob extglob

failures=0
fail()
{
    echo "FAIL: $*"
    failures=$((failures + 1))
}

# code FILE... : "file:line: text" of every line, without comments and without what strings hold.
# A comment that has the word "sentence" leaves "@sentence".
code()
{
    perl -0777 -e '
        for my $file (@ARGV) {
            open my $in, "<", $file or die "$file: $!";
            my $text = <$in>;
            $text =~ s{(/\*.*?\*/)|("(?:[^"\\\n]|\\.)*")|(\x27(?:[^\x27\\\n]|\\.)*\x27)}
                      {my $all = $&; my $quoted = defined $2;
                       $quoted && $` =~ /#\s*include\s*\z/ ? $all :
                       defined $1 ? ($all =~ /sentence/ ? "\@sentence" : "") . $all =~ s/[^\n]//gr : $quoted ? "\"\"" : "0"}gse;
            my $number = 0;
            print "$file:", ++$number, ": $_\n" for split /\n/, $text;
        }
    ' "$@"
}

# forbid WHY REGEX FILE... : no code line may match; the regex sees the text of the line alone
forbid()
{
    local why=$1 regex=$2
    shift 2
    (($#)) || return
    code "$@" | grep -P "^[^:]+:\d+: .*?$regex" && fail "$why"
    return 0
}

lib=(lib/*/*.[ch])
backends=(backends/*/*.[ch])
bench=(bench/!(bare).c bench/*.h bench/peers/*.[ch])
outsiders=("${backends[@]}" examples/*/*.[ch] tests/conformance/*.[ch])

core_knows_no_engine()
{
    forbid 'lib/ includes an engine, its header, or a file outside of lib/' \
        '#\s*include\s*([<"](lmdb|sqlite3|libpq-fe)[./]|<kms/lmdb\.h>|".*\.\./|".*backends/)' "${lib[@]}"
    forbid 'OpenSSL is for lib/crypto only' '#\s*include\s*<openssl/' \
        lib/{base,wire,vault,domain,api}/*.[ch]
}

# Each floor includes itself and what stands below it.
floors()
{
    local floor above=(wire crypto vault domain api) files
    for floor in base wire crypto vault domain; do
        [[ $floor == base ]] || above=("${above[@]:1}")
        files=(lib/"$floor"/*.[ch])
        forbid "lib/$floor includes a floor above it" \
            "#\s*include\s*\"($(IFS='|' && echo "${above[*]}"))/" "${files[@]}"
    done
}

outsiders_use_public_headers()
{
    local file name internal
    for file in "${outsiders[@]}"; do
        while read -r name; do
            [[ $name != */* && -e $(dirname "$file")/$name ]] ||
                fail "$file includes \"$name\": only <kms/...> and its own folder are open to it"
        done < <(sed -nE 's/^ *# *include *"([^"]*)".*/\1/p' "$file")
    done
    internal=$(code lib/*/*.h | grep -oE '\bkms__\w+' | sort -u | paste -sd '|')
    forbid 'internal functions of lib/ used outside of it' "\b(${internal:-kms__none})\b" \
        "${outsiders[@]}"
}

# The benchmark is an outsider as well, but for the floor: that draws its nonces as the library does.
bench_uses_public_headers()
{
    forbid 'bench/ includes a header of lib/ other than crypto/generator.h in bench/bare.c' \
        '#\s*include\s*".*/' "${bench[@]}"
    forbid 'bench/bare.c includes another header of lib/ than crypto/generator.h' \
        '#\s*include\s*"(?!crypto/generator\.h").*/' bench/bare.c
    forbid 'internal functions of lib/ used in bench/, other than those that draw a nonce' \
        '\bkms__(?!(nonce|thread|thread_self)\b)\w+' bench/*.[ch] bench/peers/*.[ch]
}

manners_of_a_library()
{
    local call='(?<![\w.>])'
    forbid 'a library does not print' \
        "$call(v?printf|v?fprintf|puts|putchar|fputs|fputc|putc|perror|v?dprintf|v?syslog|warnx?|errx?)\s*\(" \
        "${lib[@]}" "${backends[@]}"
    forbid 'a library does not end the process' \
        "$call(exit|_exit|_Exit|quick_exit|abort|assert|raise)\s*\(" "${lib[@]}" "${backends[@]}"
    forbid 'a library does not read the environment, nor run programs' \
        "$call((secure_)?getenv|setenv|putenv|system|popen|exec[lv]p?e?|fork|vfork)\s*\(" \
        "${lib[@]}" "${backends[@]}"
    forbid 'a library leaves signals and the locale alone' \
        "$call(signal|sigaction|sigprocmask|pthread_sigmask|setlocale|umask)\s*\(" \
        "${lib[@]}" "${backends[@]}"
    forbid 'threads that nobody asked for' "$call(pthread_create|thrd_create)\s*\(" \
        "${lib[@]}" "${backends[@]}"
    forbid 'unbounded or shared-state C functions' \
        "$call(gets|strcpy|strcat|stpcpy|v?sprintf|strtok|alloca|rand|srand|random|gmtime|localtime|ctime|asctime|atoi|atol)\s*\(" \
        "${lib[@]}" "${backends[@]}"
    forbid 'secrets are wiped with sodium_memzero, which a compiler cannot drop' \
        "$call(bzero|explicit_bzero|memset_s)\s*\(" "${lib[@]}" "${backends[@]}"
}

# A status without a sentence is a riddle to whoever reads the log. That a record is absent is an
# engine's plain answer, and lib/crypto's statuses get their sentence in lib/crypto/aead.c. Where the
# caller makes the sentence, a comment on the line says so: "the caller makes the sentence".
every_failure_has_a_sentence()
{
    forbid 'a status is made without a sentence: use kms_set_error()' \
        '\breturn\b(?!.*kms_set_error)(?!.*@sentence)(\s|.*[?:]\s*)KMS_ERR_(?!NOT_FOUND\b)' \
        lib/{vault,domain,api}/*.c backends/*/*.c
}

core_knows_no_engine
floors
outsiders_use_public_headers
bench_uses_public_headers
manners_of_a_library
every_failure_has_a_sentence
exit $((failures > 0))
