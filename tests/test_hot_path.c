/*
 * A warm encrypt and decrypt of a field by alias allocate nothing, and enter the kernel only to
 * reseed the nonce generator and, on LMDB, to look once a second whether the store still stands.
 *
 * The allocator's functions are replaced here by counting ones. System calls are counted by a
 * seccomp filter that traps every one of them: the handler counts it and makes it itself, marked by
 * a sixth argument that lets it pass. A filter cannot be taken away again, and would break the
 * timer that Check runs in its tests; so what is measured runs in a process of its own, which
 * leaves without any of the library's or libc's clean-up.
 */
#include "base/fork.h"
#include "crypto/aead.h"
#include "crypto/generator.h"
#include "crypto/message_keys.h"
#include "support/lmdb_trial.h"
#include "support/plain_main.h"

#include <errno.h>
#include <kms/kms.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* Halves of nonces that beginning a run takes. */
#define BEGINNING 2
#define NONCES_A_SEED (KMS__GENERATOR_RESEED / KMS__NONCE_SIZE)
#define FIELD 64
/* Beyond what libsodium does of suite 2: libcrypto's part. */
#define DOCUMENT 4096
#define CALLS_KNOWN 600

/* --- What is counted -------------------------------------------------------------------------- */

/* Shared with the process that measures. */
typedef struct tally {
    unsigned long messages;
    unsigned long allocations;
    unsigned long frees;
    unsigned long calls[CALLS_KNOWN];
    long milliseconds;
    bool not_permitted;
    bool done;
    char failure[600];
} tally;

static tally *shared;
static volatile bool counting;

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&       \
    (defined(__x86_64__) || defined(__aarch64__))
#define CAN_COUNT 1

/* glibc's own functions, by the names under which it keeps them for this purpose. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

#define REPLACES __attribute__((visibility("default"), used))

static void count_allocation(void)
{
    if (counting)
        shared->allocations++;
}

REPLACES void *malloc(size_t size)
{
    count_allocation();
    return __libc_malloc(size);
}

REPLACES void *calloc(size_t count, size_t size)
{
    count_allocation();
    return __libc_calloc(count, size);
}

REPLACES void *realloc(void *block, size_t size)
{
    count_allocation();
    return __libc_realloc(block, size);
}

REPLACES void *memalign(size_t alignment, size_t size)
{
    count_allocation();
    return __libc_memalign(alignment, size);
}

REPLACES void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

REPLACES int posix_memalign(void **block, size_t alignment, size_t size)
{
    *block = memalign(alignment, size);
    return *block != NULL ? 0 : ENOMEM;
}

REPLACES void free(void *block)
{
    if (counting && block != NULL)
        shared->frees++;
    __libc_free(block);
}

/* --- The filter ------------------------------------------------------------------------------- */

#define PASS 0x6b6d7370u

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
static void arguments_of(const mcontext_t *m, long arguments[5])
{
    static const int registers[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8};

    for (size_t i = 0; i < 5; i++)
        arguments[i] = (long)m->gregs[registers[i]];
}
static void set_result(mcontext_t *m, long result)
{
    m->gregs[REG_RAX] = result;
}
#else
#define THIS_ARCH AUDIT_ARCH_AARCH64
static void arguments_of(const mcontext_t *m, long arguments[5])
{
    for (size_t i = 0; i < 5; i++)
        arguments[i] = (long)m->regs[i];
}
static void set_result(mcontext_t *m, long result)
{
    m->regs[0] = (unsigned long)result;
}
#endif

/* What takes six arguments fails: nothing of the kind may come, and it is counted. */
static void on_trap(int signal_number, siginfo_t *info, void *context)
{
    mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
    int saved = errno, number = info->si_syscall;
    long a[5], result;

    (void)signal_number;
    if (number >= 0 && number < CALLS_KNOWN)
        shared->calls[number]++;
    arguments_of(machine, a);
    result = syscall(number, a[0], a[1], a[2], a[3], a[4], (long)PASS);
    set_result(machine, result == -1 ? -errno : result);
    errno = saved;
}

static bool set_filter(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 0, 6),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 3, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PASS, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

    return sigaction(SIGSYS, &action, NULL) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

#else
#define CAN_COUNT 0
static bool set_filter(void)
{
    return false;
}
#endif

/* --- The process that measures ---------------------------------------------------------------- */

static void leave(const char *failure) __attribute__((noreturn));
static void leave(const char *failure)
{
    counting = false;
    if (failure != NULL)
        snprintf(shared->failure, sizeof shared->failure, "%s: %s", failure, kms_error_message());
    shared->done = failure == NULL;
    for (;;)
        syscall(SYS_exit_group, 0);
}

/* From here on everything is counted. */
static void begin_to_count(void)
{
    if (!set_filter()) {
        shared->not_permitted = true;
        leave("the filter");
    }
    counting = true;
}

typedef void measured(const void *argument);

/* Runs body in a process of its own; false: this cannot be measured here. */
static bool measure(measured *body, const void *argument)
{
    pid_t pid;

    if (!CAN_COUNT || trial_is_watched()) {
        trial_skip("counting allocations and system calls",
                   "only natively, with glibc on x86-64 or ARM64");
        return false;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        body(argument);
        leave(NULL);
    }
    ck_assert_int_eq(trial_wait(pid), 0);
    if (shared->not_permitted) {
        trial_skip("counting allocations and system calls", "seccomp is not permitted here");
        return false;
    }
    ck_assert_msg(shared->done, "%s", shared->failure);
    return true;
}

/* --- What is measured ------------------------------------------------------------------------- */

typedef struct subject {
    /* NULL: in memory. */
    const char *path;
    kms_suite suite;
    size_t size;
    /* Goes on until both are reached. */
    unsigned long messages;
    long milliseconds;
} subject;

static long now_ms(void)
{
    struct timespec now;

    /* Read without entering the kernel, as the library reads it. */
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static kms_status open_subject(const subject *s, kms_store **store)
{
    static const uint8_t root_key[KMS_ROOT_KEY_SIZE] = {1};
    kms_backend *engine;
    kms_root *root;
    kms_status st;

    if (s->path == NULL)
        return kms_open_memory(store);
    st = kms_lmdb_backend(&engine, s->path, NULL);
    if (st == KMS_OK)
        st = kms_root_raw(&root, root_key, sizeof root_key);
    return st == KMS_OK ? kms_open(store, engine, root, KMS_OPEN_CREATE, NULL) : st;
}

static kms_store *warm_store(const subject *s)
{
    kms_create_key_options options = KMS_CREATE_KEY_OPTIONS_INIT;
    char key_id[KMS_KEY_ID_SIZE];
    kms_store *store;

    options.suite = s->suite;
    if (open_subject(s, &store) != KMS_OK ||
        kms_ensure_alias(store, "alias/MyAppKey", &options, key_id) != KMS_OK)
        leave("a store");
    return store;
}

/* One field, there and back: with a context every second time. */
static void round_trip(kms_store *store, size_t size, unsigned long number)
{
    static const kms_context_pair pairs[] = {{"table", "customers"}, {"column", "ssn"}};
    static const kms_context context = {pairs, 2};
    const kms_context *given = number % 2 == 0 ? NULL : &context;
    static uint8_t plain[DOCUMENT], blob[KMS_CIPHERTEXT_SIZE(DOCUMENT)], opened[DOCUMENT];
    size_t len;

    plain[0] = (uint8_t)number;
    if (kms_encrypt(store, "alias/MyAppKey", given, plain, size, blob, sizeof blob, &len) != KMS_OK)
        leave("encrypting");
    if (kms_decrypt(store, given, blob, len, opened, sizeof opened, &len) != KMS_OK)
        leave("decrypting");
    if (len != size || memcmp(opened, plain, size) != 0)
        leave("another plaintext");
    shared->messages++;
}

static void many_round_trips(const void *argument)
{
    const subject *s = argument;
    kms_store *store = warm_store(s);
    long start;

    /* Both paths, with and without a context. */
    for (unsigned long i = 0; i < 4; i++)
        round_trip(store, s->size, i);
    shared->messages = 0;
    begin_to_count();
    start = now_ms();
    while (shared->messages < s->messages || now_ms() - start < s->milliseconds)
        round_trip(store, s->size, shared->messages);
    shared->milliseconds = now_ms() - start;
}

static unsigned long take_calls(long number)
{
    unsigned long made = shared->calls[number];

    shared->calls[number] = 0;
    return made;
}

static unsigned long take_stats(void)
{
    unsigned long made = take_calls(SYS_newfstatat) + take_calls(SYS_statx);

#ifdef SYS_stat
    made += take_calls(SYS_stat);
#endif
    return made;
}

static void nothing_else_was_called(void)
{
    for (int number = 0; number < CALLS_KNOWN; number++)
        ck_assert_msg(shared->calls[number] == 0, "system call %d was made %lu times", number,
                      shared->calls[number]);
}

/* Half a nonce a message, and a whole one more for each run. */
static bool seals_in_runs(const subject *s)
{
    return kms__fork_init() == KMS_OK && s->suite == KMS_SUITE_AES_256_GCM &&
           kms__message_key_serves(s->size);
}

static void is_quiet(const subject *s)
{
    unsigned long seeds, looks, seconds;

    if (s->suite == KMS_SUITE_AES_256_GCM && !kms__suite_available(s->suite)) {
        trial_skip("the hot path of suite 2", "this build has no AES-256-GCM");
        return;
    }
    if (!measure(many_round_trips, s))
        return;
    ck_assert_uint_eq(shared->allocations, 0);
    ck_assert_uint_eq(shared->frees, 0);
    seeds = take_calls(SYS_getrandom);
    if (seals_in_runs(s)) {
        ck_assert_uint_ge(seeds, shared->messages / (2 * NONCES_A_SEED));
        ck_assert_uint_le(seeds, shared->messages / (2 * NONCES_A_SEED - BEGINNING) + 1);
    } else {
        ck_assert_uint_ge(seeds, shared->messages / NONCES_A_SEED);
        ck_assert_uint_le(seeds, shared->messages / NONCES_A_SEED + 1);
    }
    seconds = (unsigned long)shared->milliseconds / 1000;
    looks = take_stats();
    ck_assert_uint_ge(looks, s->path == NULL ? 0 : 2);
    ck_assert_uint_le(looks, s->path == NULL ? 0 : 2 * (seconds + 1));
    nothing_else_was_called();
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void one_of_each(const void *argument)
{
    void *volatile block;

    (void)argument;
    begin_to_count();
    block = malloc(1);
    free(block);
    block = NULL;
    if (posix_memalign((void **)&block, 64, 64) != 0)
        leave("memory");
    block = realloc(block, 100);
    (void)syscall(SYS_getppid);
    (void)syscall(SYS_getppid);
}

START_TEST(test_the_counters_count)
{
    if (!measure(one_of_each, NULL))
        return;
    ck_assert_uint_eq(shared->allocations, 3);
    ck_assert_uint_eq(shared->frees, 1);
    ck_assert_uint_eq(take_calls(SYS_getppid), 2);
    nothing_else_was_called();
}
END_TEST

START_TEST(test_memory_suite_1)
{
    is_quiet(&(subject){NULL, KMS_SUITE_XCHACHA20_POLY1305, FIELD, 100 * NONCES_A_SEED, 0});
}
END_TEST

START_TEST(test_memory_suite_2)
{
    is_quiet(&(subject){NULL, KMS_SUITE_AES_256_GCM, FIELD, 100 * NONCES_A_SEED, 0});
}
END_TEST

START_TEST(test_memory_suite_2_of_a_document)
{
    is_quiet(&(subject){NULL, KMS_SUITE_AES_256_GCM, DOCUMENT, 20 * NONCES_A_SEED, 0});
}
END_TEST

#if KMS_HAVE_LMDB
START_TEST(test_lmdb_suite_1)
{
    is_quiet(&(subject){trial_path("hot"), KMS_SUITE_XCHACHA20_POLY1305, FIELD, 1, 2200});
}
END_TEST

START_TEST(test_lmdb_suite_2)
{
    is_quiet(&(subject){trial_path("hot"), KMS_SUITE_AES_256_GCM, FIELD, 1, 2200});
}
END_TEST
#endif

int main(void)
{
    const TTest *const tests[] = {
        test_the_counters_count,
        test_memory_suite_1,
        test_memory_suite_2,
        test_memory_suite_2_of_a_document,
#if KMS_HAVE_LMDB
        test_lmdb_suite_1,
        test_lmdb_suite_2,
#endif
    };

#if KMS_HAVE_LMDB
    return trial_main("hot_path", tests, sizeof tests / sizeof tests[0]);
#else
    return plain_main("hot_path", tests, sizeof tests / sizeof tests[0]);
#endif
}
