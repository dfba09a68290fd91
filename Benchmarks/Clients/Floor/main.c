/*
 * The floor: the least CPU an io_uring HTTP/1.1 client can spend on a request. It has the shape of
 * a real engine (one ring, one thread, direct descriptors, multishot receive into provided buffers,
 * sends without completions, one io_uring_enter a turn) and nothing else: answers are counted by
 * their bytes, nothing is parsed, nothing is kept per request.
 */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SQ_ENTRIES = 4096, BUFFER_GROUP = 1, DRAIN_NS = 1000000000 };

struct connection {
	uint64_t scheduled_ns;
	size_t byte_count; /* of the answers not complete yet */
	bool busy;
};

struct loop {
	struct io_uring ring;
	struct io_uring_buf_ring *buffers;
	char *buffer_bytes;
	uint32_t buffer_count, buffer_byte_count;
	struct connection *connections;
	uint32_t *idle, idle_count; /* rate mode: connections with nothing in flight */
	const char *request;
	size_t request_byte_count, batch_byte_count;
	uint64_t in_flight;
	uint64_t count_max;
	bool sending; /* until the duration is over */
	struct client_options options;
	struct client_result result;
};

/* user_data: the connection's index, with the top bit set for a send that failed (one that
 * succeeds posts nothing).
 */
#define SEND_TOKEN (UINT64_C(1) << 63)

static void fail(const char *what, int error)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(error < 0 ? -error : error));
	exit(1);
}

static inline bool may_send(const struct loop *loop)
{
	return loop->sending && loop->result.sent < loop->count_max;
}

static struct io_uring_sqe *next_sqe(struct loop *loop)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);

	while (!sqe) {
		int submitted = io_uring_submit(&loop->ring);

		loop->result.enter_calls++;
		if (submitted < 0 && submitted != -EAGAIN && submitted != -EBUSY)
			fail("submit", submitted);
		sqe = io_uring_get_sqe(&loop->ring);
	}
	return sqe;
}

static void arm(struct loop *loop, uint32_t index)
{
	struct io_uring_sqe *sqe = next_sqe(loop);

	io_uring_prep_recv_multishot(sqe, (int)index, NULL, 0, 0);
	sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUFFER_GROUP;
	io_uring_sqe_set_data64(sqe, index);
}

static void send_request(struct loop *loop, uint32_t index)
{
	struct io_uring_sqe *sqe = next_sqe(loop);

	io_uring_prep_send(sqe, (int)index, loop->request, loop->request_byte_count,
			   MSG_NOSIGNAL | MSG_WAITALL);
	sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
	io_uring_sqe_set_data64(sqe, SEND_TOKEN | index);
	loop->connections[index].busy = true;
	loop->in_flight += loop->options.pipeline;
	loop->result.sent += loop->options.pipeline;
}

/* Connects outside the ring: opening is not what is measured here. */
static void open_connection(struct loop *loop, uint32_t index)
{
	int fd = client_connect(&loop->options);
	int updated;

	if (fd < 0)
		fail("connect", fd);
	updated = io_uring_register_files_update(&loop->ring, index, &fd, 1);
	if (updated != 1)
		fail("register a socket", updated);
	close(fd);
	loop->connections[index] = (struct connection){0};
	loop->result.opened++;
	arm(loop, index);
}

static void prepare_ring(struct loop *loop, size_t response_byte_count)
{
	uint32_t count = loop->options.connection_count;
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
		.cq_entries = 4 * SQ_ENTRIES > 2 * count ? 4 * SQ_ENTRIES : 2 * count};
	struct io_uring_buf_reg registration = {.bgid = BUFFER_GROUP};
	int error;

	if (loop->options.spin_ns)
		params.flags |= IORING_SETUP_TASKRUN_FLAG;
	error = io_uring_queue_init_params(SQ_ENTRIES, &loop->ring, &params);
	if (error)
		fail("io_uring_setup", error);
	error = io_uring_register_ring_fd(&loop->ring);
	if (error != 1)
		fail("register the ring", error);
	error = io_uring_register_files_sparse(&loop->ring, count);
	if (error)
		fail("register the file table", error);

	loop->buffer_byte_count = response_byte_count * loop->options.pipeline > 2048 ? 16384 : 2048;
	loop->buffer_count = loop->buffer_byte_count > 2048 ? 256 : 1024;
	loop->buffer_bytes = mmap(NULL, (size_t)loop->buffer_count * loop->buffer_byte_count,
				  PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	loop->buffers = mmap(NULL, loop->buffer_count * sizeof(struct io_uring_buf),
			     PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (loop->buffer_bytes == MAP_FAILED || loop->buffers == MAP_FAILED)
		fail("map the buffers", errno);
	registration.ring_addr = (uintptr_t)loop->buffers;
	registration.ring_entries = loop->buffer_count;
	error = io_uring_register_buf_ring(&loop->ring, &registration, 0);
	if (error)
		fail("register the buffer ring", error);
	io_uring_buf_ring_init(loop->buffers);
	for (uint32_t i = 0; i < loop->buffer_count; i++)
		io_uring_buf_ring_add(loop->buffers,
				      loop->buffer_bytes + (size_t)i * loop->buffer_byte_count,
				      loop->buffer_byte_count, (unsigned short)i,
				      io_uring_buf_ring_mask(loop->buffer_count), (int)i);
	io_uring_buf_ring_advance(loop->buffers, (int)loop->buffer_count);
}

/* The kernel has ended or refused something on this connection: it is replaced, and what was in
 * flight on it is counted as failed.
 */
static void replace(struct loop *loop, uint32_t index)
{
	bool was_busy = loop->connections[index].busy;

	if (was_busy) {
		loop->result.failed += loop->options.pipeline;
		loop->in_flight -= loop->options.pipeline;
	}
	open_connection(loop, index);
	if (!was_busy)
		return;
	if (loop->options.rate_hz > 0)
		loop->idle[loop->idle_count++] = index;
	else if (may_send(loop))
		send_request(loop, index);
}

static inline void answered(struct loop *loop, uint32_t index, uint64_t now_ns)
{
	loop->connections[index].busy = false;
	loop->in_flight -= loop->options.pipeline;
	loop->result.received += loop->options.pipeline;
	if (loop->options.rate_hz > 0) {
		loop->result.response_ns_sum += now_ns - loop->connections[index].scheduled_ns;
		loop->idle[loop->idle_count++] = index;
	} else if (may_send(loop)) {
		send_request(loop, index);
	}
}

/* Handles every completion that is here; one clock reading serves them all. */
static void handle(struct loop *loop, uint64_t now_ns)
{
	struct io_uring_cqe *cqe;
	unsigned head, seen = 0;
	int recycled = 0;
	int mask = io_uring_buf_ring_mask(loop->buffer_count);

	io_uring_for_each_cqe(&loop->ring, head, cqe) {
		uint32_t index = (uint32_t)cqe->user_data;
		struct connection *connection = &loop->connections[index];

		seen++;
		if (cqe->user_data & SEND_TOKEN) {
			replace(loop, index);
			continue;
		}
		if (cqe->flags & IORING_CQE_F_BUFFER) {
			unsigned short id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

			io_uring_buf_ring_add(loop->buffers,
					      loop->buffer_bytes +
						      (size_t)id * loop->buffer_byte_count,
					      loop->buffer_byte_count, id, mask, recycled++);
		}
		if (cqe->res > 0) {
			connection->byte_count += (size_t)cqe->res;
			if (connection->byte_count >= loop->batch_byte_count) {
				connection->byte_count -= loop->batch_byte_count;
				answered(loop, index, now_ns);
			}
		} else if (cqe->res != -ENOBUFS) {
			replace(loop, index);
			continue;
		}
		if (!(cqe->flags & IORING_CQE_F_MORE))
			arm(loop, index);
	}
	io_uring_buf_ring_cq_advance(&loop->ring, loop->buffers, recycled);
	if (seen > (unsigned)recycled)
		io_uring_cq_advance(&loop->ring, seen - (unsigned)recycled);
}

/* One syscall: submits what is queued and waits for a completion, at most until `until_ns`. */
static void turn(struct loop *loop, uint64_t now_ns, uint64_t until_ns)
{
	uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	struct __kernel_timespec time = {.tv_sec = (int64_t)(wait_ns / 1000000000),
					 .tv_nsec = (int64_t)(wait_ns % 1000000000)};
	struct io_uring_cqe *cqe;
	int submitted = io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &time, NULL);

	loop->result.enter_calls++;
	if (submitted < 0 && submitted != -ETIME && submitted != -EINTR && submitted != -EAGAIN)
		fail("io_uring_enter", submitted);
}

/* Polls without a syscall until a completion or a flagged piece of task work is here. */
static void spin(struct loop *loop, uint64_t until_ns)
{
	if (io_uring_sq_ready(&loop->ring)) {
		io_uring_submit(&loop->ring);
		loop->result.enter_calls++;
	}
	while (client_now_ns() < until_ns) {
		if (IO_URING_READ_ONCE(*loop->ring.sq.kflags) & IORING_SQ_TASKRUN) {
			io_uring_get_events(&loop->ring);
			loop->result.enter_calls++;
		}
		if (io_uring_cq_ready(&loop->ring))
			return;
	}
}

/* Releases what is due, the oldest first; what finds no idle connection stays due. Returns the
 * instant of the next send. offset(k) = k / rate in closed form: no error adds up.
 */
static uint64_t release(struct loop *loop, uint64_t now_ns)
{
	double gap_ns = 1e9 / loop->options.rate_hz;

	for (;;) {
		uint64_t due_ns =
			loop->result.started_ns + (uint64_t)((double)loop->result.sent * gap_ns);
		uint32_t index;

		if (due_ns > now_ns)
			return due_ns;
		if (loop->idle_count == 0 || !may_send(loop))
			return UINT64_MAX;
		index = loop->idle[--loop->idle_count];
		loop->connections[index].scheduled_ns = due_ns;
		if (now_ns - due_ns > loop->result.lag_ns_max)
			loop->result.lag_ns_max = now_ns - due_ns;
		send_request(loop, index);
	}
}

static void run(struct loop *loop)
{
	uint64_t now_ns, end_ns, last_ns;

	client_result_begin(&loop->result, "floor");
	now_ns = loop->result.started_ns;
	loop->sending = true;
	loop->count_max = loop->options.request_count_max;
	if (loop->count_max == 0)
		loop->count_max = UINT64_MAX;
	end_ns = now_ns + loop->options.duration_ns;
	last_ns = end_ns + DRAIN_NS;
	if (loop->options.rate_hz == 0)
		for (uint32_t i = 0; i < loop->options.connection_count; i++)
			if (may_send(loop))
				send_request(loop, i);
	while (may_send(loop) || (loop->in_flight > 0 && now_ns < last_ns)) {
		uint64_t until_ns = may_send(loop) ? end_ns : last_ns;

		if (may_send(loop) && loop->options.rate_hz > 0) {
			uint64_t due_ns = release(loop, now_ns);

			if (due_ns < until_ns)
				until_ns = due_ns;
		}
		if (loop->options.spin_ns && until_ns < end_ns) {
			if (until_ns > now_ns + loop->options.spin_ns)
				turn(loop, now_ns, until_ns - loop->options.spin_ns);
			else
				spin(loop, until_ns);
		} else {
			turn(loop, now_ns, until_ns);
		}
		now_ns = client_now_ns();
		loop->sending = now_ns < end_ns;
		handle(loop, now_ns);
	}
	client_result_end(&loop->result);
}

int main(int argc, char **argv)
{
	static struct loop loop;
	size_t response_byte_count;

	client_options_read(&loop.options, argc, argv);
	response_byte_count = client_learn(&loop.options);
	loop.request = client_request(&loop.options, &loop.request_byte_count);
	loop.batch_byte_count = response_byte_count * loop.options.pipeline;
	loop.connections = calloc(loop.options.connection_count, sizeof(*loop.connections));
	loop.idle = calloc(loop.options.connection_count, sizeof(*loop.idle));
	if (!loop.connections || !loop.idle)
		fail("memory", ENOMEM);
	prepare_ring(&loop, response_byte_count);
	for (uint32_t i = 0; i < loop.options.connection_count; i++) {
		open_connection(&loop, i);
		loop.idle[loop.idle_count++] = i;
	}
	run(&loop);
	client_result_print(&loop.result, &loop.options, response_byte_count);
	return 0;
}
