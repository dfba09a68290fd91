/*
 * What the bare C clients have in common: their command line, the request they send, the byte
 * count of the answer they expect, and the one line of JSON they end with. No I/O loop lives
 * here: the loops are what is being compared.
 */
#ifndef BENCHMARK_CLIENT_H
#define BENCHMARK_CLIENT_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

struct client_options {
	struct sockaddr_in address;
	const char *host;
	const char *path;
	uint32_t connection_count;
	uint32_t pipeline; /* requests written at once on a connection, 1...128 */
	uint64_t duration_ns;
	uint64_t request_count_max; /* 0: until the duration is over */
	double rate_hz;		    /* 0: closed loop */
	uint64_t spin_ns;	    /* rate mode: poll instead of sleeping this long before a send */
	int cpu;		    /* -1: where the scheduler likes */
};

struct client_result {
	const char *name;
	uint64_t started_ns;
	uint64_t ended_ns;
	uint64_t sent;
	uint64_t probes; /* requests before the load; client_result_begin says 1 */
	uint64_t received;
	uint64_t opened;
	uint64_t failed;
	uint64_t enter_calls;
	uint64_t response_ns_sum; /* rate mode: of (completed - scheduled) */
	uint64_t lag_ns_max;	  /* rate mode: latest start after its scheduled instant */
	uint64_t cpu_user_ns;
	uint64_t cpu_system_ns;
};

/* Reads the command line, pins the thread and raises RLIMIT_NOFILE; ends the process with
 * status 2 and a sentence on a bad argument.
 */
void client_options_read(struct client_options *options, int argc, char **argv);

/* Connected, TCP_NODELAY, blocking; -errno on failure. */
int client_connect(const struct client_options *options);

/* The bytes of `pipeline` equal GET requests, in one block that lives as long as the process. */
char *client_request(const struct client_options *options, size_t *byte_count);

/* The byte count of the answer whose first `have` bytes are here, a 0 behind them; 0 while its head
 * is incomplete. Ends the process as client_learn.
 */
size_t client_answer_byte_count(const char *bytes, size_t have);

/* Sends one request on a connection of its own and returns the byte count of the whole answer,
 * which every later answer must have too. Ends the process with status 1 when the answer is not
 * 200 or carries no Content-Length: then counting bytes cannot count responses.
 */
size_t client_learn(const struct client_options *options);

uint64_t client_now_ns(void); /* CLOCK_MONOTONIC */

void client_result_begin(struct client_result *result, const char *name);
void client_result_end(struct client_result *result);
void client_result_print(const struct client_result *result, const struct client_options *options,
			 size_t response_byte_count);

#endif
