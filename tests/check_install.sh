#!/bin/bash
# `make install` into an empty prefix; then a C and a C++ program of somebody else's build and run
# with what pkg-config says alone, shared and static, as does the example engine with the conformance
# suite; then `make uninstall` leaves no file behind.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/prefix
failures=0
fail()
{
    echo "FAIL: $*"
    failures=$((failures + 1))
}

# What was given to the outer make goes for this one, but for its job server.
MAKEFLAGS=$(sed -E 's/ ?-j[0-9]*//g; s/ ?--jobserver-[a-z]+=[^ ]*//g' <<<"${MAKEFLAGS-}")
export MAKEFLAGS
unset MAKELEVEL MFLAGS
install_to()
{
    make --no-print-directory BUILD="${KMS_BUILD:-build}" "$@" >"$scratch/make.log" 2>&1 ||
        { fail "make $*"; cat "$scratch/make.log"; }
}

cat >"$scratch/program.c" <<'END'
#include <kms/kms.h>
#include <stdio.h>
#include <string.h>

static int encrypt_and_decrypt(kms_store *store)
{
    static const char plain[] = "1 Main Street";
    char key_id[KMS_KEY_ID_SIZE];
    unsigned char blob[KMS_CIPHERTEXT_SIZE(sizeof plain)];
    char back[sizeof plain];
    size_t blob_len = 0;
    size_t back_len = 0;

    if (kms_ensure_alias(store, "alias/MyAppKey", NULL, key_id) != KMS_OK ||
        kms_encrypt(store, "alias/MyAppKey", NULL, plain, sizeof plain, blob, sizeof blob,
                    &blob_len) != KMS_OK ||
        kms_decrypt(store, NULL, blob, blob_len, back, sizeof back, &back_len) != KMS_OK) {
        return 1;
    }
    return back_len != sizeof plain || memcmp(back, plain, sizeof plain) != 0;
}

int main(void)
{
    kms_store *store = NULL;
    int failed = kms_open_memory(&store) != KMS_OK || encrypt_and_decrypt(store);
    if (failed) {
        fprintf(stderr, "%s\n", kms_error_message());
    }
    kms_close(store);
    printf("%s\n", failed ? "failed" : "decrypted");
    return failed;
}
END
cp "$scratch/program.c" "$scratch/program.cc"

# builds_and_runs NAME SOURCE HOW COMPILER... : HOW is pkg-config's --static, or nothing
builds_and_runs()
{
    local name=$1 source=$2 how=$3
    shift 3
    local flags
    # shellcheck disable=SC2086 # --static or nothing
    flags=$(pkg-config --cflags --libs $how libkms) || { fail "pkg-config $how libkms"; return; }
    # shellcheck disable=SC2086 # flags are words
    "$@" -o "$scratch/$name" "$source" $flags >"$scratch/cc.log" 2>&1 ||
        { fail "$name does not build: $* $flags"; cat "$scratch/cc.log"; return; }
    LD_LIBRARY_PATH=$prefix/lib "$scratch/$name" >"$scratch/out" 2>&1
    [[ $(<"$scratch/out") == decrypted ]] || { fail "$name does not run"; cat "$scratch/out"; }
}

install_to install PREFIX="$prefix"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
builds_and_runs c-shared "$scratch/program.c" '' "${CC:-cc}" -std=c11
builds_and_runs cxx-shared "$scratch/program.cc" '' g++ -std=c++11
builds_and_runs c-static "$scratch/program.c" --static "${CC:-cc}" -std=c11 -static
builds_and_runs cxx-static "$scratch/program.cc" --static g++ -std=c++11 -static

# Into a variable, and not into grep -q: that ends at once, and its writer dies of the broken pipe.
needed=$(LD_LIBRARY_PATH=$prefix/lib ldd "$scratch/c-shared" 2>&1)
[[ $needed == *"libkms.so.0 => $prefix"* ]] || fail "the shared program uses: $needed"
needed=$(ldd "$scratch/c-static" 2>&1)
[[ $needed != *libkms* ]] || fail "the static program uses: $needed"

# An engine's author has the installed files alone: the example engine as a third party builds it keeps
# every promise of the suite.
cp -r examples/file_backend "$scratch/engine"
cat >"$scratch/engine/suite.c" <<'END'
#include "file_backend.h"
#include <kms/conformance.h>
#include <stdio.h>
#include <unistd.h>

static const char *const endings[] = {"", "-lock", "-new"};

static kms_status make(void *folder, unsigned place, kms_backend **backend)
{
    char path[512];

    snprintf(path, sizeof path, "%s/store-%u", (const char *)folder, place);
    return example_file_backend(backend, path);
}

static void reset(void *folder)
{
    char path[512];

    for (unsigned i = 0; i < 3 * 16; i++) {
        snprintf(path, sizeof path, "%s/store-%u%s", (const char *)folder, i / 3, endings[i % 3]);
        unlink(path);
    }
}

int main(int argc, char **argv)
{
    kms_conformance_subject subject = {KMS_CONFORMANCE_VERSION, argv[argc - 1], make, reset, true};
    size_t passed = 0;

    for (size_t i = 0; i < kms_conformance_count(); i++) {
        char why[KMS_CONFORMANCE_WHY_SIZE];

        if (kms_conformance_run(i, &subject, why) == KMS_CONFORMANCE_PASS)
            passed++;
        else
            printf("%s: %s\n", kms_conformance_name(i), why);
    }
    printf("%zu of %zu\n", passed, kms_conformance_count());
    return passed != kms_conformance_count();
}
END

# engine_conforms NAME HOW... : HOW is --static and -static, or nothing
engine_conforms()
{
    local name=$1 flags
    shift
    # shellcheck disable=SC2086 # --static or nothing
    flags=$(pkg-config --cflags --libs ${1-} libkms-conformance) || { fail "pkg-config libkms-conformance"; return; }
    mkdir "$scratch/$name-stores"
    # shellcheck disable=SC2086 # flags are words
    "${CC:-cc}" -o "$scratch/$name" "$scratch"/engine/*.c ${2-} $flags >"$scratch/cc.log" 2>&1 ||
        { fail "$name does not build with $flags"; cat "$scratch/cc.log"; return; }
    LD_LIBRARY_PATH=$prefix/lib "$scratch/$name" "$scratch/$name-stores" >"$scratch/out" 2>&1 ||
        { fail "$name: the engine breaks a promise"; cat "$scratch/out"; }
    [[ $(tail -n 1 "$scratch/out") =~ ^([0-9]+)\ of\ ([0-9]+)$ && ${BASH_REMATCH[1]} -gt 50 ]] ||
        { fail "$name ran too few cases"; cat "$scratch/out"; }
    needed=$(ldd "$scratch/$name" 2>&1)
    [[ $needed != *libkms.so.0* || -z ${2-} ]] || fail "$name is not static"
    [[ -z $(ls "$scratch/$name-stores") ]] || fail "$name left files"
}
engine_conforms engine-shared
engine_conforms engine-static --static -static

[[ $(pkg-config --modversion libkms) == "$(sed -n 's/.*KMS_VERSION_STRING "\(.*\)"/\1/p' include/kms/base.h)" ]] ||
    fail 'pkg-config does not tell the version of the headers'

install_to uninstall PREFIX="$prefix"
find "$prefix" -not -type d | grep . && fail 'uninstall left these files'

# DESTDIR stages the same files, and the .pc files know nothing of it.
install_to install DESTDIR="$scratch/stage" PREFIX=/usr LIBDIR=/usr/lib/x86_64-linux-gnu
[[ -e $scratch/stage/usr/lib/x86_64-linux-gnu/libkms.so.0 && -e $scratch/stage/usr/include/kms/kms.h ]] ||
    fail 'DESTDIR, PREFIX and LIBDIR are not honoured'
grep -rl "$scratch" "$scratch/stage" | grep . && fail 'these files name the staging folder'
find "$scratch/stage" -maxdepth 1 -mindepth 1 | grep -v '/usr$' && fail 'files outside of PREFIX'
install_to uninstall DESTDIR="$scratch/stage" PREFIX=/usr LIBDIR=/usr/lib/x86_64-linux-gnu
find "$scratch/stage" -not -type d | grep . && fail 'uninstall left these staged files'

exit $((failures > 0))
