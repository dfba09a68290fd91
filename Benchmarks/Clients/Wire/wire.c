#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENT_COUNT = 1024, BUFFER_BYTE_COUNT = 65536 };
#define DRAIN_NS UINT64_C(1000000000)

struct connection {
	void *state;
	int fd;
	uint32_t in_flight;
};

struct loop {
	const struct wire *wire;
	int epoll;
	struct connection *connections;
	uint8_t *requests, *buffer;
	size_t requests_byte_count;
	uint64_t in_flight, count_max;
	bool sending; /* until the duration is over */
	struct client_options options;
	struct client_result result;
};

static void fail(const struct loop *loop, const char *what, int error)
{
	fprintf(stderr, "%s: %s: %s\n", loop->wire->name, what, strerror(error));
	exit(1);
}

static void open_connection(struct loop *loop, uint32_t index)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.u32 = index};
	struct connection *connection = &loop->connections[index];
	int fd = client_connect(&loop->options);

	if (fd < 0)
		fail(loop, "connect", -fd);
	connection->fd = fd;
	connection->state = loop->wire->begin(&loop->options, fd);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
	    epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		fail(loop, "watch a socket", errno);
	loop->result.opened++;
}

/* A request is far smaller than a socket's buffer: one that does not fit ends the run. */
static void send_requests(struct loop *loop, struct connection *connection, uint32_t count)
{
	uint64_t left = loop->count_max - loop->result.sent;
	size_t byte_count;

	if (!loop->sending)
		count = 0;
	if (count > left)
		count = (uint32_t)left;
	byte_count = loop->wire->request(connection->state, count, loop->requests);
	if (byte_count > 0 && send(connection->fd, loop->requests, byte_count, MSG_NOSIGNAL) !=
				      (ssize_t)byte_count)
		fail(loop, "send", errno);
	connection->in_flight += count;
	loop->in_flight += count;
	loop->result.sent += count;
}

static void receive(struct loop *loop, struct connection *connection)
{
	uint32_t answers = 0;
	ssize_t got;

	do {
		ssize_t ended;

		got = recv(connection->fd, loop->buffer, BUFFER_BYTE_COUNT, 0);
		if (got < 0 && errno == EAGAIN)
			break;
		if (got < 0)
			fail(loop, "receive", errno);
		if (got == 0) {
			fprintf(stderr, "%s: the target closed a connection\n", loop->wire->name);
			exit(1);
		}
		ended = loop->wire->take(connection->state, loop->buffer, (size_t)got);
		if (ended < 0 || answers + (uint64_t)ended > connection->in_flight) {
			fprintf(stderr, "%s: the target answered what nobody asked\n",
				loop->wire->name);
			exit(1);
		}
		answers += (uint32_t)ended;
	} while (got == BUFFER_BYTE_COUNT);
	connection->in_flight -= answers;
	loop->in_flight -= answers;
	loop->result.received += answers;
	send_requests(loop, connection, answers);
}

static void turn(struct loop *loop, uint64_t now_ns, uint64_t until_ns)
{
	struct epoll_event events[EVENT_COUNT];
	int wait_ms = until_ns > now_ns ? (int)((until_ns - now_ns) / 1000000) + 1 : 0;
	int count = epoll_wait(loop->epoll, events, EVENT_COUNT, wait_ms);

	loop->result.enter_calls++;
	if (count < 0 && errno != EINTR)
		fail(loop, "epoll_wait", errno);
	for (int i = 0; i < count; i++)
		receive(loop, &loop->connections[events[i].data.u32]);
}

static void run(struct loop *loop)
{
	uint64_t end_ns, now_ns;

	client_result_begin(&loop->result, loop->wire->name);
	now_ns = loop->result.started_ns;
	end_ns = now_ns + loop->options.duration_ns;
	loop->sending = true;
	loop->count_max =
		loop->options.request_count_max ? loop->options.request_count_max : UINT64_MAX;
	for (uint32_t i = 0; i < loop->options.connection_count; i++)
		send_requests(loop, &loop->connections[i], loop->options.pipeline);
	while (loop->in_flight > 0 && now_ns < end_ns + DRAIN_NS) {
		loop->sending = now_ns < end_ns;
		turn(loop, now_ns, loop->sending ? end_ns : end_ns + DRAIN_NS);
		now_ns = client_now_ns();
	}
	client_result_end(&loop->result);
}

int wire_run(const struct wire *wire, const struct client_options *options,
	     size_t response_byte_count)
{
	struct loop loop = {.wire = wire, .options = *options};

	if (options->rate_hz > 0) {
		fprintf(stderr, "%s keeps no rate: leave -R out\n", wire->name);
		return 2;
	}
	loop.epoll = epoll_create1(EPOLL_CLOEXEC);
	loop.connections = calloc(options->connection_count, sizeof(*loop.connections));
	loop.requests = malloc(wire->request_byte_count_max(options->pipeline));
	loop.buffer = malloc(BUFFER_BYTE_COUNT);
	if (loop.epoll < 0 || !loop.connections || !loop.requests || !loop.buffer)
		fail(&loop, "memory", ENOMEM);
	for (uint32_t i = 0; i < options->connection_count; i++)
		open_connection(&loop, i);
	run(&loop);
	loop.result.probes = wire->probes;
	client_result_print(&loop.result, options, response_byte_count);
	return 0;
}
