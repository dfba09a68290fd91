#define _GNU_SOURCE
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/*
 * The ring where io_uring is not to be had. An operation is tried when it is queued, and what the
 * socket does not take then waits in its slot until epoll tells of it: every socket is registered
 * once, for both directions and edge triggered (epoll(7)). What completed waits in `done`; what has
 * bytes to be read waits in `ready` and is read when completions are taken, so that bytes are in the
 * cache and the clock is fresh when they are handled.
 */

#define EVENT_COUNT_MAX 1024u
/* Buffers read in one turn for each place that is ready at its start, so that sockets which never run
 * dry cannot keep the loop from its deadlines. */
#define READ_COUNT_MAX 8u
/* Descriptors that are no slots: a listener and the socket to the parent, with room. */
#define DESCRIPTOR_COUNT 8u
#define DONE_COUNT_FIRST 256u

/* An operation that waits for its descriptor. */
struct waiting {
	struct waiting *next;
	struct squall_operation operation;
	uint32_t done_bytes;
};

/* A slot's socket, or behind the slots a descriptor of somebody else's. */
struct place {
	int32_t fd;          /* -1 for none */
	uint32_t generation; /* counts the tenants: an event of an earlier one is old */
	uint64_t receive_token;
	uint64_t token; /* of what `is_connecting` or `awaits_room` tells of */
	struct waiting *first; /* sends in their order; reads and writes of a descriptor */
	struct waiting *last;
	bool is_ready; /* stands in `ready`, once */
	bool is_receiving;
	bool is_connecting;
	bool awaits_room;
	bool is_accepting;
	bool is_readable;
	/* A read that came short is not the last: the end is behind it, or more behind urgent data. */
	bool reads_on;
};

struct loan {
	void *bytes;
	uint32_t byte_count;
	uint16_t id;
};

struct epoll {
	struct squall_ring ring; /* first: a pointer to one is a pointer to the other */
	int32_t fd;
	bool waits_by_poll; /* epoll_pwait2 is not to be had */
	uint32_t slot_count;
	uint32_t place_count;
	struct place *places;
	struct epoll_event *events;
	/* Places to read from, a ring with room for each; the count that a turn may read. */
	uint32_t *ready;
	uint32_t ready_start;
	uint32_t ready_count;
	uint32_t reads_left;
	/* Buffers to receive into. The last that came back is the next: it is still in the cache. */
	struct loan *loans;
	uint32_t loan_count;
	/* Slots for accepted connections, the lowest on top; made by the first accept. */
	uint32_t *free_slots;
	uint32_t free_count;
	/* Completions, a ring that grows. */
	struct squall_completion *done;
	uint32_t done_start;
	uint32_t done_count;
	uint32_t done_capacity; /* power of two */
};

/* ---- what completed ---- */

static void complete(struct epoll *epoll, uint64_t token, int32_t result, uint32_t flags)
{
	if (epoll->done_count == epoll->done_capacity) {
		uint32_t capacity = 2 * epoll->done_capacity;
		struct squall_completion *done =
			reallocarray(epoll->done, capacity, sizeof(*epoll->done));
		if (done == NULL)
			abort();
		/* The part in front of the start moves behind the rest. */
		memcpy(done + epoll->done_capacity, done, epoll->done_start * sizeof(*done));
		epoll->done = done;
		epoll->done_capacity = capacity;
	}
	epoll->done[(epoll->done_start + epoll->done_count++) & (epoll->done_capacity - 1)] =
		(struct squall_completion){ .token = token, .result = result, .flags = flags };
}

/* Of one that failed, or is not silent. */
static void finish(struct epoll *epoll, const struct squall_operation *operation, int32_t result)
{
	if (result < 0 || !operation->is_silent)
		complete(epoll, operation->token, result, 0);
}

/* ---- places ---- */

static void make_ready(struct epoll *epoll, struct place *place)
{
	if (place->is_ready)
		return;
	uint32_t at = epoll->ready_start + epoll->ready_count++;
	place->is_ready = true;
	epoll->ready[at < epoll->place_count ? at : at - epoll->place_count] =
		(uint32_t)(place - epoll->places);
}

static int32_t watch(struct epoll *epoll, const struct place *place, int32_t change,
		     uint32_t events)
{
	struct epoll_event event = {
		.events = events,
		.data.u64 = (uint64_t)(place - epoll->places) | (uint64_t)place->generation << 32,
	};
	epoll->ring.call_count++;
	return epoll_ctl(epoll->fd, change, place->fd, &event) < 0 ? -errno : 0;
}

/* Puts a socket into a slot. It is closed on failure. */
static int32_t settle(struct epoll *epoll, struct place *place, int32_t fd)
{
	place->fd = fd;
	int32_t result = watch(epoll, place, EPOLL_CTL_ADD,
			       EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET);
	if (result == 0)
		return 0;
	close(fd);
	epoll->ring.call_count++;
	place->fd = -1;
	return result;
}

static void end_waiting(struct place *place)
{
	struct waiting *waiting = place->first;

	place->first = waiting->next;
	if (place->first == NULL)
		place->last = NULL;
	free(waiting);
}

static void wait_for(struct place *place, const struct squall_operation *operation,
		     uint32_t done_bytes)
{
	struct waiting *waiting = malloc(sizeof(*waiting));
	if (waiting == NULL)
		abort();
	*waiting = (struct waiting){ .operation = *operation, .done_bytes = done_bytes };
	if (place->last != NULL)
		place->last->next = waiting;
	else
		place->first = waiting;
	place->last = waiting;
}

/* ---- sending ---- */

static int32_t send_bytes(struct epoll *epoll, const struct place *place,
			  const struct squall_operation *operation, uint32_t from)
{
	ssize_t count;

	do {
		epoll->ring.call_count++;
		count = send(place->fd, (const uint8_t *)operation->bytes + from,
			     operation->byte_count - from, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (count < 0 && errno == EINTR);
	return count < 0 ? -errno : (int32_t)count;
}

static void start_send(struct epoll *epoll, struct place *place,
		       const struct squall_operation *operation)
{
	int32_t result = place->first == NULL ? send_bytes(epoll, place, operation, 0) : -EAGAIN;

	if (result == (int32_t)operation->byte_count || (result < 0 && result != -EAGAIN))
		return finish(epoll, operation, result);
	if (operation->kind == SQUALL_SEND)
		return wait_for(place, operation, result > 0 ? (uint32_t)result : 0);
	complete(epoll, operation->token, result, 0);
}

/* There is room again. */
static void go_on_sending(struct epoll *epoll, struct place *place)
{
	struct waiting *waiting;

	while ((waiting = place->first) != NULL) {
		const struct squall_operation *operation = &waiting->operation;
		int32_t result = send_bytes(epoll, place, operation, waiting->done_bytes);
		if (result == -EAGAIN)
			return;
		if (result >= 0) {
			waiting->done_bytes += (uint32_t)result;
			if (waiting->done_bytes < operation->byte_count)
				continue;
			result = (int32_t)operation->byte_count;
		}
		finish(epoll, operation, result);
		end_waiting(place);
	}
}

/* ---- descriptors that are no slots ---- */

/* One event each time it is asked for: whoever owns the descriptor may use it besides. */
static int32_t watch_once(struct epoll *epoll, struct place *place)
{
	uint32_t events = EPOLLONESHOT;

	if (place->is_accepting)
		events |= EPOLLIN;
	for (const struct waiting *waiting = place->first; waiting != NULL; waiting = waiting->next)
		events |= waiting->operation.kind == SQUALL_READ ? EPOLLIN : EPOLLOUT;
	int32_t result = watch(epoll, place, EPOLL_CTL_MOD, events);
	return result == -ENOENT ? watch(epoll, place, EPOLL_CTL_ADD, events) : result;
}

/* The place of a descriptor, or NULL when there are more than it has room for. */
static struct place *find(struct epoll *epoll, int32_t fd)
{
	struct place *empty = NULL;

	for (uint32_t index = epoll->slot_count; index < epoll->place_count; index++) {
		struct place *place = &epoll->places[index];
		if (place->fd == fd)
			return place;
		if (place->fd < 0 && empty == NULL)
			empty = place;
	}
	if (empty != NULL)
		empty->fd = fd;
	return empty;
}

static void start_on_descriptor(struct epoll *epoll, const struct squall_operation *operation)
{
	struct place *place = find(epoll, operation->file);
	if (place == NULL)
		return complete(epoll, operation->token, -EMFILE, 0);

	if (operation->kind == SQUALL_ACCEPT) {
		/* Others may take what epoll told of. */
		fcntl(place->fd, F_SETFL, fcntl(place->fd, F_GETFL) | O_NONBLOCK);
		epoll->ring.call_count += 2;
		place->is_accepting = true;
		place->receive_token = operation->token;
	} else {
		wait_for(place, operation, 0);
	}
	int32_t result = watch_once(epoll, place);
	if (result == 0)
		return;
	while (place->first != NULL) {
		complete(epoll, place->first->operation.token, result, 0);
		end_waiting(place);
	}
	if (place->is_accepting)
		complete(epoll, place->receive_token, result, 0);
	place->is_accepting = false;
	place->fd = -1;
}

/* Does what waits for these events, one operation for each direction: the descriptor may block. */
static void use_descriptor(struct epoll *epoll, struct place *place, uint32_t events)
{
	bool may_read = (events & ~(uint32_t)EPOLLOUT) != 0;
	bool may_write = (events & ~(uint32_t)EPOLLIN) != 0;
	struct waiting **link = &place->first, *before = NULL;

	if (place->is_accepting && may_read) {
		place->is_readable = true;
		make_ready(epoll, place);
	}
	while (*link != NULL) {
		struct waiting *waiting = *link;
		const struct squall_operation *operation = &waiting->operation;
		bool reads = operation->kind == SQUALL_READ;
		if (reads ? !may_read : !may_write) {
			before = waiting;
			link = &waiting->next;
			continue;
		}
		ssize_t count = reads ? read(place->fd, (void *)(uintptr_t)operation->bytes,
					     operation->byte_count)
				      : write(place->fd, operation->bytes, operation->byte_count);
		epoll->ring.call_count++;
		finish(epoll, operation, count < 0 ? -errno : (int32_t)count);
		*link = waiting->next;
		if (place->last == waiting)
			place->last = before;
		free(waiting);
		if (reads)
			may_read = false;
		else
			may_write = false;
	}
	if (place->first != NULL)
		watch_once(epoll, place);
}

/* ---- accepting ---- */

static bool list_free_slots(struct epoll *epoll)
{
	if (epoll->free_slots != NULL)
		return true;
	epoll->free_slots = calloc(epoll->slot_count, sizeof(*epoll->free_slots));
	if (epoll->free_slots == NULL)
		return false;
	for (uint32_t slot = epoll->slot_count; slot-- > 0;) {
		if (epoll->places[slot].fd < 0)
			epoll->free_slots[epoll->free_count++] = slot;
	}
	return true;
}

static void stop_accepting(struct place *place, struct squall_completion *into, int32_t result)
{
	place->is_accepting = false;
	*into = (struct squall_completion){ .token = place->receive_token, .result = result };
}

/* One connection. False when there is none, which completes nothing. */
static bool accept_one(struct epoll *epoll, struct place *place, struct squall_completion *into)
{
	int32_t fd = accept4(place->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	epoll->ring.call_count++;
	if (fd < 0 && errno == EAGAIN) {
		place->is_readable = false;
		watch_once(epoll, place);
		return false;
	}
	if (fd < 0) {
		stop_accepting(place, into, -errno);
		return true;
	}
	if (!list_free_slots(epoll) || epoll->free_count == 0) {
		int32_t result = epoll->free_slots == NULL ? -ENOMEM : -ENFILE;
		close(fd);
		epoll->ring.call_count++;
		stop_accepting(place, into, result);
		return true;
	}
	uint32_t slot = epoll->free_slots[epoll->free_count - 1];
	int32_t result = settle(epoll, &epoll->places[slot], fd);
	if (result < 0) {
		stop_accepting(place, into, result);
		return true;
	}
	epoll->free_count--;
	*into = (struct squall_completion){ .token = place->receive_token,
					    .result = (int32_t)slot,
					    .flags = SQUALL_HAS_MORE };
	make_ready(epoll, place);
	return true;
}

/* ---- receiving ---- */

/* One arrival. False when there is none, which completes nothing. */
static bool receive_one(struct epoll *epoll, struct place *place, struct squall_completion *into)
{
	*into = (struct squall_completion){ .token = place->receive_token, .result = -ENOBUFS };
	if (epoll->loan_count == 0) {
		place->is_receiving = false;
		return true;
	}
	const struct loan *loan = &epoll->loans[epoll->loan_count - 1];
	ssize_t count;
	do {
		epoll->ring.call_count++;
		count = recv(place->fd, loan->bytes, loan->byte_count, MSG_DONTWAIT);
	} while (count < 0 && errno == EINTR);

	if (count > 0) {
		into->result = (int32_t)count;
		into->flags = SQUALL_HAS_BUFFER | SQUALL_HAS_MORE | (uint32_t)loan->id << 16;
		/* Short of what it was lent, the socket was empty: what comes next is an event. */
		place->is_readable = count == loan->byte_count || place->reads_on;
		epoll->loan_count--;
		squall_ring_arrived(&epoll->ring, into->result);
		if (place->is_readable)
			make_ready(epoll, place);
		return true;
	}
	if (count < 0 && errno == EAGAIN) {
		place->is_readable = false;
		return false;
	}
	into->result = count < 0 ? -errno : 0;
	place->is_receiving = false;
	return true;
}

/* ---- connecting and closing ---- */

static int32_t connect_slot(squall_ring *ring, uint32_t slot, const struct squall_address *peer,
			    const struct squall_address *source, uint64_t token)
{
	struct epoll *epoll = (struct epoll *)ring;
	struct place *place = &epoll->places[slot];

	if (slot >= epoll->slot_count)
		return -EINVAL;
	if (place->fd >= 0)
		return -EBUSY;
	int32_t fd = squall_ring_socket(ring, SOCK_NONBLOCK, peer, source);
	if (fd < 0)
		return fd;

	ring->call_count++;
	int32_t result = connect(fd, (const struct sockaddr *)peer->bytes, peer->byte_count) < 0
				 ? -errno
				 : 0;
	int32_t settled = settle(epoll, place, fd);
	if (settled < 0)
		return settled;
	if (result == -EINPROGRESS) {
		place->is_connecting = true;
		place->token = token;
	} else {
		complete(epoll, token, result, 0);
	}
	return 0;
}

static int32_t adopt_slot(squall_ring *ring, uint32_t slot, int32_t fd, uint64_t token)
{
	struct epoll *epoll = (struct epoll *)ring;

	if (slot >= epoll->slot_count)
		return -EINVAL;
	if (epoll->places[slot].fd >= 0)
		return -EBUSY;
	int32_t own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	ring->call_count++;
	if (own < 0)
		return -errno;
	int32_t result = settle(epoll, &epoll->places[slot], own);
	if (result == 0)
		complete(epoll, token, 0, 0);
	return result;
}

static void connected(struct epoll *epoll, struct place *place)
{
	int32_t error = 0;
	socklen_t byte_count = sizeof(error);

	epoll->ring.call_count++;
	if (getsockopt(place->fd, SOL_SOCKET, SO_ERROR, &error, &byte_count) < 0)
		error = errno;
	place->is_connecting = false;
	complete(epoll, place->token, -error, 0);
}

/* Ends what waits there under this token, or all when that is NULL. Returns how many. */
static uint32_t cancel(struct epoll *epoll, struct place *place, const uint64_t *token)
{
	uint32_t count = 0;
	bool waits = place->is_connecting || place->awaits_room;
	bool listens = place->is_receiving || place->is_accepting;

	if (listens && (token == NULL || place->receive_token == *token)) {
		place->is_receiving = false;
		place->is_accepting = false;
		complete(epoll, place->receive_token, -ECANCELED, 0);
		count++;
	}
	if (waits && (token == NULL || place->token == *token)) {
		place->is_connecting = false;
		place->awaits_room = false;
		complete(epoll, place->token, -ECANCELED, 0);
		count++;
	}
	struct waiting **link = &place->first;
	place->last = NULL;
	while (*link != NULL) {
		struct waiting *waiting = *link;
		if (token == NULL || waiting->operation.token == *token) {
			*link = waiting->next;
			complete(epoll, waiting->operation.token, -ECANCELED, 0);
			free(waiting);
			count++;
		} else {
			place->last = waiting;
			link = &waiting->next;
		}
	}
	return count;
}

static int32_t close_slot(struct epoll *epoll, struct place *place)
{
	if (place->fd < 0)
		return -EBADF;
	cancel(epoll, place, NULL);
	close(place->fd);
	epoll->ring.call_count++;
	place->fd = -1;
	place->generation++;
	place->is_readable = false;
	place->reads_on = false;
	if (epoll->free_slots != NULL)
		epoll->free_slots[epoll->free_count++] = (uint32_t)(place - epoll->places);
	return 0;
}

static int32_t reset(struct epoll *epoll, const struct place *place)
{
	/* Disconnecting a connected socket sends RST (connect(2): AF_UNSPEC dissolves the
	 * association). */
	static const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	epoll->ring.call_count++;
	return connect(place->fd, &nobody, sizeof(nobody)) < 0 ? -errno : 0;
}

/* ---- operations ---- */

static void await_room(struct epoll *epoll, struct place *place,
		       const struct squall_operation *operation)
{
	struct pollfd waiting = { .fd = place->fd, .events = POLLOUT };

	/* The event of room that came before is gone. */
	epoll->ring.call_count++;
	int32_t count = poll(&waiting, 1, 0);
	if (count != 0)
		return finish(epoll, operation, count < 0 ? -errno : waiting.revents);
	place->awaits_room = true;
	place->token = operation->token;
}

static void queue(squall_ring *ring, const struct squall_operation *operation)
{
	struct epoll *epoll = (struct epoll *)ring;

	if (operation->kind >= SQUALL_ACCEPT)
		return start_on_descriptor(epoll, operation);
	if (operation->file < 0 || (uint32_t)operation->file >= epoll->slot_count)
		return complete(epoll, operation->token, -EINVAL, 0);

	struct place *place = &epoll->places[operation->file];
	if (operation->kind == SQUALL_CANCEL) {
		uint32_t count = cancel(epoll, place, &operation->target);
		return finish(epoll, operation, count > 0 ? 0 : -ENOENT);
	}
	if (place->fd < 0)
		return complete(epoll, operation->token, -EBADF, 0);
	switch (operation->kind) {
	case SQUALL_RECEIVE:
		place->is_receiving = true;
		place->receive_token = operation->token;
		if (place->is_readable)
			make_ready(epoll, place);
		return;
	case SQUALL_SEND:
	case SQUALL_SEND_NOW:
		return start_send(epoll, place, operation);
	case SQUALL_AWAIT_ROOM:
		return await_room(epoll, place, operation);
	case SQUALL_FINISH:
		ring->call_count++;
		return finish(epoll, operation,
			      shutdown(place->fd, SHUT_WR) < 0 ? -errno : 0);
	case SQUALL_RESET:
		return finish(epoll, operation, reset(epoll, place));
	case SQUALL_CLOSE:
		return finish(epoll, operation, close_slot(epoll, place));
	default:
		return complete(epoll, operation->token, -EINVAL, 0);
	}
}

/* ---- turns ---- */

static void heard(struct epoll *epoll, const struct epoll_event *event)
{
	struct place *place = &epoll->places[(uint32_t)event->data.u64];
	uint32_t events = event->events;
	const uint32_t endings = EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI;

	if (place->generation != (uint32_t)(event->data.u64 >> 32) || place->fd < 0)
		return;
	if (place >= epoll->places + epoll->slot_count)
		return use_descriptor(epoll, place, events);
	if (events & (EPOLLIN | endings)) {
		place->is_readable = true;
		place->reads_on = place->reads_on || (events & endings) != 0;
		if (place->is_receiving)
			make_ready(epoll, place);
	}
	if (!(events & (EPOLLOUT | EPOLLHUP | EPOLLERR)))
		return;
	if (place->is_connecting)
		connected(epoll, place);
	if (place->awaits_room) {
		place->awaits_room = false;
		complete(epoll, place->token, (int32_t)events, 0);
	}
	if (place->first != NULL)
		go_on_sending(epoll, place);
}

/* Hears what there is, at the latest at the deadline; NULL waits without end. */
static int32_t listen_until(struct epoll *epoll, const struct timespec *wait)
{
	int32_t count;

	epoll->ring.call_count++;
	if (!epoll->waits_by_poll) {
		count = epoll_pwait2(epoll->fd, epoll->events, EVENT_COUNT_MAX, wait, NULL);
		/* Linux 5.11; a container's seccomp profile may be older and say EPERM. */
		epoll->waits_by_poll = count < 0 && (errno == ENOSYS || errno == EPERM);
	}
	if (epoll->waits_by_poll) {
		struct pollfd waiting = { .fd = epoll->fd, .events = POLLIN };
		epoll->ring.call_count++;
		if (ppoll(&waiting, 1, wait, NULL) < 0)
			return -errno;
		count = epoll_wait(epoll->fd, epoll->events, EVENT_COUNT_MAX, 0);
	}
	if (count < 0)
		return -errno;
	for (int32_t index = 0; index < count; index++)
		heard(epoll, &epoll->events[index]);
	epoll->reads_left = READ_COUNT_MAX * epoll->ready_count;
	return 0;
}

static int32_t wait_until(squall_ring *ring, uint64_t deadline_ns)
{
	struct epoll *epoll = (struct epoll *)ring;
	struct timespec wait = { 0, 0 };
	int32_t result;

	if (epoll->done_count > 0 || epoll->ready_count > 0)
		deadline_ns = 0;
	if (deadline_ns == UINT64_MAX) {
		result = listen_until(epoll, NULL);
	} else {
		if (deadline_ns > 0) {
			uint64_t now_ns = squall_now_ns();
			deadline_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
		}
		wait.tv_sec = (time_t)(deadline_ns / 1000000000);
		wait.tv_nsec = (long)(deadline_ns % 1000000000);
		result = listen_until(epoll, &wait);
	}
	return result == -EINTR ? 0 : result;
}

static bool has_work(squall_ring *ring)
{
	struct epoll *epoll = (struct epoll *)ring;
	const struct timespec none = { 0, 0 };

	if (epoll->done_count == 0 && epoll->ready_count == 0)
		listen_until(epoll, &none);
	return epoll->done_count > 0 || epoll->ready_count > 0;
}

static uint32_t take(squall_ring *ring, struct squall_completion *into, uint32_t capacity)
{
	struct epoll *epoll = (struct epoll *)ring;
	uint32_t count = 0;

	while (count < capacity && epoll->done_count > 0) {
		into[count++] = epoll->done[epoll->done_start];
		epoll->done_start = (epoll->done_start + 1) & (epoll->done_capacity - 1);
		epoll->done_count--;
	}
	while (count < capacity && epoll->reads_left > 0 && epoll->ready_count > 0) {
		struct place *place = &epoll->places[epoll->ready[epoll->ready_start]];
		if (++epoll->ready_start == epoll->place_count)
			epoll->ready_start = 0;
		epoll->ready_count--;
		epoll->reads_left--;
		place->is_ready = false;
		if (!place->is_readable)
			continue;
		if (place->is_receiving)
			count += receive_one(epoll, place, &into[count]);
		else if (place->is_accepting)
			count += accept_one(epoll, place, &into[count]);
	}
	return count;
}

static void lend(squall_ring *ring, uint16_t id, void *bytes, uint32_t byte_count)
{
	struct epoll *epoll = (struct epoll *)ring;

	epoll->loans[epoll->loan_count++] =
		(struct loan){ .bytes = bytes, .byte_count = byte_count, .id = id };
}

/* ---- setting up ---- */

static void destroy(squall_ring *ring)
{
	struct epoll *epoll = (struct epoll *)ring;

	for (uint32_t index = 0; epoll->places != NULL && index < epoll->place_count; index++) {
		struct place *place = &epoll->places[index];
		while (place->first != NULL)
			end_waiting(place);
		if (index < epoll->slot_count && place->fd >= 0)
			close(place->fd);
	}
	if (epoll->fd >= 0)
		close(epoll->fd);
	free(epoll->places);
	free(epoll->events);
	free(epoll->ready);
	free(epoll->loans);
	free(epoll->free_slots);
	free(epoll->done);
	free(epoll);
}

static squall_ring *create(const struct squall_ring_options *options,
			   struct squall_failure *failure)
{
	struct epoll *epoll = calloc(1, sizeof(*epoll));
	if (epoll == NULL) {
		squall_failure_set(failure, "calloc", ENOMEM);
		return NULL;
	}
	epoll->fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll->fd < 0) {
		squall_failure_set(failure, "epoll_create1", errno);
		destroy(&epoll->ring);
		return NULL;
	}
	epoll->slot_count = options->file_count;
	epoll->place_count = options->file_count + DESCRIPTOR_COUNT;
	epoll->done_capacity = DONE_COUNT_FIRST;
	epoll->places = calloc(epoll->place_count, sizeof(*epoll->places));
	epoll->ready = calloc(epoll->place_count, sizeof(*epoll->ready));
	epoll->events = calloc(EVENT_COUNT_MAX, sizeof(*epoll->events));
	epoll->done = calloc(epoll->done_capacity, sizeof(*epoll->done));
	epoll->loans = calloc(options->buffer_count + 1, sizeof(*epoll->loans));
	if (epoll->places == NULL || epoll->ready == NULL || epoll->events == NULL ||
	    epoll->done == NULL || epoll->loans == NULL) {
		squall_failure_set(failure, "calloc", ENOMEM);
		destroy(&epoll->ring);
		return NULL;
	}
	for (uint32_t index = 0; index < epoll->place_count; index++)
		epoll->places[index].fd = -1;
	return &epoll->ring;
}

const struct squall_kernel squall_kernel_epoll = {
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
