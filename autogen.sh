#!/bin/sh
# Makes ./configure out of configure.ac.
set -eu
cd "$(dirname "$0")"
for tool in autoconf aclocal; do
    if ! command -v "$tool" >/dev/null; then
        echo "autogen.sh: $tool is not installed (Debian: apt-get install autoconf automake)" >&2
        exit 1
    fi
done
aclocal
autoconf
