#define _GNU_SOURCE
#include "kernel.h"

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

_Static_assert(SQUALL_HAS_BUFFER == IORING_CQE_F_BUFFER && SQUALL_HAS_MORE == IORING_CQE_F_MORE,
	       "flags are handed out as they come");

/* Constants that liburing 2.3 does not have yet, from linux/io_uring.h. */
#define ENTER_ABS_TIMER (1u << 5) /* Linux 6.12 */
#define OP_URING_CMD 46           /* Linux 5.19 */
#define OP_BIND 56                /* Linux 6.11 */
#define SOCKET_OP_SETSOCKOPT 3    /* Linux 6.7 */

#define BUFFER_GROUP 0
#define CONNECT_CHAIN_LENGTH 6
#define WAITING_COUNT_FIRST 64

struct uring {
	struct squall_ring ring; /* first: a pointer to one is a pointer to the other */
	struct io_uring io;
	struct io_uring_buf_ring *lent;
	uint32_t lent_capacity;
	uint32_t lent_count; /* added to `lent`, not yet shown to the kernel */
	/* What the submission queue has no room for, oldest first. */
	struct io_uring_sqe *waiting;
	uint32_t waiting_start;
	uint32_t waiting_end;
	uint32_t waiting_capacity;
};

static int32_t enter(struct uring *uring, uint32_t wait_count, uint32_t flags, void *argument,
		     size_t argument_bytes)
{
	struct io_uring_sq *sq = &uring->io.sq;
	uint32_t count = sq->sqe_tail - *sq->ktail;

	/* The array maps each index to itself (see create), so publishing is one store. */
	if (count > 0)
		__atomic_store_n(sq->ktail, sq->sqe_tail, __ATOMIC_RELEASE);
	sq->sqe_head = sq->sqe_tail;

	if (uring->lent_count > 0) {
		io_uring_buf_ring_advance(uring->lent, (int)uring->lent_count);
		uring->lent_count = 0;
	}

	uring->ring.call_count++;
	long result = syscall(__NR_io_uring_enter, uring->io.enter_ring_fd,
			      sq->sqe_tail - *sq->khead, wait_count,
			      flags | IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING,
			      argument, argument_bytes);
	return result < 0 ? -errno : 0;
}

/* ---- entries ---- */

static bool is_behind(const struct uring *uring)
{
	return uring->waiting_end > 0 || io_uring_sq_ready(&uring->io) > 0;
}

/* Moves what waits into the queue as far as it has room. A chain goes whole: one submission must
 * have all of it. */
static void refill(struct uring *uring)
{
	while (uring->waiting_start < uring->waiting_end) {
		const struct io_uring_sqe *chain = uring->waiting + uring->waiting_start;
		uint32_t count = 1;
		while (chain[count - 1].flags & IOSQE_IO_LINK)
			count++;
		if (io_uring_sq_space_left(&uring->io) < count)
			return;
		for (uint32_t index = 0; index < count; index++)
			*io_uring_get_sqe(&uring->io) = chain[index];
		uring->waiting_start += count;
	}
	uring->waiting_start = 0;
	uring->waiting_end = 0;
}

static struct io_uring_sqe *wait_behind(struct uring *uring)
{
	if (uring->waiting_end == uring->waiting_capacity) {
		uint32_t capacity = uring->waiting_capacity > 0 ? 2 * uring->waiting_capacity
								: WAITING_COUNT_FIRST;
		uring->waiting = realloc(uring->waiting, capacity * sizeof(*uring->waiting));
		if (uring->waiting == NULL)
			abort();
		uring->waiting_capacity = capacity;
	}
	return &uring->waiting[uring->waiting_end++];
}

/* Makes room for a chain of `count` entries. What finds none waits. */
static inline void reserve(struct uring *uring, uint32_t count)
{
	if (uring->waiting_end == 0 && io_uring_sq_space_left(&uring->io) >= count)
		return;
	enter(uring, 0, 0, NULL, 0);
	refill(uring);
}

/* The next of `left` entries that were reserved. */
static inline struct io_uring_sqe *next(struct uring *uring, uint32_t left)
{
	struct io_uring_sqe *sqe = NULL;

	if (uring->waiting_end == 0 && io_uring_sq_space_left(&uring->io) >= left)
		sqe = io_uring_get_sqe(&uring->io);
	return sqe != NULL ? sqe : wait_behind(uring);
}

static void queue(squall_ring *ring, const struct squall_operation *operation)
{
	/* Disconnecting a connected socket sends RST (connect(2): AF_UNSPEC dissolves the
	 * association), without the SO_LINGER that takes 6.7 on a registered file. */
	static const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	struct uring *uring = (struct uring *)ring;
	int file = operation->file;
	uint8_t flags = (operation->kind < SQUALL_CANCEL ? IOSQE_FIXED_FILE : 0) |
			(operation->is_silent ? IOSQE_CQE_SKIP_SUCCESS : 0);

	reserve(uring, 1);
	struct io_uring_sqe *sqe = next(uring, 1);
	switch (operation->kind) {
	case SQUALL_RECEIVE:
		io_uring_prep_recv_multishot(sqe, file, NULL, 0, 0);
		sqe->buf_group = BUFFER_GROUP;
		flags |= IOSQE_BUFFER_SELECT;
		break;
	case SQUALL_SEND:
		/* MSG_WAITALL: the kernel goes on after a short send, or fails the request. */
		io_uring_prep_send(sqe, file, operation->bytes, operation->byte_count,
				   MSG_NOSIGNAL | MSG_WAITALL);
		break;
	case SQUALL_SEND_NOW:
		/* MSG_WAITALL makes a short send a failure, which is what breaks the silence. */
		io_uring_prep_send(sqe, file, operation->bytes, operation->byte_count,
				   MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT);
		break;
	case SQUALL_AWAIT_ROOM:
		io_uring_prep_poll_add(sqe, file, POLLOUT);
		break;
	case SQUALL_FINISH:
		io_uring_prep_shutdown(sqe, file, SHUT_WR);
		break;
	case SQUALL_RESET:
		io_uring_prep_connect(sqe, file, &nobody, sizeof(nobody));
		break;
	case SQUALL_CANCEL:
		io_uring_prep_cancel64(sqe, operation->target, 0);
		break;
	case SQUALL_CLOSE:
		io_uring_prep_close_direct(sqe, (unsigned)file);
		break;
	case SQUALL_ACCEPT:
		io_uring_prep_multishot_accept_direct(sqe, file, NULL, NULL, 0);
		break;
	case SQUALL_READ:
		io_uring_prep_read(sqe, file, (void *)(uintptr_t)operation->bytes,
				   operation->byte_count, (uint64_t)-1);
		break;
	case SQUALL_WRITE:
		io_uring_prep_write(sqe, file, operation->bytes, operation->byte_count,
				    (uint64_t)-1);
		break;
	}
	sqe->flags |= flags;
	io_uring_sqe_set_data64(sqe, operation->token); /* prep leaves the last tenant's in place */
}

/* ---- connecting ---- */

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
static int32_t open_socket(struct uring *uring, uint32_t slot, const struct squall_address *peer,
			   const struct squall_address *source)
{
	/* A close of the slot that is still queued must not hit the new socket. */
	enter(uring, 0, 0, NULL, 0);
	refill(uring);
	if (is_behind(uring))
		return -EBUSY;

	int fd = squall_ring_socket(&uring->ring, 0, peer, source);
	if (fd < 0)
		return fd;

	int32_t result = io_uring_register_files_update(&uring->io, slot, &fd, 1);
	close(fd);
	uring->ring.call_count += 2;
	return result < 0 ? result : 0;
}

static int32_t connect_slot(squall_ring *ring, uint32_t slot, const struct squall_address *peer,
			    const struct squall_address *source, uint64_t token)
{
	struct uring *uring = (struct uring *)ring;
	uint32_t left = CONNECT_CHAIN_LENGTH;
	struct io_uring_sqe *sqe;

	if (ring->connects_in_ring) {
		int family = ((const struct sockaddr *)peer->bytes)->sa_family;
		bool is_tcp = family != AF_UNIX;
		reserve(uring, left);
		sqe = next(uring, left--);
		io_uring_prep_socket_direct(sqe, family, SOCK_STREAM, is_tcp ? IPPROTO_TCP : 0,
					    slot, 0);
		link_silently(sqe, 0, token);
		if (is_tcp) {
			sqe = next(uring, left--);
			set_option(sqe, slot, IPPROTO_TCP, TCP_NODELAY, &squall_one);
			link_silently(sqe, IOSQE_FIXED_FILE, token);
			sqe = next(uring, left--);
			set_option(sqe, slot, IPPROTO_IP, LOCAL_PORT_RANGE, &squall_any_port);
			link_silently(sqe, IOSQE_FIXED_FILE, token);
		}
		if (source != NULL) {
			sqe = next(uring, left--);
			set_option(sqe, slot, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &squall_one);
			link_silently(sqe, IOSQE_FIXED_FILE, token);
			sqe = next(uring, left--);
			io_uring_prep_rw(OP_BIND, sqe, (int)slot, source->bytes, 0,
					 source->byte_count);
			link_silently(sqe, IOSQE_FIXED_FILE, token);
		}
	} else {
		int32_t result = open_socket(uring, slot, peer, source);
		if (result < 0)
			return result;
		reserve(uring, 1);
	}
	sqe = next(uring, 1);
	io_uring_prep_connect(sqe, (int)slot, (const struct sockaddr *)peer->bytes,
			      peer->byte_count);
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data64(sqe, token);
	return 0;
}

static int32_t adopt_slot(squall_ring *ring, uint32_t slot, int32_t fd, uint64_t token)
{
	struct uring *uring = (struct uring *)ring;

	int32_t result = io_uring_register_files_update(&uring->io, slot, &fd, 1);
	ring->call_count++;
	if (result < 0)
		return result;
	reserve(uring, 1);
	struct io_uring_sqe *sqe = next(uring, 1);
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data64(sqe, token);
	return 0;
}

/* ---- turns ---- */

static int32_t wait_until(squall_ring *ring, uint64_t deadline_ns)
{
	struct uring *uring = (struct uring *)ring;
	int32_t result;

	if (uring->waiting_end > 0) {
		enter(uring, 0, 0, NULL, 0);
		refill(uring);
		if (uring->waiting_end > 0)
			deadline_ns = 0;
	}
	if (deadline_ns == 0 || io_uring_cq_ready(&uring->io) > 0) {
		result = enter(uring, 0, 0, NULL, 0);
	} else if (deadline_ns == UINT64_MAX) {
		result = enter(uring, 1, 0, NULL, 0);
	} else {
		/* struct io_uring_getevents_arg: sigmask, sigmask_sz, min_wait_usec, ts. */
		uint64_t wait[3] = { 0 };
		uint32_t flags = IORING_ENTER_EXT_ARG;

		if (ring->waits_absolutely) {
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
		result = enter(uring, 1, flags, wait, sizeof(wait));
	}
	ring->is_behind = is_behind(uring);
	/* EBUSY and EAGAIN: completions must be taken before more is submitted; the
	 * entries stay queued for the next enter. */
	if (result == -ETIME || result == -EINTR || result == -EBUSY || result == -EAGAIN)
		return 0;
	return result;
}

static bool has_work(squall_ring *ring)
{
	struct uring *uring = (struct uring *)ring;

	return io_uring_cq_ready(&uring->io) > 0 ||
	       (__atomic_load_n(uring->io.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN) != 0;
}

static uint32_t take(squall_ring *ring, struct squall_completion *into, uint32_t capacity)
{
	struct io_uring_cq *cq = &((struct uring *)ring)->io.cq;
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
		if (cqe->flags & IORING_CQE_F_BUFFER)
			squall_ring_arrived(ring, cqe->res);
	}
	io_uring_smp_store_release(cq->khead, head + count);
	return count;
}

static void lend(squall_ring *ring, uint16_t id, void *bytes, uint32_t byte_count)
{
	struct uring *uring = (struct uring *)ring;

	io_uring_buf_ring_add(uring->lent, bytes, byte_count, id, (int)uring->lent_capacity - 1,
			      (int)uring->lent_count);
	uring->lent_count++;
}

/* ---- setting up ---- */

static void destroy(squall_ring *ring)
{
	struct uring *uring = (struct uring *)ring;

	io_uring_queue_exit(&uring->io);
	if (uring->lent != NULL)
		munmap(uring->lent, uring->lent_capacity * sizeof(struct io_uring_buf));
	free(uring->waiting);
	free(uring);
}

static bool register_buffers(struct uring *uring, uint32_t capacity,
			     struct squall_failure *failure)
{
	void *memory = mmap(NULL, capacity * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		squall_failure_set(failure, "mmap", ENOMEM);
		return false;
	}
	uring->lent = memory;
	uring->lent_capacity = capacity;

	struct io_uring_buf_reg registration = {
		.ring_addr = (uint64_t)(uintptr_t)memory,
		.ring_entries = capacity,
		.bgid = BUFFER_GROUP,
	};
	int result = io_uring_register_buf_ring(&uring->io, &registration, 0);
	if (result < 0) {
		squall_failure_set(failure, "io_uring_register(PBUF_RING)", -result);
		return false;
	}
	io_uring_buf_ring_init(uring->lent);
	return true;
}

/* Tries the operations on a throw-away socket: a kernel may lack them at any version. */
static void probe(struct uring *uring)
{
	uint8_t wait[24] = { 0 };
	struct __kernel_timespec past = { 0, 1 };
	uint64_t past_address = (uint64_t)(uintptr_t)&past;

	memcpy(wait + 16, &past_address, sizeof(past_address));
	uring->ring.waits_absolutely = enter(uring, 1, IORING_ENTER_EXT_ARG | ENTER_ABS_TIMER,
					     wait, sizeof(wait)) == -ETIME;

	/* OP_BIND came with 6.11, socket options with 6.7: the later implies the earlier. */
	struct io_uring_probe *supported = io_uring_get_probe_ring(&uring->io);
	if (supported != NULL) {
		uring->ring.connects_in_ring =
			OP_BIND <= supported->last_op &&
			(supported->ops[OP_BIND].flags & IO_URING_OP_SUPPORTED);
		io_uring_free_probe(supported);
	}
}

static squall_ring *create(const struct squall_ring_options *options,
			   struct squall_failure *failure)
{
	struct uring *uring = calloc(1, sizeof(*uring));
	if (uring == NULL) {
		squall_failure_set(failure, "calloc", ENOMEM);
		return NULL;
	}

	/* SUBMIT_ALL: an entry that the kernel refuses completes with its error, and those behind it
	 * are taken all the same. */
	struct io_uring_params parameters = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_TASKRUN_FLAG |
			 IORING_SETUP_SUBMIT_ALL,
		.cq_entries = options->completion_count,
	};
	int result = io_uring_queue_init_params(options->submission_count, &uring->io,
						&parameters);
	if (result < 0) {
		squall_failure_set(failure, "io_uring_setup", -result);
		free(uring);
		return NULL;
	}
	for (uint32_t index = 0; index < parameters.sq_entries; index++)
		uring->io.sq.array[index] = index;

	result = io_uring_register_ring_fd(&uring->io);
	if (result < 0) {
		squall_failure_set(failure, "io_uring_register(RING_FDS)", -result);
		goto broken;
	}
	result = io_uring_register_files_sparse(&uring->io, options->file_count);
	if (result < 0) {
		squall_failure_set(failure, "io_uring_register(FILES2)", -result);
		goto broken;
	}
	if (options->buffer_count > 0 && !register_buffers(uring, options->buffer_count, failure))
		goto broken;
	probe(uring);
	return &uring->ring;

broken:
	destroy(&uring->ring);
	return NULL;
}

const struct squall_kernel squall_kernel_uring = {
	.create = create,
	.destroy = destroy,
	.enter = wait_until,
	.has_work = has_work,
	.take = take,
	.lend = lend,
	.connect = connect_slot,
	.adopt = adopt_slot,
	.queue = queue,
};
