/*
 * The floor's twin on epoll: the least CPU a readiness loop can spend on a request. Sockets are
 * registered once, edge-triggered; a request costs one recv, one send and its part of epoll_wait.
 */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENT_COUNT = 1024, BUFFER_BYTE_COUNT = 65536, DRAIN_NS = 1000000000 };

struct connection {
	int fd;
	bool busy;
	uint64_t scheduled_ns;
	size_t byte_count;
};

struct loop {
	int epoll;
	struct connection *connections;
	uint32_t *idle, idle_count;
	const char *request;
	size_t request_byte_count, batch_byte_count;
	uint64_t in_flight;
	uint64_t count_max;
	bool sending; /* until the duration is over */
	struct client_options options;
	struct client_result result;
};

static void fail(const char *what, int error)
{
	fprintf(stderr, "epoll: %s: %s\n", what, strerror(error < 0 ? -error : error));
	exit(1);
}

static inline bool may_send(const struct loop *loop)
{
	return loop->sending && loop->result.sent < loop->count_max;
}

static void open_connection(struct loop *loop, uint32_t index)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.u32 = index};
	int fd = client_connect(&loop->options);

	if (fd < 0)
		fail("connect", fd);
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		fail("epoll_ctl", errno);
	loop->connections[index] = (struct connection){.fd = fd};
	loop->result.opened++;
}

/* False when the socket did not take the whole request: it is empty whenever we write, so that
 * means it is broken.
 */
static bool send_request(struct loop *loop, uint32_t index)
{
	ssize_t sent = send(loop->connections[index].fd, loop->request, loop->request_byte_count,
			    MSG_NOSIGNAL | MSG_DONTWAIT);

	loop->connections[index].busy = true;
	loop->in_flight += loop->options.pipeline;
	loop->result.sent += loop->options.pipeline;
	return sent == (ssize_t)loop->request_byte_count;
}

/* True when something was in flight on the connection that is gone. */
static bool replace(struct loop *loop, uint32_t index)
{
	bool was_busy = loop->connections[index].busy;

	if (was_busy) {
		loop->result.failed += loop->options.pipeline;
		loop->in_flight -= loop->options.pipeline;
	}
	close(loop->connections[index].fd);
	open_connection(loop, index);
	return was_busy;
}

static void start(struct loop *loop, uint32_t index)
{
	while (!send_request(loop, index))
		replace(loop, index);
}

static void readable(struct loop *loop, uint32_t index, uint64_t now_ns)
{
	static char bytes[BUFFER_BYTE_COUNT];
	struct connection *connection = &loop->connections[index];
	ssize_t got = recv(connection->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		if (!replace(loop, index))
			return;
		if (loop->options.rate_hz > 0)
			loop->idle[loop->idle_count++] = index;
		else if (may_send(loop))
			start(loop, index);
		return;
	}
	connection->byte_count += (size_t)got;
	if (connection->byte_count < loop->batch_byte_count) {
		/* A full buffer may have left bytes whose edge is already spent. */
		if (got == (ssize_t)sizeof(bytes))
			readable(loop, index, now_ns);
		return;
	}
	connection->byte_count -= loop->batch_byte_count;
	connection->busy = false;
	loop->in_flight -= loop->options.pipeline;
	loop->result.received += loop->options.pipeline;
	if (loop->options.rate_hz > 0) {
		loop->result.response_ns_sum += now_ns - connection->scheduled_ns;
		loop->idle[loop->idle_count++] = index;
	} else if (may_send(loop)) {
		start(loop, index);
	}
}

/* As in the floor: offset(k) = k / rate, the oldest first, late ones late. */
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
		start(loop, index);
	}
}

static int wait_for(struct loop *loop, struct epoll_event *events, uint64_t until_ns)
{
	uint64_t now_ns = client_now_ns();
	uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	struct timespec time = {.tv_sec = (time_t)(wait_ns / 1000000000),
				.tv_nsec = (long)(wait_ns % 1000000000)};
	int count = epoll_pwait2(loop->epoll, events, EVENT_COUNT, &time, NULL);

	loop->result.enter_calls++;
	if (count < 0 && errno != EINTR)
		fail("epoll_pwait2", errno);
	return count < 0 ? 0 : count;
}

static void run(struct loop *loop)
{
	static struct epoll_event events[EVENT_COUNT];
	uint64_t now_ns, end_ns, last_ns;

	client_result_begin(&loop->result, "epoll");
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
				start(loop, i);
	while (may_send(loop) || (loop->in_flight > 0 && now_ns < last_ns)) {
		uint64_t until_ns = may_send(loop) ? end_ns : last_ns;
		int count;

		if (may_send(loop) && loop->options.rate_hz > 0) {
			uint64_t due_ns = release(loop, now_ns);

			if (due_ns < until_ns)
				until_ns = due_ns;
		}
		if (loop->options.spin_ns && until_ns < end_ns) {
			uint64_t sleep_until_ns = until_ns - loop->options.spin_ns;

			count = wait_for(loop, events, sleep_until_ns);
			while (count == 0 && client_now_ns() < until_ns)
				count = wait_for(loop, events, 0);
		} else {
			count = wait_for(loop, events, until_ns);
		}
		now_ns = client_now_ns();
		loop->sending = now_ns < end_ns;
		for (int i = 0; i < count; i++)
			readable(loop, events[i].data.u32, now_ns);
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
	loop.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!loop.connections || !loop.idle || loop.epoll < 0)
		fail("start", errno);
	for (uint32_t i = 0; i < loop.options.connection_count; i++) {
		open_connection(&loop, i);
		loop.idle[loop.idle_count++] = i;
	}
	run(&loop);
	client_result_print(&loop.result, &loop.options, response_byte_count);
	return 0;
}
