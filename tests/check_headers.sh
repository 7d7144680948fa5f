#!/bin/bash
# Every public header compiles alone, from C11 and from C++11, with warnings as errors; includes
# nothing private; defines no name that is not ours; and documents each function that it declares.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

failures=0
fail()
{
    echo "FAIL: $*"
    failures=$((failures + 1))
}

warnings=(-Wall -Wextra -pedantic -Werror -Wshadow -Wconversion)

# compiles LANGUAGE-OPTIONS... : the program on standard input
compiles()
{
    "$@" "${warnings[@]}" -Iinclude -fsyntax-only - || fail "$header with $*"
}

each_alone()
{
    local header name
    for header in include/kms/*.h; do
        name=kms/${header##*/}
        # Twice, for its include guard.
        local program="#include <$name>"$'\n'"#include <$name>"$'\n'"int kms_test_alone;"
        compiles "${CC:-cc}" -std=c11 -Wstrict-prototypes -x c <<<"$program"
        if command -v g++ >/dev/null; then
            compiles g++ -std=c++11 -x c++ <<<"$program"
        fi
        if command -v clang >/dev/null; then
            compiles clang -std=c11 -Wstrict-prototypes -x c <<<"$program"
            compiles clang -std=c++17 -x c++ <<<"$program"
        fi
    done
    command -v g++ >/dev/null || echo 'SKIP: g++ is not installed, so no header was compiled as C++'
}

only_ours_and_the_standards()
{
    local header
    for header in include/kms/*.h; do
        grep -nE '^ *# *include' "$header" |
            grep -vE '<(kms/[a-z_]+|stdarg|stdbool|stddef|stdint)\.h>' &&
            fail "$header includes what a user of the library may not have"
        grep -nE '^ *# *define ' "$header" | grep -vE '# *define KMS_' &&
            fail "$header defines a macro that does not begin with KMS_"
    done
    return 0
}

kms_h_includes_all()
{
    local header
    for header in include/kms/*.h; do
        case ${header##*/} in
        kms.h | conformance.h) ;;
        *)
            grep -q "^#include <kms/${header##*/}>" include/kms/kms.h ||
                fail "kms.h does not include ${header##*/}"
            ;;
        esac
    done
}

one_version()
{
    local parts
    parts=$(printf '#include <kms/base.h>\n"KMS_" KMS_VERSION_MAJOR.KMS_VERSION_MINOR.KMS_VERSION_PATCH\n' |
        "${CC:-cc}" -E -P -Iinclude -x c - | tail -n 1 | sed 's/^"KMS_" //; s/ //g')
    grep -q "KMS_VERSION_STRING \"$parts\"" include/kms/base.h ||
        fail "KMS_VERSION_STRING is not $parts, which its parts say"
}

# A declaration follows its /** comment directly, and each @param names a parameter that it has.
documented()
{
    perl -0777 -e '
        my $bad = 0;
        for my $file (@ARGV) {
            open my $in, "<", $file or die "$file: $!";
            my $text = <$in>;
            while ($text =~ /(\/\*\*(?:(?!\*\/).)*\*\/\s*)?^KMS_API\b([^;]*);/gms) {
                my ($comment, $declaration) = ($1 // "", $2);
                $declaration =~ s/\bKMS_PRINTF\([^)]*\)//g;
                my ($name) = $declaration =~ /\b(kms_\w+)\s*\(/ or next;
                if ($comment eq "") {
                    print "$file: $name has no comment\n";
                    $bad = 1;
                    next;
                }
                my ($list) = $declaration =~ /\Q$name\E\s*\((.*)\)/s;
                my %documented = map { $_ => 1 } $comment =~ /\@param(?:\[[^\]]*\])?\s+(\w+)/g;
                my %declared;
                for my $parameter (split /,/, $list) {
                    $parameter =~ s/\[[^\]]*\]//g;
                    my ($last) = $parameter =~ /(\w+)\s*\)?\s*$/;
                    $declared{$last} = 1 if defined $last && $last ne "void";
                }
                for (grep { !$declared{$_} } sort keys %documented) {
                    print "$file: $name documents \"$_\", which is no parameter of it\n";
                    $bad = 1;
                }
            }
        }
        exit $bad;
    ' include/kms/*.h || fail 'the comments of the public functions'
}

each_alone
only_ours_and_the_standards
kms_h_includes_all
one_version
documented
exit $((failures > 0))
