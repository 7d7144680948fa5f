/* The sections of the benchmark. Each makes its stores, measures its groups and cleans up. */
#ifndef BENCH_SECTIONS_H
#define BENCH_SECTIONS_H

#include "options.h"

/* Encrypting and decrypting one message, by suite, size, alias and key id. */
void bench_hot(const options *all);
/* Suite 2's short messages: what one writer wrote, and what many did. */
void bench_writers(const options *all);
/* The other calls that fields need. */
void bench_calls(const options *all);
/* Large messages. */
void bench_big(const options *all);
/* Streams and files. */
void bench_streams(const options *all);
/* One and two threads. */
void bench_threads(const options *all);
/* A reader while another process moves its alias. */
void bench_rotating(const options *all);
/* Changes, durable and in memory. */
void bench_admin(const options *all);
/* Stores of 10 to 1,000,000 keys. */
void bench_scaling(const options *all);

#endif
