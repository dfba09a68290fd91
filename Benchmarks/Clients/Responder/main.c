/*
 * A target faster than any client: keep-alive GETs answered from memory on io_uring, one process a
 * CPU on one port (SO_REUSEPORT), every request counted, its arrival stamped when asked. It is the
 * judge of the clients' claims, so what it counts is one complete request head received.
 *
 *   GET /           13 bytes            GET /?size=N    N bytes, up to 1 MiB
 *   GET /count      what was counted so far, over all processes; not itself counted
 *
 * GET only, on purpose: a request with a body, or a head over 8 KiB, closes the connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	SQ_ENTRIES = 4096,
	SLOT_COUNT_MAX = 32768,
	BUFFER_GROUP = 1,
	BUFFER_COUNT = 1024,
	BUFFER_BYTE_COUNT = 4096,
	HEAD_BYTE_COUNT_MAX = 8192,
	BODY_BYTE_COUNT_MAX = 1 << 20,
	ANSWER_COUNT = 64,
	COPY_COUNT = 64,
	/* Answers up to here leave without a completion of their own: they fit any send buffer. */
	QUIET_BYTE_COUNT_MAX = 16384,
	QUEUE_LENGTH = 64,
	PROCESS_COUNT_MAX = 64,
};

enum operation { ACCEPT, RECEIVE, SEND, QUIET_SEND, CLOSE };

struct answer {
	size_t body_byte_count, byte_count, copy_count;
	bool keep_alive_field; /* HTTP/1.0 clients need to be told */
	bool close;
	char *bytes; /* `copy_count` times the answer */
};

struct queued {
	const struct answer *answer;
	uint32_t count;
};

struct connection {
	char *carry; /* an incomplete head, allocated when first needed */
	uint32_t carry_byte_count;
	uint16_t generation;
	bool open, sending, finishing, closing;
	uint8_t queue_length;
	struct queued *queue;
};

struct delayed {
	uint64_t due_ns;
	uint32_t slot;
	uint16_t generation;
	struct queued queued;
};

/* A cache line a process, in memory that all of them see. */
struct counters {
	_Alignas(64) uint64_t requests;
	uint64_t bytes_received;
	uint64_t accepted;
	uint64_t closed;
	uint64_t enter_calls;
};

struct options {
	uint16_t port;
	int cpus[PROCESS_COUNT_MAX], cpu_count;
	uint64_t delay_ns, stall_every, stall_ns;
	const char *arrivals_path;
	uint64_t arrivals_max;
	bool spin;
};

static struct options options = {.arrivals_max = 1 << 20};
static struct counters *counters; /* [PROCESS_COUNT_MAX] */
static struct counters *mine;
static struct answer answers[ANSWER_COUNT];
static uint32_t answer_count;
static uint32_t slot_count = SLOT_COUNT_MAX; /* the kernel holds it below RLIMIT_NOFILE */
static struct connection *connections;
static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static char *buffer_bytes;
static struct delayed *delayed;
static uint32_t delayed_head, delayed_tail, delayed_mask;
static uint64_t *arrivals; /* [0] is the count, nanoseconds of CLOCK_MONOTONIC follow */
static volatile sig_atomic_t stopped;

static void fail(const char *what, int error)
{
	fprintf(stderr, "responder: %s: %s\n", what, strerror(error < 0 ? -error : error));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t token(enum operation operation, uint16_t generation, uint32_t slot)
{
	return (uint64_t)operation << 48 | (uint64_t)generation << 32 | slot;
}

static struct io_uring_sqe *next_sqe(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	while (!sqe) {
		io_uring_submit(&ring);
		mine->enter_calls++;
		sqe = io_uring_get_sqe(&ring);
	}
	return sqe;
}

static void arm_receive(uint32_t slot)
{
	struct io_uring_sqe *sqe = next_sqe();

	io_uring_prep_recv_multishot(sqe, (int)slot, NULL, 0, 0);
	sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUFFER_GROUP;
	io_uring_sqe_set_data64(sqe, token(RECEIVE, connections[slot].generation, slot));
}

static void close_slot(uint32_t slot)
{
	struct connection *connection = &connections[slot];
	struct io_uring_sqe *sqe;

	if (connection->sending) {
		connection->closing = true;
		return;
	}
	connection->open = false;
	connection->generation++;
	sqe = next_sqe();
	io_uring_prep_close_direct(sqe, slot);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	io_uring_sqe_set_data64(sqe, token(CLOSE, 0, slot));
	mine->closed++;
}

/* The peer learns of the close once it has read everything: a shutdown, and then its own end. The
 * kernel runs a shutdown on a thread of its own and looks the slot up only there, so the slot must
 * not be given to another connection before it completes: it counts as a send.
 */
static void shut_down(uint32_t slot)
{
	struct connection *connection = &connections[slot];
	struct io_uring_sqe *sqe;

	if (connection->sending) {
		connection->finishing = true;
		return;
	}
	connection->finishing = false;
	connection->sending = true;
	sqe = next_sqe();
	io_uring_prep_shutdown(sqe, (int)slot, SHUT_WR);
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data64(sqe, token(SEND, connection->generation, slot));
}

static void send_now(uint32_t slot, struct queued queued)
{
	struct connection *connection = &connections[slot];
	const struct answer *answer = queued.answer;

	while (queued.count > 0) {
		uint32_t count =
			queued.count < answer->copy_count ? queued.count : answer->copy_count;
		size_t byte_count = answer->byte_count * count;
		bool quiet = byte_count <= QUIET_BYTE_COUNT_MAX;
		struct io_uring_sqe *sqe;

		if (connection->sending) {
			if (!connection->queue)
				connection->queue = calloc(QUEUE_LENGTH, sizeof(struct queued));
			if (!connection->queue || connection->queue_length == QUEUE_LENGTH) {
				connection->closing = true;
				return;
			}
			connection->queue[connection->queue_length++] = queued;
			return;
		}
		sqe = next_sqe();
		io_uring_prep_send(sqe, (int)slot, answer->bytes, byte_count,
				   MSG_NOSIGNAL | MSG_WAITALL);
		sqe->flags |= IOSQE_FIXED_FILE;
		if (quiet)
			sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
		io_uring_sqe_set_data64(
			sqe, token(quiet ? QUIET_SEND : SEND, connection->generation, slot));
		connection->sending = !quiet;
		queued.count -= count;
	}
	if (answer->close)
		shut_down(slot);
}

static void answer_with(uint32_t slot, struct queued queued, uint64_t now)
{
	if (options.delay_ns == 0) {
		send_now(slot, queued);
		return;
	}
	/* One delay for all, so the queue stays in the order of its deadlines. */
	delayed[delayed_tail++ & delayed_mask] =
		(struct delayed){.due_ns = now + options.delay_ns,
				 .slot = slot,
				 .generation = connections[slot].generation,
				 .queued = queued};
	if (delayed_tail - delayed_head > delayed_mask)
		fail("more delayed answers than the queue holds", ENOBUFS);
}

static void send_delayed(uint64_t now)
{
	while (delayed_head != delayed_tail) {
		struct delayed *next = &delayed[delayed_head & delayed_mask];

		if (next->due_ns > now)
			return;
		delayed_head++;
		if (connections[next->slot].open &&
		    connections[next->slot].generation == next->generation)
			send_now(next->slot, next->queued);
	}
}

/* ---- answers ---- */

static const struct answer *make_answer(size_t body_byte_count, bool keep_alive_field, bool close)
{
	static const char hello[] = "Hello, World!";
	struct answer *answer;
	char head[256];
	int head_byte_count;

	for (uint32_t i = 0; i < answer_count; i++)
		if (answers[i].body_byte_count == body_byte_count &&
		    answers[i].keep_alive_field == keep_alive_field && answers[i].close == close)
			return &answers[i];
	if (answer_count == ANSWER_COUNT)
		return NULL;
	answer = &answers[answer_count++];
	head_byte_count = snprintf(head, sizeof(head),
				   "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%s\r\n",
				   body_byte_count,
				   close	      ? "Connection: close\r\n"
				   : keep_alive_field ? "Connection: keep-alive\r\n"
						      : "");
	answer->body_byte_count = body_byte_count;
	answer->keep_alive_field = keep_alive_field;
	answer->close = close;
	answer->byte_count = (size_t)head_byte_count + body_byte_count;
	answer->copy_count = close ? 1 : QUIET_BYTE_COUNT_MAX / answer->byte_count;
	if (answer->copy_count > COPY_COUNT)
		answer->copy_count = COPY_COUNT;
	if (answer->copy_count == 0)
		answer->copy_count = 1;
	answer->bytes = malloc(answer->byte_count * answer->copy_count);
	if (!answer->bytes)
		fail("memory", ENOMEM);
	for (size_t i = 0; i < answer->copy_count; i++) {
		char *at = answer->bytes + i * answer->byte_count;

		memcpy(at, head, (size_t)head_byte_count);
		for (size_t j = 0; j < body_byte_count; j++)
			at[(size_t)head_byte_count + j] = hello[j % 13];
	}
	return answer;
}

/* Blocking is fine: nobody asks for the count while a measurement is under way but a judge. */
static const struct answer *count_answer(void)
{
	static struct answer answer = {.copy_count = 1};
	static char bytes[512];
	char body[256];
	struct counters sum = {0};
	int body_byte_count;

	for (int i = 0; i < PROCESS_COUNT_MAX; i++) {
		sum.requests += __atomic_load_n(&counters[i].requests, __ATOMIC_RELAXED);
		sum.bytes_received +=
			__atomic_load_n(&counters[i].bytes_received, __ATOMIC_RELAXED);
		sum.accepted += __atomic_load_n(&counters[i].accepted, __ATOMIC_RELAXED);
		sum.closed += __atomic_load_n(&counters[i].closed, __ATOMIC_RELAXED);
	}
	body_byte_count = snprintf(
		body, sizeof(body),
		"{\"requests\":%llu,\"bytes_received\":%llu,\"accepted\":%llu,\"open\":%llu}\n",
		(unsigned long long)sum.requests, (unsigned long long)sum.bytes_received,
		(unsigned long long)sum.accepted, (unsigned long long)(sum.accepted - sum.closed));
	answer.byte_count = (size_t)snprintf(bytes, sizeof(bytes),
					     "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s",
					     body_byte_count, body);
	answer.bytes = bytes;
	return &answer;
}

/* The answer to one head of `byte_count` bytes that ends in an empty line; NULL for what this
 * server does not speak.
 */
static const struct answer *parse(const char *head, size_t byte_count, bool *counted)
{
	char copy[HEAD_BYTE_COUNT_MAX + 1];
	size_t body_byte_count = 13;
	bool old, close, keep;
	char *target_end;

	memcpy(copy, head, byte_count);
	copy[byte_count] = '\0';
	*counted = true;
	if (strncmp(copy, "GET /", 5) != 0)
		return NULL;
	if (strncmp(copy + 4, "/count ", 7) == 0) {
		*counted = false;
		return count_answer();
	}
	if (strncmp(copy + 4, "/?size=", 7) == 0)
		body_byte_count = strtoull(copy + 11, NULL, 10);
	if (body_byte_count > BODY_BYTE_COUNT_MAX || strcasestr(copy, "\r\ncontent-length:"))
		return NULL;
	target_end = strchr(copy + 4, ' ');
	old = target_end && strncmp(target_end, " HTTP/1.0\r\n", 11) == 0;
	close = strcasestr(copy, "\r\nconnection: close\r\n") != NULL;
	keep = strcasestr(copy, "\r\nconnection: keep-alive\r\n") != NULL;
	return make_answer(body_byte_count, old && keep, close || (old && !keep));
}

/* The whole of a load is usually one request repeated: its bytes and its answer. */
static char last_head[1024];
static size_t last_head_byte_count;
static const struct answer *last_answer;

static void arrived(uint64_t now)
{
	mine->requests++;
	if (arrivals && arrivals[0] < options.arrivals_max)
		arrivals[++arrivals[0]] = now;
	if (options.stall_every && mine->requests % options.stall_every == 0) {
		struct timespec stall = {.tv_sec = (time_t)(options.stall_ns / 1000000000),
					 .tv_nsec = (long)(options.stall_ns % 1000000000)};

		nanosleep(&stall, NULL);
	}
}

/* Consumes every complete head in the bytes; returns how many bytes those were, or -1 when the
 * connection speaks something else.
 */
static ssize_t consume(uint32_t slot, const char *bytes, size_t byte_count, uint64_t now)
{
	struct queued run = {0};
	size_t used = 0;

	while (used < byte_count) {
		const char *head = bytes + used;
		size_t left = byte_count - used, length;
		const struct answer *answer;
		bool counted = true;

		if (last_answer && left >= last_head_byte_count &&
		    memcmp(head, last_head, last_head_byte_count) == 0) {
			answer = last_answer;
			length = last_head_byte_count;
		} else {
			const char *end = memmem(head, left, "\r\n\r\n", 4);

			if (!end)
				break;
			length = (size_t)(end - head) + 4;
			if (length > HEAD_BYTE_COUNT_MAX)
				return -1;
			answer = parse(head, length, &counted);
			if (!answer)
				return -1;
			if (counted && length <= sizeof(last_head)) {
				memcpy(last_head, head, length);
				last_head_byte_count = length;
				last_answer = answer;
			}
		}
		used += length;
		if (counted)
			arrived(now);
		if (run.count > 0 && run.answer != answer) {
			answer_with(slot, run, now);
			run.count = 0;
		}
		run.answer = answer;
		run.count++;
	}
	if (run.count > 0)
		answer_with(slot, run, now);
	return (ssize_t)used;
}

static bool received(uint32_t slot, const char *bytes, size_t byte_count, uint64_t now)
{
	struct connection *connection = &connections[slot];
	ssize_t used;

	mine->bytes_received += byte_count;
	if (connection->carry_byte_count > 0) {
		if (connection->carry_byte_count + byte_count >
		    HEAD_BYTE_COUNT_MAX + BUFFER_BYTE_COUNT)
			return false;
		memcpy(connection->carry + connection->carry_byte_count, bytes, byte_count);
		byte_count += connection->carry_byte_count;
		bytes = connection->carry;
	}
	used = consume(slot, bytes, byte_count, now);
	if (used < 0)
		return false;
	if ((size_t)used < byte_count) {
		if (!connection->carry)
			connection->carry = malloc(HEAD_BYTE_COUNT_MAX + BUFFER_BYTE_COUNT);
		if (!connection->carry)
			return false;
		memmove(connection->carry, bytes + used, byte_count - (size_t)used);
	}
	connection->carry_byte_count = (uint32_t)(byte_count - (size_t)used);
	return true;
}

/* ---- the loop ---- */

static void arm_accept(int listener)
{
	struct io_uring_sqe *sqe = next_sqe();

	io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
	io_uring_sqe_set_data64(sqe, token(ACCEPT, 0, 0));
}

static void accepted(int slot)
{
	struct connection *connection = &connections[slot];

	connection->open = true;
	connection->sending = connection->finishing = connection->closing = false;
	connection->queue_length = 0;
	connection->carry_byte_count = 0;
	mine->accepted++;
	arm_receive((uint32_t)slot);
}

static void sent(uint32_t slot, int result)
{
	struct connection *connection = &connections[slot];
	struct queued pending[QUEUE_LENGTH];
	uint8_t count = connection->queue_length;

	connection->sending = false;
	if (connection->closing || result < 0) {
		connection->closing = false;
		close_slot(slot);
		return;
	}
	if (count == 0) {
		if (connection->finishing)
			shut_down(slot);
		return;
	}
	memcpy(pending, connection->queue, count * sizeof(pending[0]));
	connection->queue_length = 0;
	for (uint8_t i = 0; i < count; i++)
		send_now(slot, pending[i]);
}

static void handle_receive(struct io_uring_cqe *cqe, uint32_t slot, uint64_t now, int *recycled)
{
	bool good = cqe->res > 0 || cqe->res == -ENOBUFS;
	bool current = connections[slot].open &&
		       connections[slot].generation == (uint16_t)(cqe->user_data >> 32);

	if (cqe->flags & IORING_CQE_F_BUFFER) {
		unsigned short id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
		char *bytes = buffer_bytes + (size_t)id * BUFFER_BYTE_COUNT;

		if (current && cqe->res > 0)
			good = received(slot, bytes, (size_t)cqe->res, now);
		io_uring_buf_ring_add(buffers, bytes, BUFFER_BYTE_COUNT, id,
				      io_uring_buf_ring_mask(BUFFER_COUNT), (*recycled)++);
	}
	if (!current)
		return;
	if (!good)
		close_slot(slot);
	else if (!(cqe->flags & IORING_CQE_F_MORE))
		arm_receive(slot);
}

static void handle(int listener, uint64_t now)
{
	struct io_uring_cqe *cqe;
	unsigned head, seen = 0;
	int recycled = 0;

	io_uring_for_each_cqe(&ring, head, cqe) {
		uint32_t slot = (uint32_t)cqe->user_data;

		seen++;
		switch ((enum operation)(cqe->user_data >> 48)) {
		case ACCEPT:
			if (cqe->res >= 0)
				accepted(cqe->res);
			if (!(cqe->flags & IORING_CQE_F_MORE))
				arm_accept(listener);
			break;
		case RECEIVE:
			handle_receive(cqe, slot, now, &recycled);
			break;
		case SEND:
			if (connections[slot].generation == (uint16_t)(cqe->user_data >> 32))
				sent(slot, cqe->res);
			break;
		case QUIET_SEND: /* the receive side learns of it too */
		case CLOSE:
			break;
		}
	}
	io_uring_buf_ring_cq_advance(&ring, buffers, recycled);
	if (seen > (unsigned)recycled)
		io_uring_cq_advance(&ring, seen - (unsigned)recycled);
}

static void wait_for_completion(uint64_t now)
{
	uint64_t wait_ns = 200000000;
	struct __kernel_timespec time;
	struct io_uring_cqe *cqe;

	if (options.spin) {
		if (io_uring_sq_ready(&ring) || *ring.sq.kflags & IORING_SQ_TASKRUN)
			io_uring_submit_and_get_events(&ring);
		return;
	}
	if (delayed_head != delayed_tail) {
		uint64_t due_ns = delayed[delayed_head & delayed_mask].due_ns;

		wait_ns = due_ns > now ? due_ns - now : 0;
	}
	time.tv_sec = (int64_t)(wait_ns / 1000000000);
	time.tv_nsec = (int64_t)(wait_ns % 1000000000);
	io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &time, NULL);
	mine->enter_calls++;
}

static void prepare_ring(void)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_CQSIZE | (options.spin ? IORING_SETUP_TASKRUN_FLAG : 0),
		.cq_entries = 2 * SLOT_COUNT_MAX};
	struct io_uring_buf_reg registration = {.bgid = BUFFER_GROUP, .ring_entries = BUFFER_COUNT};
	int error = io_uring_queue_init_params(SQ_ENTRIES, &ring, &params);

	if (error)
		fail("io_uring_setup", error);
	error = io_uring_register_ring_fd(&ring);
	if (error != 1)
		fail("register the ring", error);
	error = io_uring_register_files_sparse(&ring, slot_count);
	if (error)
		fail("register the file table", error);
	buffer_bytes = mmap(NULL, (size_t)BUFFER_COUNT * BUFFER_BYTE_COUNT, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	buffers = mmap(NULL, BUFFER_COUNT * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	connections = calloc(slot_count, sizeof(*connections));
	if (buffer_bytes == MAP_FAILED || buffers == MAP_FAILED || !connections)
		fail("memory", ENOMEM);
	if (options.delay_ns) {
		delayed_mask = (1 << 20) - 1;
		delayed = calloc((size_t)delayed_mask + 1, sizeof(*delayed));
		if (!delayed)
			fail("memory", ENOMEM);
	}
	registration.ring_addr = (uintptr_t)buffers;
	error = io_uring_register_buf_ring(&ring, &registration, 0);
	if (error)
		fail("register the buffer ring", error);
	io_uring_buf_ring_init(buffers);
	for (int i = 0; i < BUFFER_COUNT; i++)
		io_uring_buf_ring_add(buffers, buffer_bytes + (size_t)i * BUFFER_BYTE_COUNT,
				      BUFFER_BYTE_COUNT, (unsigned short)i,
				      io_uring_buf_ring_mask(BUFFER_COUNT), i);
	io_uring_buf_ring_advance(buffers, BUFFER_COUNT);
}

static int listen_on(uint16_t *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(*port)};
	socklen_t length = sizeof(address);
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		fail("socket", errno);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		fail("bind", errno);
	if (listen(fd, 65535) != 0 || getsockname(fd, (struct sockaddr *)&address, &length) != 0)
		fail("listen", errno);
	*port = ntohs(address.sin_port);
	return fd;
}

static void map_arrivals(void)
{
	size_t byte_count = (options.arrivals_max + 1) * sizeof(uint64_t);
	int fd = open(options.arrivals_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || ftruncate(fd, (off_t)byte_count) != 0)
		fail(options.arrivals_path, errno);
	arrivals = mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (arrivals == MAP_FAILED)
		fail(options.arrivals_path, errno);
	close(fd);
}

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static void serve(int index, int listener)
{
	if (options.cpus[index] >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(options.cpus[index], &set);
		if (sched_setaffinity(0, sizeof(set), &set) != 0)
			fail("pin", errno);
	}
	mine = &counters[index];
	prepare_ring();
	arm_accept(listener);
	while (!stopped) {
		uint64_t now = now_ns();

		handle(listener, now);
		send_delayed(now);
		wait_for_completion(now);
	}
}

static void refuse(const char *what)
{
	fprintf(stderr,
		"responder: %s\nusage: responder [--port n] [--cpus 0,1] [--delay-us n]\n"
		"  [--stall-every requests --stall-ms n] [--arrivals file [--arrivals-max n]] "
		"[--spin]\n",
		what);
	exit(2);
}

static void read_options(int argc, char **argv)
{
	options.cpus[0] = -1;
	options.cpu_count = 1;
	for (int i = 1; i < argc; i++) {
		const char *flag = argv[i], *text;
		char *end = NULL;
		uint64_t value;

		if (!strcmp(flag, "--spin")) {
			options.spin = true;
			continue;
		}
		text = argv[++i];
		if (!text)
			refuse("a flag lacks its value");
		if (!strcmp(flag, "--arrivals")) {
			options.arrivals_path = text;
			continue;
		}
		if (!strcmp(flag, "--cpus")) {
			options.cpu_count = 0;
			for (end = (char *)text; *end;) {
				if (options.cpu_count == PROCESS_COUNT_MAX)
					refuse("too many CPUs");
				options.cpus[options.cpu_count++] = (int)strtol(end, &end, 10);
				if (*end && *end++ != ',')
					refuse("--cpus takes numbers with commas between");
			}
			continue;
		}
		value = strtoull(text, &end, 10);
		if (end == text || *end)
			refuse("a flag's value is not a number");
		if (!strcmp(flag, "--port") && value <= 65535)
			options.port = (uint16_t)value;
		else if (!strcmp(flag, "--delay-us"))
			options.delay_ns = value * 1000;
		else if (!strcmp(flag, "--stall-every"))
			options.stall_every = value;
		else if (!strcmp(flag, "--stall-ms"))
			options.stall_ns = value * 1000000;
		else if (!strcmp(flag, "--arrivals-max"))
			options.arrivals_max = value;
		else
			refuse("unknown flag");
	}
	if (options.arrivals_path && options.cpu_count > 1)
		refuse("--arrivals needs one process");
}

static void print_counts(void)
{
	const struct answer *answer = count_answer();
	const char *body = memmem(answer->bytes, answer->byte_count, "\r\n\r\n", 4);

	fputs(body + 4, stdout);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = stop};
	struct rlimit limit;
	int listeners[PROCESS_COUNT_MAX];
	pid_t children[PROCESS_COUNT_MAX];

	read_options(argc, argv);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
		if (limit.rlim_cur < slot_count)
			slot_count = (uint32_t)limit.rlim_cur;
	}
	counters = mmap(NULL, sizeof(*counters) * PROCESS_COUNT_MAX, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counters == MAP_FAILED)
		fail("map the counters", errno);
	if (options.arrivals_path)
		map_arrivals();
	/* Every listener is there before anyone is told the port: none misses connections. */
	for (int i = 0; i < options.cpu_count; i++)
		listeners[i] = listen_on(&options.port);
	printf("{\"listening\":\"127.0.0.1:%u\",\"pid\":%d}\n", options.port, getpid());
	fflush(stdout);
	for (int i = 1; i < options.cpu_count; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (int j = 0; j < options.cpu_count; j++)
				if (j != i)
					close(listeners[j]);
			serve(i, listeners[i]);
			return 0;
		}
	}
	serve(0, listeners[0]);
	for (int i = 1; i < options.cpu_count; i++) {
		kill(children[i], SIGTERM);
		waitpid(children[i], NULL, 0);
	}
	print_counts();
	return 0;
}
