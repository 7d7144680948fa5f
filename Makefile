# libkms: a key management service in a library.
#
# Builds straight from a checkout with GNU make. ./configure is optional: when it has written a
# config.mk, that file decides; otherwise pkg-config is asked. `make help` lists the targets.

# --- What is built ------------------------------------------------------------------------------

VERSION   := $(shell sed -n 's/^.define KMS_VERSION_STRING "\(.*\)"/\1/p' include/kms/base.h)
SOVERSION := 0

LIB_SOURCES         := $(wildcard lib/*/*.c) $(wildcard backends/memory/*.c) $(wildcard backends/lmdb/*.c)
CONFORMANCE_SOURCES := $(wildcard tests/conformance/*.c)
SUPPORT_SOURCES     := $(wildcard tests/support/*.c)
TEST_SOURCES        := $(wildcard tests/test_*.c)
# Programs that script tests run, such as the maker of fixtures: no tests themselves.
TOOL_SOURCES        := $(wildcard tests/make_*.c)
# Engines written as a third party would, linked into every test program.
TEST_EXTRA_SOURCES  := $(filter-out %/main.c,$(wildcard examples/*_backend/*.c))
TEST_SCRIPTS        := $(wildcard tests/check_*.sh)
# Every other folder under examples/ is one program of that name.
EXAMPLES            := $(filter-out %_backend,$(sort $(patsubst examples/%/,%,$(dir $(wildcard examples/*/*.c)))))
EXAMPLE_SOURCES     := $(foreach e,$(EXAMPLES),$(wildcard examples/$(e)/*.c))
HOT_CALLS_SOURCE    := bench/hot_calls.c
BENCH_SOURCES       := $(filter-out $(HOT_CALLS_SOURCE),$(wildcard bench/*.c))
# The other benchmark, and what it shares with the first.
PEERS_SOURCES       := $(wildcard bench/peers/*.c)
PEERS_COMMON        := $(addprefix bench/,bare.c fail.c machine.c messages.c options.c report.c rows.c stores.c)
PUBLIC_HEADERS      := $(wildcard include/kms/*.h)
ALL_SOURCES         := $(LIB_SOURCES) $(CONFORMANCE_SOURCES) $(SUPPORT_SOURCES) $(TEST_SOURCES) \
                       $(TOOL_SOURCES) $(TEST_EXTRA_SOURCES) $(EXAMPLE_SOURCES) $(BENCH_SOURCES) $(HOT_CALLS_SOURCE) \
                       $(PEERS_SOURCES)
ALL_HEADERS         := $(PUBLIC_HEADERS) $(wildcard lib/*/*.h backends/*/*.h tests/*/*.h examples/*/*.h bench/*.h bench/peers/*.h)

# --- Settings: the command line wins over config.mk, and that over the defaults here ------------

-include config.mk

BUILD      ?= build
PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
CFLAGS     ?= -O2 -g
PKG_CONFIG ?= pkg-config
AR         ?= ar
INSTALL    ?= install
CLANG_FORMAT ?= clang-format
CLANG_TIDY ?= clang-tidy
VALGRIND   ?= valgrind
# Optional parts: yes, no, or auto (yes where the library is found).
WITH_LMDB      ?= auto
WITH_LIBCRYPTO ?= auto
# Test programs at a time; where Wycheproof's vectors may be; TESTS names a few tests to run alone.
JOBS    ?= 2
VECTORS ?= ../shared/vectors
TESTS   ?=
# Where `make bench` writes its results, and more arguments for it.
BENCH_JSON ?= $(BUILD)/bench.json
BENCH_ARGS ?=
PEERS_JSON ?= $(BUILD)/bench-peers.json

# --- Detection: skipped for the goals that need no compiler, or that install one first ----------

UNDETECTED_GOALS := check check-asan check-valgrind quickstart bench bench-pages bench-peers bench-peers-pages clean distclean format check-format \
                    uninstall symbols help
ifneq ($(filter-out $(UNDETECTED_GOALS),$(or $(MAKECMDGOALS),all)),)

found = $(shell $(PKG_CONFIG) --exists '$(1)' 2>/dev/null && echo yes)

ifeq ($(shell command -v $(firstword $(PKG_CONFIG))),)
$(error pkg-config is not installed (Debian: apt-get install pkg-config))
endif
ifndef SODIUM_LIBS
ifneq ($(call found,libsodium >= 1.0.18),yes)
$(error libkms needs libsodium 1.0.18 or newer (Debian: apt-get install libsodium-dev))
endif
SODIUM_CFLAGS := $(shell $(PKG_CONFIG) --cflags libsodium)
SODIUM_LIBS   := $(shell $(PKG_CONFIG) --libs libsodium)
endif

ifeq ($(WITH_LMDB),auto)
override WITH_LMDB := $(or $(call found,lmdb),no)
endif
ifeq ($(WITH_LMDB),yes)
ifndef LMDB_LIBS
ifneq ($(call found,lmdb),yes)
$(error WITH_LMDB=yes, but LMDB is not installed (Debian: apt-get install liblmdb-dev))
endif
LMDB_CFLAGS := $(shell $(PKG_CONFIG) --cflags lmdb)
LMDB_LIBS   := $(shell $(PKG_CONFIG) --libs lmdb)
endif
FEATURES += -DKMS_HAVE_LMDB=1 $(LMDB_CFLAGS)
PC_REQUIRES += lmdb
DEP_LIBS += $(LMDB_LIBS)
endif

ifeq ($(WITH_LIBCRYPTO),auto)
override WITH_LIBCRYPTO := $(or $(call found,libcrypto >= 3.0),no)
endif
ifeq ($(WITH_LIBCRYPTO),yes)
ifndef LIBCRYPTO_LIBS
ifneq ($(call found,libcrypto >= 3.0),yes)
$(error WITH_LIBCRYPTO=yes, but OpenSSL 3 is not installed (Debian: apt-get install libssl-dev))
endif
LIBCRYPTO_CFLAGS := $(shell $(PKG_CONFIG) --cflags libcrypto)
LIBCRYPTO_LIBS   := $(shell $(PKG_CONFIG) --libs libcrypto)
endif
FEATURES += -DKMS_HAVE_LIBCRYPTO=1 $(LIBCRYPTO_CFLAGS)
PC_REQUIRES += libcrypto
DEP_LIBS += $(LIBCRYPTO_LIBS)
endif

FEATURES += $(SODIUM_CFLAGS)
DEP_LIBS += $(SODIUM_LIBS)

# Only the tests, the examples and the benchmark need these; a missing one is reported where it is
# used.
CHECK_CFLAGS  := $(shell $(PKG_CONFIG) --cflags check 2>/dev/null)
CHECK_LIBS    := $(shell $(PKG_CONFIG) --libs check 2>/dev/null)
ifeq ($(call found,jansson),yes)
JANSSON_CFLAGS := $(shell $(PKG_CONFIG) --cflags jansson)
JANSSON_LIBS   := $(shell $(PKG_CONFIG) --libs jansson)
CHECK_CFLAGS  += -DKMS_HAVE_JANSSON=1 $(JANSSON_CFLAGS)
CHECK_LIBS    += $(JANSSON_LIBS)
endif
SQLITE_CFLAGS := $(shell $(PKG_CONFIG) --cflags sqlite3 2>/dev/null)
SQLITE_LIBS   := $(shell $(PKG_CONFIG) --libs sqlite3 2>/dev/null)

# What peers are held against libkms: each is left out where its library is missing.
PEERS_FOUND  := $(foreach m,p11-kit-1 libmongocrypt libpq,$(if $(call found,$(m)),$(m)))
PEERS_CFLAGS := $(if $(filter p11-kit-1,$(PEERS_FOUND)),-DPEERS_HAVE_PKCS11) \
                $(if $(filter libmongocrypt,$(PEERS_FOUND)),-DPEERS_HAVE_MONGOCRYPT) \
                $(if $(filter libpq,$(PEERS_FOUND)),-DPEERS_HAVE_LIBPQ) \
                $(patsubst -I%,-isystem %,$(if $(PEERS_FOUND),$(shell $(PKG_CONFIG) --cflags $(PEERS_FOUND))))
PEERS_LIBS   := $(if $(PEERS_FOUND),$(shell $(PKG_CONFIG) --libs $(PEERS_FOUND)))

supported = $(shell $(CC) -Werror $(1) -c -x c /dev/null -o /dev/null 2>/dev/null && echo '$(1)')
HARDENING := -fstack-protector-strong $(call supported,-fstack-clash-protection) \
             $(call supported,-fcf-protection)
endif

# --- Flags --------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wpedantic -Wconversion -Wshadow
ifeq ($(WERROR),1)
WARNINGS += -Werror
endif

# glibc's fortified calls need an optimiser, and hide errors from AddressSanitizer.
ifdef SANITIZE
SANITIZERS := -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifneq ($(filter-out -O0,$(filter -O%,$(CFLAGS))),)
FORTIFY := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif

# One object serves both libraries, so all are position independent. Only what the headers mark
# KMS_API is visible.
KMS_CFLAGS   = -std=c11 -D_GNU_SOURCE $(WARNINGS) -fPIC -fvisibility=hidden -pthread \
               $(HARDENING) $(FORTIFY) $(SANITIZERS) $(FEATURES) $(CPPFLAGS) $(CFLAGS)
KMS_LDFLAGS  = -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(SANITIZERS) $(CFLAGS) $(LDFLAGS)
# Thread-exit destructors live in the library's text: it must survive dlclose().
SHARED_LDFLAGS = -shared -Wl,-soname,$(SONAME) -Wl,-z,nodelete $(if $(SANITIZE),,-Wl,-z,defs) \
                 -Wl,--version-script=lib/libkms.map

# Who may include what. Engines, examples and the conformance suite see the public headers only.
$(BUILD)/obj/lib/%:               INCLUDES = -Iinclude -Ilib
$(BUILD)/obj/backends/%:          INCLUDES = -Iinclude
$(BUILD)/obj/examples/%:          INCLUDES = -Iinclude $(SQLITE_CFLAGS)
$(BUILD)/obj/tests/%:             INCLUDES = -Iinclude -Ilib -Itests -Iexamples $(CHECK_CFLAGS)
$(BUILD)/obj/tests/conformance/%: INCLUDES = -Iinclude
$(BUILD)/obj/bench/%:             INCLUDES = -Iinclude -Ilib $(JANSSON_CFLAGS)
$(BUILD)/obj/bench/peers/%:       INCLUDES = -Iinclude -Ibench $(PEERS_CFLAGS)

# --- Libraries ----------------------------------------------------------------------------------

SONAME      := libkms.so.$(SOVERSION)
STATIC      := $(BUILD)/libkms.a
SHARED      := $(BUILD)/libkms.so.$(VERSION)
CONFORMANCE := $(BUILD)/libkms-conformance.a

# One short line a step; V=1 shows the commands themselves.
say = $(if $(V),,@echo '$(1)  $@'; )

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

.PHONY: all
all: $(STATIC) $(SHARED) $(BUILD)/$(SONAME) $(BUILD)/libkms.so $(CONFORMANCE)

$(STATIC): $(call objects,$(LIB_SOURCES))
$(CONFORMANCE): $(call objects,$(CONFORMANCE_SOURCES))
$(STATIC) $(CONFORMANCE): $(BUILD)/sources
	$(call say,AR)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(SHARED): $(call objects,$(LIB_SOURCES)) lib/libkms.map $(BUILD)/sources
	$(call say,LD)$(CC) $(KMS_LDFLAGS) $(SHARED_LDFLAGS) -o $@ $(filter %.o,$^) $(DEP_LIBS)

$(BUILD)/$(SONAME) $(BUILD)/libkms.so: $(SHARED)
	$(call say,LN)ln -sf $(notdir $(SHARED)) $@

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(KMS_CFLAGS) $(INCLUDES) -MMD -MP -c -o $@ $<

# These files change only when what they hold does: other flags compile everything again, a file
# that came or went links again, a peer's library compiles the peers again.
$(BUILD)/flags: HOLDS = $(CC) $(KMS_CFLAGS) $(CHECK_CFLAGS) $(SQLITE_CFLAGS)
$(BUILD)/sources: HOLDS = $(ALL_SOURCES) $(KMS_LDFLAGS) $(DEP_LIBS)
$(BUILD)/peers: HOLDS = $(PEERS_CFLAGS) $(PEERS_LIBS)
$(BUILD)/flags $(BUILD)/sources $(BUILD)/peers: FORCE
	@mkdir -p $(@D)
	@echo '$(HOLDS)' | cmp -s - $@ || echo '$(HOLDS)' >$@

-include $(patsubst %.c,$(BUILD)/obj/%.d,$(ALL_SOURCES))

# --- Tests and examples -------------------------------------------------------------------------

TEST_PROGRAMS    := $(patsubst tests/%.c,$(BUILD)/tests/%,$(TEST_SOURCES))
TEST_TOOLS       := $(patsubst tests/%.c,$(BUILD)/tests/%,$(TOOL_SOURCES))
EXAMPLE_PROGRAMS := $(addprefix $(BUILD)/examples/,$(EXAMPLES))
TEST_COMMON      := $(call objects,$(SUPPORT_SOURCES) $(TEST_EXTRA_SOURCES))

.PHONY: tests examples need-check need-sqlite
tests: $(TEST_PROGRAMS) $(TEST_TOOLS)
examples: $(EXAMPLE_PROGRAMS)

$(TEST_PROGRAMS) $(TEST_TOOLS): $(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(TEST_COMMON) $(CONFORMANCE) $(STATIC) \
                  $(BUILD)/sources
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(KMS_LDFLAGS) -pie -o $@ $(filter %.o %.a,$^) $(CHECK_LIBS) $(DEP_LIBS)

.SECONDEXPANSION:
$(EXAMPLE_PROGRAMS): $(BUILD)/examples/%: $$(call objects,$$(wildcard examples/$$*/*.c)) $(STATIC) \
                     $(BUILD)/sources
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(KMS_LDFLAGS) -pie -o $@ $(filter %.o %.a,$^) $(SQLITE_LIBS) $(DEP_LIBS)

$(call objects,$(SUPPORT_SOURCES) $(TEST_SOURCES) $(TOOL_SOURCES)): | need-check
need-check:
	@test -n '$(filter -lcheck%,$(CHECK_LIBS))' || { echo 'The tests need Check (Debian: apt-get install check)' >&2; exit 1; }
$(call objects,$(EXAMPLE_SOURCES)): | need-sqlite
need-sqlite:
	@test -n '$(SQLITE_LIBS)' || { echo 'The examples need SQLite (Debian: apt-get install libsqlite3-dev)' >&2; exit 1; }

# The benchmark holds both suites and the LMDB engine against what they are made of: it needs both.
.PHONY: bench-programs need-bench
bench-programs: $(BUILD)/bench/bench $(BUILD)/bench/hot_calls $(BUILD)/bench/bench-peers
$(BUILD)/bench/bench: $(call objects,$(BENCH_SOURCES)) $(STATIC) $(BUILD)/sources
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(KMS_LDFLAGS) -pie -o $@ $(filter %.o %.a,$^) $(JANSSON_LIBS) $(DEP_LIBS)
# With the shared library, whose instructions are counted apart from those of others.
$(BUILD)/bench/hot_calls: $(call objects,$(HOT_CALLS_SOURCE)) $(BUILD)/libkms.so $(BUILD)/$(SONAME) $(BUILD)/sources
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(KMS_LDFLAGS) -pie -o $@ $(filter %.o,$^) -L$(BUILD) -Wl,-rpath,'$$ORIGIN/..' -lkms
$(BUILD)/bench/bench-peers: $(call objects,$(PEERS_SOURCES) $(PEERS_COMMON)) $(STATIC) $(BUILD)/sources
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(KMS_LDFLAGS) -pie -o $@ $(filter %.o %.a,$^) $(PEERS_LIBS) $(JANSSON_LIBS) $(DEP_LIBS)
$(call objects,$(PEERS_SOURCES)): $(BUILD)/peers
$(call objects,$(BENCH_SOURCES) $(HOT_CALLS_SOURCE) $(PEERS_SOURCES)): | need-bench
need-bench:
	@test -n '$(JANSSON_LIBS)' || { echo 'The benchmark needs Jansson (Debian: apt-get install libjansson-dev)' >&2; exit 1; }
	@test '$(WITH_LMDB) $(WITH_LIBCRYPTO)' = 'yes yes' || { echo 'The benchmark needs a build with LMDB and libcrypto' >&2; exit 1; }

# On a bare machine nothing can be detected before scripts/deps has run: hence the second make.
AGAIN = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(JOBS))
DEPS  = WITH_LMDB=$(WITH_LMDB) WITH_LIBCRYPTO=$(WITH_LIBCRYPTO) scripts/deps

.PHONY: check check-asan check-valgrind quickstart bench bench-pages bench-peers bench-peers-pages
.PHONY: run-check run-programs run-quickstart run-bench run-bench-peers
check:
	@$(DEPS) check
	+@$(AGAIN) run-check
check-asan:
	@$(DEPS) check
	+@$(AGAIN) run-programs BUILD=$(BUILD)/asan SANITIZE=address,undefined CFLAGS='-O1 -g' \
	    KMS_TEST_UNDER=asan
check-valgrind:
	@$(DEPS) check
	@command -v $(VALGRIND) >/dev/null || \
	    { echo 'This needs valgrind (Debian: apt-get install valgrind)' >&2; exit 1; }
	+@$(AGAIN) run-programs KMS_TEST_UNDER=valgrind
quickstart:
	@$(DEPS) quickstart
	+@$(AGAIN) run-quickstart

bench:
	@$(DEPS) bench
	+@$(AGAIN) run-bench
bench-pages:
	@$(DEPS) plots
	bench/plots '$(BENCH_JSON)' docs/img
	bench/tables '$(BENCH_JSON)' docs/performance.md
bench-peers:
	@$(DEPS) bench
	@$(DEPS) bench-peers || echo 'Going on without the peers that are missing.'
	+@$(AGAIN) run-bench-peers
bench-peers-pages:
	@$(DEPS) plots
	bench/peers/tables '$(PEERS_JSON)' docs/performance.md

RUN_TESTS = CC='$(CC)' JOBS='$(JOBS)' TESTS='$(TESTS)' KMS_BUILD='$(abspath $(BUILD))' \
            KMS_TEST_VECTORS='$(abspath $(VECTORS))' KMS_TEST_UNDER='$(KMS_TEST_UNDER)' \
            KMS_TEST_BACKEND='$(KMS_TEST_BACKEND)' VALGRIND='$(VALGRIND)' scripts/run-tests
run-check: all tests examples $(if $(filter yesyes,$(WITH_LMDB)$(WITH_LIBCRYPTO)),bench-programs)
	+@$(RUN_TESTS) $(TEST_PROGRAMS) $(TEST_SCRIPTS)
run-programs: tests
	+@$(RUN_TESTS) $(TEST_PROGRAMS)
run-quickstart: $(BUILD)/examples/quickstart
	@$(BUILD)/examples/quickstart $(QUICKSTART_ARGS)

run-bench: $(BUILD)/bench/bench
	@$(BUILD)/bench/bench --json='$(BENCH_JSON)' --disk='$(BUILD)' $(BENCH_ARGS)

run-bench-peers: $(BUILD)/bench/bench-peers
	@$(BUILD)/bench/bench-peers --json='$(PEERS_JSON)' $(BENCH_ARGS)

# --- Installation -------------------------------------------------------------------------------

PC_FILES := $(BUILD)/libkms.pc $(BUILD)/libkms-conformance.pc
DEST_LIB := $(DESTDIR)$(LIBDIR)
DEST_INC := $(DESTDIR)$(INCLUDEDIR)

$(PC_FILES): $(BUILD)/%.pc: pkgconfig/%.pc.in FORCE
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' \
	    -e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|' \
	    -e 's|@INCLUDEDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))|' \
	    -e 's|@REQUIRES_PRIVATE@|libsodium $(PC_REQUIRES)|' $< >$@

.PHONY: install uninstall
install: all $(PC_FILES)
	$(INSTALL) -d '$(DEST_LIB)/pkgconfig' '$(DEST_INC)/kms'
	$(INSTALL) -m 644 $(PUBLIC_HEADERS) '$(DEST_INC)/kms'
	$(INSTALL) -m 644 $(STATIC) $(CONFORMANCE) '$(DEST_LIB)'
	$(INSTALL) -m 755 $(SHARED) '$(DEST_LIB)'
	ln -sf $(notdir $(SHARED)) '$(DEST_LIB)/$(SONAME)'
	ln -sf $(SONAME) '$(DEST_LIB)/libkms.so'
	$(INSTALL) -m 644 $(PC_FILES) '$(DEST_LIB)/pkgconfig'

uninstall:
	rm -f $(foreach h,$(notdir $(PUBLIC_HEADERS)),'$(DEST_INC)/kms/$(h)')
	rm -f $(foreach f,libkms.a libkms-conformance.a libkms.so $(SONAME) $(notdir $(SHARED)) \
	    pkgconfig/libkms.pc pkgconfig/libkms-conformance.pc,'$(DEST_LIB)/$(f)')
	[ ! -d '$(DEST_INC)/kms' ] || rmdir --ignore-fail-on-non-empty '$(DEST_INC)/kms'

# --- Upkeep -------------------------------------------------------------------------------------

FORMATTED := $(ALL_SOURCES) $(ALL_HEADERS) $(wildcard examples/*_backend/main.c scripts/*.h)

.PHONY: format check-format tidy symbols instructions clean distclean help FORCE
format:
	$(CLANG_FORMAT) -i $(FORMATTED)
check-format:
	$(CLANG_FORMAT) --dry-run --Werror $(FORMATTED)

tidy: $(patsubst %.c,$(BUILD)/obj/%.tidy,$(ALL_SOURCES))
$(BUILD)/obj/lib/base/status.tidy: TIDY_FLAGS =
$(BUILD)/obj/%.tidy: TIDY_FLAGS = -include scripts/analyzer.h -Wno-unused-value
# A test may fall over a null pointer, read numbers that it has written, call what it tests from a
# signal handler, compare structs byte for byte, run commands and draw repeatable numbers: that is
# reported as its failure.
TEST_TIDY_OFF := clang-analyzer-core.N* clang-analyzer-security.insecureAPI.strcpy \
                 clang-analyzer-optin.performance.Padding cert-err34-c cert-env33-c cert-msc30-c \
                 bugprone-signal-handler bugprone-suspicious-memory-comparison
comma := ,
$(BUILD)/obj/tests/%.tidy: TIDY_CHECKS = --checks=$(subst $() ,$(comma),$(addprefix -,$(TEST_TIDY_OFF)))
$(BUILD)/obj/tests/conformance/%.tidy: TIDY_CHECKS =
$(BUILD)/obj/%.tidy: %.c .clang-tidy $(ALL_HEADERS) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,TIDY)$(CLANG_TIDY) --quiet $(TIDY_CHECKS) $< -- -std=c11 -D_GNU_SOURCE -pthread $(FEATURES) \
	    $(INCLUDES) $(TIDY_FLAGS)
	@touch $@

# The list of exported names is kept under version control: this writes it anew from the headers.
symbols:
	scripts/public-symbols --map >lib/libkms.map.new
	mv lib/libkms.map.new lib/libkms.map

# So are the instructions of warm calls, for tests/check_instructions.sh.
instructions: bench-programs
	{ sed -n '/^#/p' bench/instructions.txt; KMS_BUILD='$(BUILD)' scripts/count-instructions; } >bench/instructions.new
	mv bench/instructions.new bench/instructions.txt

clean:
	rm -rf $(BUILD)
distclean: clean
	rm -rf config.mk config.log config.status configure configure~ aclocal.m4 autom4te.cache

help:
	@echo 'all             the static, the shared and the conformance library, in $(BUILD)/'
	@echo 'quickstart      the main job on real data; installs what it needs (as root)'
	@echo 'check           every test; installs what it needs (as root). TESTS="test_blob_damage" runs'
	@echo '                a few, VECTORS=dir finds Wycheproof, KMS_TEST_BACKEND=lmdb picks the engine'
	@echo 'check-asan      the test programs under the address and undefined-behaviour sanitizers'
	@echo 'check-valgrind  the test programs under valgrind'
	@echo 'bench           measures it against bare primitives and bare commits; installs what it needs.'
	@echo '                BENCH_ARGS="--quick --only=hot" for less; results in BENCH_JSON=build/bench.json'
	@echo 'bench-pages     draws docs/img/ and writes the tables of docs/performance.md from these results'
	@echo 'bench-peers     measures it against OpenSSL, SoftHSM2, libmongocrypt and pgcrypto; installs them.'
	@echo '                Results in PEERS_JSON=build/bench-peers.json; bench-peers-pages writes its tables'
	@echo 'tests examples  build the test programs, the example programs'
	@echo 'install         DESTDIR=, PREFIX=, LIBDIR=, INCLUDEDIR= say where; uninstall removes it'
	@echo 'format          rewrite the sources with clang-format; check-format only looks'
	@echo 'tidy            static analysis with clang-tidy'
	@echo 'symbols         write lib/libkms.map anew after a change of the public functions'
	@echo 'instructions    write bench/instructions.txt anew, the instructions of a warm call'
	@echo 'clean distclean remove what was built; and what ./configure wrote'
	@echo
	@echo 'WITH_LMDB, WITH_LIBCRYPTO = yes, no or auto; WERROR=1 makes warnings errors; CC, CFLAGS,'
	@echo 'LDFLAGS, BUILD as usual; V=1 shows every command.'

FORCE:
