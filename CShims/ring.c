#define _GNU_SOURCE
#include "kernel.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

const int32_t squall_one = 1;
/* Lowest and highest port in the low and the high half, which the kernel cuts to the system's range
 * (ip(7)). A socket with a range of its own may take the next free port; without one the kernel
 * looks through every second port of the range first, each time anew, which costs half a
 * millisecond a connection once those are taken (__inet_hash_connect). */
const int32_t squall_any_port = (int32_t)(1u | 65535u << 16);

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

/* Forbidden, not there, or without what a ring of ours needs: waiting would not help. */
static bool is_refused(int32_t error)
{
	return error == EPERM || error == EACCES || error == ENOSYS || error == EINVAL ||
	       error == EOPNOTSUPP;
}

squall_ring *squall_ring_create(const struct squall_ring_options *options,
				struct squall_failure *failure)
{
	const struct squall_kernel *kernel = options->backend == SQUALL_BACKEND_EPOLL
						     ? &squall_kernel_epoll
						     : &squall_kernel_uring;
	squall_ring *ring = kernel->create(options, failure);
	if (ring == NULL && options->backend == SQUALL_BACKEND_AUTO && is_refused(failure->error)) {
		kernel = &squall_kernel_epoll;
		ring = kernel->create(options, failure);
	}
	if (ring == NULL)
		return NULL;

	ring->kernel = kernel;
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

enum squall_backend squall_ring_backend(const squall_ring *ring)
{
	return ring->kernel == &squall_kernel_epoll ? SQUALL_BACKEND_EPOLL : SQUALL_BACKEND_URING;
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

bool squall_ring_has_work(squall_ring *ring)
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

int32_t squall_ring_adopt(squall_ring *ring, uint32_t slot, int32_t fd, uint64_t token)
{
	return ring->kernel->adopt(ring, slot, fd, token);
}

void squall_ring_queue(squall_ring *ring, const struct squall_operation *operation)
{
	ring->kernel->queue(ring, operation);
}

int32_t squall_ring_socket(squall_ring *ring, int32_t flags, const struct squall_address *peer,
			   const struct squall_address *source)
{
	int family = ((const struct sockaddr *)peer->bytes)->sa_family;
	bool is_tcp = family != AF_UNIX;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, is_tcp ? IPPROTO_TCP : 0);
	ring->call_count++;
	if (fd < 0)
		return -errno;

	if (is_tcp) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &squall_one, sizeof(squall_one));
		setsockopt(fd, IPPROTO_IP, LOCAL_PORT_RANGE, &squall_any_port,
			   sizeof(squall_any_port));
		ring->call_count += 2;
	}
	if (source == NULL)
		return fd;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &squall_one, sizeof(squall_one));
	ring->call_count += 2;
	if (bind(fd, (const struct sockaddr *)source->bytes, source->byte_count) == 0)
		return fd;

	int32_t error = -errno;
	close(fd);
	ring->call_count++;
	return error;
}
