#define _GNU_SOURCE
#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

static uint8_t *map(size_t byte_count, int flags)
{
	void *bytes = mmap(NULL, byte_count, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	return bytes == MAP_FAILED ? NULL : bytes;
}

static bool add_buffers(squall_ring *ring, const struct squall_ring_options *options)
{
	ring->buffer_count = options->buffer_count;
	ring->buffer_bytes = options->buffer_bytes;
	ring->buffers = map((size_t)ring->buffer_count * ring->buffer_bytes, 0);
	if (ring->buffers == NULL)
		return false;
	if (options->large_buffer_count > 0) {
		ring->large_count = options->large_buffer_count;
		ring->large_bytes = options->large_buffer_bytes;
		ring->large_buffers = map((size_t)ring->large_count * ring->large_bytes,
					  MAP_NORESERVE);
		ring->is_large = calloc(ring->large_count, sizeof(*ring->is_large));
		if (ring->large_buffers == NULL || ring->is_large == NULL)
			return false;
	}
	for (uint32_t id = 0; id < ring->buffer_count; id++)
		squall_ring_recycle(ring, (uint16_t)id);
	return true;
}

squall_ring *squall_ring_create(const struct squall_ring_options *options,
				struct squall_failure *failure)
{
	squall_ring *ring = squall_kernel_uring.create(options, failure);
	if (ring == NULL)
		return NULL;

	ring->kernel = &squall_kernel_uring;
	if (options->buffer_count > 0 && !add_buffers(ring, options)) {
		squall_failure_set(failure, "mmap", ENOMEM);
		squall_ring_destroy(ring);
		return NULL;
	}
	return ring;
}

void squall_ring_destroy(squall_ring *ring)
{
	uint8_t *buffers = ring->buffers, *large_buffers = ring->large_buffers;
	size_t byte_count = (size_t)ring->buffer_count * ring->buffer_bytes;
	size_t large_byte_count = (size_t)ring->large_count * ring->large_bytes;

	free(ring->is_large);
	/* The kernel writes into the buffers until then. */
	ring->kernel->destroy(ring);
	if (buffers != NULL)
		munmap(buffers, byte_count);
	if (large_buffers != NULL)
		munmap(large_buffers, large_byte_count);
}

bool squall_ring_waits_absolutely(const squall_ring *ring)
{
	return ring->waits_absolutely;
}

bool squall_ring_connects_in_ring(const squall_ring *ring)
{
	return ring->connects_in_ring;
}

uint64_t squall_ring_call_count(const squall_ring *ring)
{
	return ring->call_count;
}

bool squall_ring_is_behind(const squall_ring *ring)
{
	return ring->is_behind;
}

int32_t squall_ring_enter(squall_ring *ring, uint64_t deadline_ns)
{
	return ring->kernel->enter(ring, deadline_ns);
}

bool squall_ring_has_work(const squall_ring *ring)
{
	return ring->kernel->has_work(ring);
}

uint32_t squall_ring_take(squall_ring *ring, struct squall_completion *into, uint32_t capacity)
{
	return ring->kernel->take(ring, into, capacity);
}

static uint8_t *buffer(const squall_ring *ring, uint16_t id)
{
	return id < ring->large_count && ring->is_large[id]
		       ? ring->large_buffers + (size_t)id * ring->large_bytes
		       : ring->buffers + (size_t)id * ring->buffer_bytes;
}

const void *squall_ring_buffer(const squall_ring *ring, uint16_t id)
{
	return buffer(ring, id);
}

void squall_ring_recycle(squall_ring *ring, uint16_t id)
{
	if (ring->lends_large && id >= ring->large_count)
		return;
	if (ring->lends_large)
		ring->is_large[id] = true;
	ring->kernel->lend(ring, id, buffer(ring, id),
			   ring->lends_large ? ring->large_bytes : ring->buffer_bytes);
}

int32_t squall_ring_connect(squall_ring *ring, uint32_t slot, const struct squall_address *peer,
			    const struct squall_address *source, uint64_t token)
{
	return ring->kernel->connect(ring, slot, peer, source, token);
}

void squall_ring_queue(squall_ring *ring, const struct squall_operation *operation)
{
	ring->kernel->queue(ring, operation);
}
