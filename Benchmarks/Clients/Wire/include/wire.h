/*
 * The loop of the floors over TLS and HTTP/2: a closed loop on epoll that counts nothing but whole
 * answers. What is spoken is the caller's.
 */
#ifndef BENCHMARK_WIRE_H
#define BENCHMARK_WIRE_H

#include "client.h"

#include <sys/types.h>

struct wire {
	const char *name;
	uint64_t probes;
	/* The bytes that `count` requests can become at most, and what goes with them. */
	size_t (*request_byte_count_max)(uint32_t count);
	/* State of a connection that has just been made, still blocking. Ends the process on failure. */
	void *(*begin)(const struct client_options *options, int fd);
	/* Writes what is to be sent for `count` more requests; 0 bytes for none is possible. */
	size_t (*request)(void *state, uint32_t count, uint8_t *into);
	/* Takes bytes, which it may overwrite; returns how many answers they end, or -1 when the peer
	 * said what no answer is.
	 */
	ssize_t (*take)(void *state, uint8_t *bytes, size_t count);
};

/* Runs the load and prints the line of JSON. The status of the process. */
int wire_run(const struct wire *wire, const struct client_options *options,
	     size_t response_byte_count);

#endif
