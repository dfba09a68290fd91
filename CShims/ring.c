#define _GNU_SOURCE
#include "CSquall.h"

#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Constants that liburing 2.3 does not have yet, from linux/io_uring.h. */
#define ENTER_ABS_TIMER (1u << 5) /* Linux 6.12 */
#define OP_URING_CMD 46           /* Linux 5.19 */
#define OP_BIND 56                /* Linux 6.11 */
#define SOCKET_OP_SETSOCKOPT 3    /* Linux 6.7 */
#define LOCAL_PORT_RANGE 51       /* IP_LOCAL_PORT_RANGE of linux/in.h, Linux 6.3 */

#define BUFFER_GROUP 0
#define CONNECT_CHAIN_LENGTH 6

struct squall_ring {
	struct io_uring io;
	struct io_uring_buf_ring *buffer_ring;
	uint8_t *buffers;
	uint8_t *large_buffers; /* takes memory once they are lent */
	bool *is_large;         /* by id: its last loan was of a large one */
	uint64_t enter_count;
	uint32_t buffer_count;
	uint32_t buffer_bytes;
	uint32_t large_count;
	uint32_t large_bytes;
	uint32_t recycled; /* added to buffer_ring, not yet shown to the kernel */
	bool lends_large;
	bool has_absolute_wait;
	bool has_connect_chain;
};

static const int32_t one = 1;
/* Lowest and highest port in the low and the high half, which the kernel cuts to the system's range
 * (ip(7)). A socket with a range of its own may take the next free port; without one the kernel
 * looks through every second port of the range first, each time anew, which costs half a
 * millisecond a connection once those are taken (__inet_hash_connect). */
static const int32_t any_port = (int32_t)(1u | 65535u << 16);

static int32_t enter(squall_ring *ring, uint32_t wait_count, uint32_t flags, void *argument,
		     size_t argument_bytes)
{
	struct io_uring_sq *sq = &ring->io.sq;
	uint32_t count = sq->sqe_tail - *sq->ktail;

	/* The array maps each index to itself (see create), so publishing is one store. */
	if (count > 0)
		__atomic_store_n(sq->ktail, sq->sqe_tail, __ATOMIC_RELEASE);
	sq->sqe_head = sq->sqe_tail;

	if (ring->recycled > 0) {
		io_uring_buf_ring_advance(ring->buffer_ring, (int)ring->recycled);
		ring->recycled = 0;
	}

	ring->enter_count++;
	long result = syscall(__NR_io_uring_enter, ring->io.enter_ring_fd,
			      sq->sqe_tail - *sq->khead, wait_count,
			      flags | IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING,
			      argument, argument_bytes);
	return result < 0 ? -errno : 0;
}

/* Makes room for `count` entries in one submission, as a chain must not be cut. */
static bool has_room(squall_ring *ring, uint32_t count)
{
	if (io_uring_sq_space_left(&ring->io) < count)
		enter(ring, 0, 0, NULL, 0);
	return io_uring_sq_space_left(&ring->io) >= count;
}

/* The next entry, after has_room. */
static struct io_uring_sqe *next(squall_ring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->io);
	if (sqe == NULL)
		abort();
	return sqe;
}

static void fail(struct squall_failure *failure, const char *call, int32_t error)
{
	failure->call = call;
	failure->error = error;
}

static bool reserve_large_buffers(squall_ring *ring, const struct squall_ring_options *options,
				  struct squall_failure *failure)
{
	ring->large_count = options->large_buffer_count;
	ring->large_bytes = options->large_buffer_bytes;
	void *buffers = mmap(NULL, (size_t)ring->large_count * ring->large_bytes,
			     PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ring->large_buffers = buffers == MAP_FAILED ? NULL : buffers;
	ring->is_large = calloc(ring->large_count, sizeof(*ring->is_large));
	if (ring->large_buffers == NULL || ring->is_large == NULL) {
		fail(failure, "mmap", ENOMEM);
		return false;
	}
	return true;
}

static bool add_buffers(squall_ring *ring, const struct squall_ring_options *options,
			struct squall_failure *failure)
{
	size_t ring_bytes = options->buffer_count * sizeof(struct io_uring_buf);
	size_t buffer_bytes = (size_t)options->buffer_count * options->buffer_bytes;

	ring->buffer_count = options->buffer_count;
	ring->buffer_bytes = options->buffer_bytes;
	void *memory = mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	void *buffers = mmap(NULL, buffer_bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ring->buffer_ring = memory == MAP_FAILED ? NULL : memory;
	ring->buffers = buffers == MAP_FAILED ? NULL : buffers;
	if (ring->buffer_ring == NULL || ring->buffers == NULL) {
		fail(failure, "mmap", ENOMEM);
		return false;
	}
	if (options->large_buffer_count > 0 && !reserve_large_buffers(ring, options, failure))
		return false;

	struct io_uring_buf_reg registration = {
		.ring_addr = (uint64_t)(uintptr_t)ring->buffer_ring,
		.ring_entries = options->buffer_count,
		.bgid = BUFFER_GROUP,
	};
	int result = io_uring_register_buf_ring(&ring->io, &registration, 0);
	if (result < 0) {
		fail(failure, "io_uring_register(PBUF_RING)", -result);
		return false;
	}

	io_uring_buf_ring_init(ring->buffer_ring);
	for (uint32_t id = 0; id < options->buffer_count; id++)
		squall_ring_recycle(ring, (uint16_t)id);
	return true;
}

/* Tries the operations on a throw-away socket: a kernel may lack them at any version. */
static void probe(squall_ring *ring)
{
	uint8_t wait[24] = { 0 };
	struct __kernel_timespec past = { 0, 1 };
	uint64_t past_address = (uint64_t)(uintptr_t)&past;

	memcpy(wait + 16, &past_address, sizeof(past_address));
	ring->has_absolute_wait = enter(ring, 1, IORING_ENTER_EXT_ARG | ENTER_ABS_TIMER, wait,
					sizeof(wait)) == -ETIME;

	/* OP_BIND came with 6.11, socket options with 6.7: the later implies the earlier. */
	struct io_uring_probe *supported = io_uring_get_probe_ring(&ring->io);
	if (supported != NULL) {
		ring->has_connect_chain = OP_BIND <= supported->last_op &&
					  (supported->ops[OP_BIND].flags & IO_URING_OP_SUPPORTED);
		io_uring_free_probe(supported);
	}
}

squall_ring *squall_ring_create(const struct squall_ring_options *options,
				struct squall_failure *failure)
{
	squall_ring *ring = calloc(1, sizeof(*ring));
	if (ring == NULL) {
		fail(failure, "calloc", ENOMEM);
		return NULL;
	}

	struct io_uring_params parameters = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_TASKRUN_FLAG,
		.cq_entries = options->completion_count,
	};
	int result = io_uring_queue_init_params(options->submission_count, &ring->io, &parameters);
	if (result < 0) {
		fail(failure, "io_uring_setup", -result);
		free(ring);
		return NULL;
	}
	for (uint32_t index = 0; index < parameters.sq_entries; index++)
		ring->io.sq.array[index] = index;

	result = io_uring_register_ring_fd(&ring->io);
	if (result < 0) {
		fail(failure, "io_uring_register(RING_FDS)", -result);
		goto broken;
	}
	result = io_uring_register_files_sparse(&ring->io, options->file_count);
	if (result < 0) {
		fail(failure, "io_uring_register(FILES2)", -result);
		goto broken;
	}
	if (options->buffer_count > 0 && !add_buffers(ring, options, failure))
		goto broken;
	probe(ring);
	return ring;

broken:
	squall_ring_destroy(ring);
	return NULL;
}

void squall_ring_destroy(squall_ring *ring)
{
	io_uring_queue_exit(&ring->io);
	if (ring->buffer_ring != NULL)
		munmap(ring->buffer_ring, ring->buffer_count * sizeof(struct io_uring_buf));
	if (ring->buffers != NULL)
		munmap(ring->buffers, (size_t)ring->buffer_count * ring->buffer_bytes);
	if (ring->large_buffers != NULL)
		munmap(ring->large_buffers, (size_t)ring->large_count * ring->large_bytes);
	free(ring->is_large);
	free(ring);
}

bool squall_ring_waits_absolutely(const squall_ring *ring)
{
	return ring->has_absolute_wait;
}

bool squall_ring_connects_in_ring(const squall_ring *ring)
{
	return ring->has_connect_chain;
}

uint64_t squall_ring_enter_count(const squall_ring *ring)
{
	return ring->enter_count;
}

int32_t squall_ring_enter(squall_ring *ring, uint64_t deadline_ns)
{
	int32_t result;

	if (deadline_ns == 0 || io_uring_cq_ready(&ring->io) > 0) {
		result = enter(ring, 0, 0, NULL, 0);
	} else if (deadline_ns == UINT64_MAX) {
		result = enter(ring, 1, 0, NULL, 0);
	} else {
		/* struct io_uring_getevents_arg: sigmask, sigmask_sz, min_wait_usec, ts. */
		uint64_t wait[3] = { 0 };
		uint32_t flags = IORING_ENTER_EXT_ARG;

		if (ring->has_absolute_wait) {
			flags |= ENTER_ABS_TIMER;
		} else {
			uint64_t now_ns = squall_now_ns();
			deadline_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 1;
		}
		struct __kernel_timespec until = {
			.tv_sec = (int64_t)(deadline_ns / 1000000000),
			.tv_nsec = (long long)(deadline_ns % 1000000000),
		};
		wait[2] = (uint64_t)(uintptr_t)&until;
		result = enter(ring, 1, flags, wait, sizeof(wait));
	}
	/* EBUSY and EAGAIN: completions must be taken before more is submitted; the
	 * entries stay queued for the next enter. */
	if (result == -ETIME || result == -EINTR || result == -EBUSY || result == -EAGAIN)
		return 0;
	return result;
}

bool squall_ring_has_work(const squall_ring *ring)
{
	return io_uring_cq_ready(&ring->io) > 0 ||
	       (__atomic_load_n(ring->io.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN) != 0;
}

uint32_t squall_ring_take(squall_ring *ring, struct squall_completion *into, uint32_t capacity)
{
	struct io_uring_cq *cq = &ring->io.cq;
	uint32_t head = *cq->khead;
	uint32_t count = io_uring_smp_load_acquire(cq->ktail) - head;
	uint32_t mask = *cq->kring_mask;

	if (count > capacity)
		count = capacity;
	for (uint32_t index = 0; index < count; index++) {
		const struct io_uring_cqe *cqe = &cq->cqes[(head + index) & mask];
		into[index].token = cqe->user_data;
		into[index].result = cqe->res;
		into[index].flags = cqe->flags;
		if (cqe->res == (int32_t)ring->buffer_bytes && (cqe->flags & IORING_CQE_F_BUFFER))
			ring->lends_large = ring->large_count > 0;
	}
	io_uring_smp_store_release(cq->khead, head + count);
	return count;
}

const void *squall_ring_buffer(const squall_ring *ring, uint16_t id)
{
	return id < ring->large_count && ring->is_large[id]
		       ? ring->large_buffers + (size_t)id * ring->large_bytes
		       : ring->buffers + (size_t)id * ring->buffer_bytes;
}

void squall_ring_recycle(squall_ring *ring, uint16_t id)
{
	if (ring->lends_large && id >= ring->large_count)
		return;
	if (ring->lends_large)
		ring->is_large[id] = true;
	io_uring_buf_ring_add(ring->buffer_ring, (void *)squall_ring_buffer(ring, id),
			      ring->lends_large ? ring->large_bytes : ring->buffer_bytes, id,
			      (int)ring->buffer_count - 1, (int)ring->recycled);
	ring->recycled++;
}

static void set_option(struct io_uring_sqe *sqe, uint32_t slot, int32_t level, int32_t name,
		       const int32_t *setting)
{
	/* The SQE of SOCKET_URING_OP_SETSOCKOPT: cmd_op in off, level and optname in addr,
	 * optlen in file_index, optval in addr3. */
	uint64_t value = (uint64_t)(uintptr_t)setting;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = OP_URING_CMD;
	sqe->fd = (int32_t)slot;
	sqe->off = SOCKET_OP_SETSOCKOPT;
	sqe->addr = (uint32_t)level | (uint64_t)(uint32_t)name << 32;
	sqe->file_index = sizeof(*setting);
	memcpy((uint8_t *)sqe + 48, &value, sizeof(value));
}

static void link_silently(struct io_uring_sqe *sqe, uint8_t flags, uint64_t token)
{
	sqe->flags |= flags | IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
	io_uring_sqe_set_data64(sqe, token);
}

/* For kernels without the operations of the chain: the same with system calls. */
static int32_t open_socket(squall_ring *ring, uint32_t slot, const struct squall_address *peer,
			   const struct squall_address *source)
{
	int family = ((const struct sockaddr *)peer->bytes)->sa_family;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;

	/* A close of the slot that is still queued must not hit the new socket. */
	int32_t result = enter(ring, 0, 0, NULL, 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IP, LOCAL_PORT_RANGE, &any_port, sizeof(any_port));
	if (source != NULL) {
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(fd, (const struct sockaddr *)source->bytes, source->byte_count) < 0)
			result = -errno;
	}
	if (result == 0) {
		result = io_uring_register_files_update(&ring->io, slot, &fd, 1);
		result = result < 0 ? result : 0;
	}
	close(fd);
	return result;
}

int32_t squall_ring_connect(squall_ring *ring, uint32_t slot, const struct squall_address *peer,
			    const struct squall_address *source, uint64_t token)
{
	int family = ((const struct sockaddr *)peer->bytes)->sa_family;
	if (!has_room(ring, CONNECT_CHAIN_LENGTH))
		return -EBUSY;

	struct io_uring_sqe *sqe;
	if (ring->has_connect_chain) {
		sqe = next(ring);
		io_uring_prep_socket_direct(sqe, family, SOCK_STREAM, IPPROTO_TCP, slot, 0);
		link_silently(sqe, 0, token);
		sqe = next(ring);
		set_option(sqe, slot, IPPROTO_TCP, TCP_NODELAY, &one);
		link_silently(sqe, IOSQE_FIXED_FILE, token);
		sqe = next(ring);
		set_option(sqe, slot, IPPROTO_IP, LOCAL_PORT_RANGE, &any_port);
		link_silently(sqe, IOSQE_FIXED_FILE, token);
		if (source != NULL) {
			sqe = next(ring);
			set_option(sqe, slot, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one);
			link_silently(sqe, IOSQE_FIXED_FILE, token);
			sqe = next(ring);
			io_uring_prep_rw(OP_BIND, sqe, (int)slot, source->bytes, 0,
					 source->byte_count);
			link_silently(sqe, IOSQE_FIXED_FILE, token);
		}
		sqe = next(ring);
	} else {
		int32_t result = open_socket(ring, slot, peer, source);
		if (result < 0)
			return result;
		sqe = next(ring);
	}
	io_uring_prep_connect(sqe, (int)slot, (const struct sockaddr *)peer->bytes,
			      peer->byte_count);
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data64(sqe, token);
	return 0;
}

int32_t squall_ring_receive(squall_ring *ring, uint32_t slot, uint64_t token)
{
	if (!has_room(ring, 1))
		return -EBUSY;

	struct io_uring_sqe *sqe = next(ring);
	io_uring_prep_recv_multishot(sqe, (int)slot, NULL, 0, 0);
	sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUFFER_GROUP;
	io_uring_sqe_set_data64(sqe, token); /* prep leaves the last tenant's in place */
	return 0;
}

int32_t squall_ring_send(squall_ring *ring, uint32_t slot, const void *bytes, uint32_t byte_count,
			 bool silent, uint64_t token)
{
	if (!has_room(ring, 1))
		return -EBUSY;

	struct io_uring_sqe *sqe = next(ring);
	/* MSG_WAITALL: the kernel goes on after a short send, or fails the request. */
	io_uring_prep_send(sqe, (int)slot, bytes, byte_count, MSG_NOSIGNAL | MSG_WAITALL);
	sqe->flags |= IOSQE_FIXED_FILE | (silent ? IOSQE_CQE_SKIP_SUCCESS : 0);
	io_uring_sqe_set_data64(sqe, token);
	return 0;
}

int32_t squall_ring_send_now(squall_ring *ring, uint32_t slot, const void *bytes,
			     uint32_t byte_count, bool silent, uint64_t token)
{
	if (!has_room(ring, 1))
		return -EBUSY;

	struct io_uring_sqe *sqe = next(ring);
	/* MSG_WAITALL makes a short send a failure, which is what breaks the silence. */
	io_uring_prep_send(sqe, (int)slot, bytes, byte_count,
			   MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT);
	sqe->flags |= IOSQE_FIXED_FILE | (silent ? IOSQE_CQE_SKIP_SUCCESS : 0);
	io_uring_sqe_set_data64(sqe, token);
	return 0;
}

int32_t squall_ring_await_room(squall_ring *ring, uint32_t slot, uint64_t token)
{
	if (!has_room(ring, 1))
		return -EBUSY;

	struct io_uring_sqe *sqe = next(ring);
	io_uring_prep_poll_add(sqe, (int)slot, POLLOUT);
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data64(sqe, token);
	return 0;
}

int32_t squall_ring_finish(squall_ring *ring, uint32_t slot, uint64_t token)
{
	if (!has_room(ring, 1))
		return -EBUSY;

	struct io_uring_sqe *sqe = next(ring);
	io_uring_prep_shutdown(sqe, (int)slot, SHUT_WR);
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data64(sqe, token);
	return 0;
}

int32_t squall_ring_reset(squall_ring *ring, uint32_t slot, uint64_t token)
{
	/* Disconnecting a connected socket sends RST (connect(2): AF_UNSPEC dissolves the
	 * association), without the SO_LINGER that takes 6.7 on a registered file. */
	static const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	if (!has_room(ring, 1))
		return -EBUSY;

	struct io_uring_sqe *sqe = next(ring);
	io_uring_prep_connect(sqe, (int)slot, &nobody, sizeof(nobody));
	sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
	io_uring_sqe_set_data64(sqe, token);
	return 0;
}

int32_t squall_ring_cancel(squall_ring *ring, uint64_t target, uint64_t token)
{
	if (!has_room(ring, 1))
		return -EBUSY;

	struct io_uring_sqe *sqe = next(ring);
	io_uring_prep_cancel64(sqe, target, 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	io_uring_sqe_set_data64(sqe, token);
	return 0;
}

int32_t squall_ring_close(squall_ring *ring, uint32_t slot, uint64_t token)
{
	if (!has_room(ring, 1))
		return -EBUSY;

	struct io_uring_sqe *sqe = next(ring);
	io_uring_prep_close_direct(sqe, slot);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	io_uring_sqe_set_data64(sqe, token);
	return 0;
}

int32_t squall_ring_accept(squall_ring *ring, int32_t listener, uint64_t token)
{
	if (!has_room(ring, 1))
		return -EBUSY;

	struct io_uring_sqe *sqe = next(ring);
	io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
	io_uring_sqe_set_data64(sqe, token);
	return 0;
}

int32_t squall_ring_read(squall_ring *ring, int32_t fd, void *bytes, uint32_t byte_count,
			 uint64_t token)
{
	if (!has_room(ring, 1))
		return -EBUSY;

	struct io_uring_sqe *sqe = next(ring);
	io_uring_prep_read(sqe, fd, bytes, byte_count, (uint64_t)-1);
	io_uring_sqe_set_data64(sqe, token);
	return 0;
}

int32_t squall_ring_write(squall_ring *ring, int32_t fd, const void *bytes, uint32_t byte_count,
			  uint64_t token)
{
	if (!has_room(ring, 1))
		return -EBUSY;

	struct io_uring_sqe *sqe = next(ring);
	io_uring_prep_write(sqe, fd, bytes, byte_count, (uint64_t)-1);
	io_uring_sqe_set_data64(sqe, token);
	return 0;
}
