/* A PostgreSQL for the time of the run: its cluster is in the scratch folder, its socket too, and nobody
 * else can connect. */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

/* Makes the cluster and starts it, as the user postgres where this is root. Gives NULL, or the sentence
 * why there is none. It stops when the program ends. */
const char *server_start(void);

/* What it and initdb said, on standard error. */
void server_print_log(void);

/* What libpq is to connect with. */
const char *server_connection(void);

#endif
