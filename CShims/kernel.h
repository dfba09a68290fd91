#ifndef SQUALL_KERNEL_H
#define SQUALL_KERNEL_H

#include "CSquall.h"

/*
 * What ring.c asks of the kernel. uring.c is io_uring's answer, epoll.c that of hosts which forbid
 * io_uring or lack it. Each has a struct that begins with squall_ring.
 */

struct squall_kernel {
	/* A ring without buffers, or NULL with the cause in `failure`. */
	squall_ring *(*create)(const struct squall_ring_options *options,
			       struct squall_failure *failure);
	void (*destroy)(squall_ring *ring);
	int32_t (*enter)(squall_ring *ring, uint64_t deadline_ns);
	bool (*has_work)(squall_ring *ring);
	/* Tells squall_ring_arrived of each completion that has a buffer. */
	uint32_t (*take)(squall_ring *ring, struct squall_completion *into, uint32_t capacity);
	/* Lets arrivals be put into these bytes, under this number. */
	void (*lend)(squall_ring *ring, uint16_t id, void *bytes, uint32_t byte_count);
	int32_t (*connect)(squall_ring *ring, uint32_t slot, const struct squall_address *peer,
			   const struct squall_address *source, uint64_t token);
	int32_t (*adopt)(squall_ring *ring, uint32_t slot, int32_t fd, uint64_t token);
	void (*queue)(squall_ring *ring, const struct squall_operation *operation);
};

extern const struct squall_kernel squall_kernel_uring;
extern const struct squall_kernel squall_kernel_epoll;

#define LOCAL_PORT_RANGE 51 /* IP_LOCAL_PORT_RANGE of linux/in.h, Linux 6.3 */
/* Settings of every socket, where an operation in the ring may read them. */
extern const int32_t squall_one;
extern const int32_t squall_any_port;

/* The part of a ring that every kernel interface has. */
struct squall_ring {
	const struct squall_kernel *kernel;
	uint64_t call_count;
	bool is_behind;
	bool waits_absolutely;
	bool connects_in_ring;

	bool lends_large;
	bool *is_large; /* by id: its last loan was of a large one */
	uint8_t *buffers;
	uint8_t *large_buffers; /* takes memory once they are lent */
	uint32_t buffer_count;
	uint32_t buffer_bytes;
	uint32_t large_count;
	uint32_t large_bytes;
};

/* An arrival of so many bytes that filled its buffer is what makes the next ones large. */
static inline void squall_ring_arrived(squall_ring *ring, int32_t byte_count)
{
	if (byte_count == (int32_t)ring->buffer_bytes)
		ring->lends_large = ring->large_count > 0;
}

/* A socket as squall_ring_connect describes it, not connected yet, or -errno. */
int32_t squall_ring_socket(squall_ring *ring, int32_t flags, const struct squall_address *peer,
			   const struct squall_address *source);

static inline void squall_failure_set(struct squall_failure *failure, const char *call,
				      int32_t error)
{
	failure->call = call;
	failure->error = error;
}

#endif
