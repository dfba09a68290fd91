/*
 * The floor of HTTP/2 without TLS: HEADERS frames that were made before the run, of which only the
 * stream's number changes, and a count of the frames that end a stream. Flow control is a window so
 * large that it is opened again every 2^28 bytes; an answer's first byte must say 200.
 */
#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { DATA = 0, HEADERS = 1, SETTINGS = 4, GOAWAY = 7, WINDOW_UPDATE = 8 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, PRIORITY = 32 };
enum { FRAME_HEADER = 9, REOPEN = 1 << 28 };

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* The block that adds authority and path to the peer's table, and the one of their indices. */
static uint8_t first_block[2100], later_block[8];
static size_t first_byte_count, later_byte_count;

struct stream_state {
	uint32_t next_id;
	uint32_t taken; /* bytes of DATA since the window was opened */
	uint32_t acks;
	uint8_t header[FRAME_HEADER], header_count;
	uint32_t left;
	bool begins;
};

static void refuse(const char *why)
{
	fprintf(stderr, "h2c-floor: %s\n", why);
	exit(2);
}

static size_t literal(uint8_t *into, uint8_t index, const char *text)
{
	size_t count = strlen(text);

	if (count > 126)
		refuse("a path of more than 126 bytes is not prepared");
	into[0] = (uint8_t)(0x40 | index); /* with indexing, RFC 7541 6.2.1 */
	into[1] = (uint8_t)count;
	memcpy(into + 2, text, count);
	return 2 + count;
}

static void prepare(const struct client_options *options)
{
	char authority[64];
	bool is_root = !strcmp(options->path, "/");

	snprintf(authority, sizeof(authority), "%s:%u", options->host,
		 ntohs(options->address.sin_port));
	first_block[0] = later_block[0] = 0x82; /* GET */
	first_block[1] = later_block[1] = 0x86; /* http */
	first_byte_count = later_byte_count = 2;
	if (is_root)
		first_block[first_byte_count++] = later_block[later_byte_count++] = 0x84;
	else
		first_byte_count += literal(first_block + first_byte_count, 4, options->path);
	first_byte_count += literal(first_block + first_byte_count, 1, authority);
	if (!is_root)
		later_block[later_byte_count++] = 0x80 | 63;
	later_block[later_byte_count++] = 0x80 | 62;
}

static uint8_t *frame(uint8_t *into, size_t count, uint8_t type, uint8_t flags, uint32_t stream)
{
	uint32_t id = htonl(stream);

	into[0] = (uint8_t)(count >> 16);
	into[1] = (uint8_t)(count >> 8);
	into[2] = (uint8_t)count;
	into[3] = type;
	into[4] = flags;
	memcpy(into + 5, &id, 4);
	return into + FRAME_HEADER;
}

static uint8_t *window_update(uint8_t *into, uint32_t count)
{
	uint32_t value = htonl(count);

	into = frame(into, 4, WINDOW_UPDATE, 0, 0);
	memcpy(into, &value, 4);
	return into + 4;
}

static size_t request_byte_count_max(uint32_t count)
{
	return (size_t)count * (FRAME_HEADER + sizeof(first_block)) + 1024;
}

static void *begin(const struct client_options *options, int fd)
{
	/* No pushes, and windows of 2^30 - 1. */
	static const uint8_t settings[12] = {0, 2, 0, 0, 0, 0, 0, 4, 0x3f, 0xff, 0xff, 0xff};
	struct stream_state *state = calloc(1, sizeof(*state));
	uint8_t bytes[128], *at = bytes;

	(void)options;
	if (!state)
		abort();
	memcpy(at, preface, sizeof(preface) - 1);
	at = frame(at + sizeof(preface) - 1, sizeof(settings), SETTINGS, 0, 0);
	memcpy(at, settings, sizeof(settings));
	at = window_update(at + sizeof(settings), (1u << 30) - 1 - 65535);
	if (send(fd, bytes, (size_t)(at - bytes), MSG_NOSIGNAL) != at - bytes)
		refuse("the preface could not be sent");
	state->next_id = 1;
	return state;
}

static size_t request(void *opaque, uint32_t count, uint8_t *into)
{
	struct stream_state *state = opaque;
	uint8_t *at = into;

	for (; state->acks > 0; state->acks--)
		at = frame(at, 0, SETTINGS, ACK, 0);
	if (state->taken >= REOPEN) {
		at = window_update(at, state->taken);
		state->taken = 0;
	}
	for (uint32_t i = 0; i < count; i++, state->next_id += 2) {
		bool is_first = state->next_id == 1;
		size_t byte_count = is_first ? first_byte_count : later_byte_count;

		at = frame(at, byte_count, HEADERS, END_STREAM | END_HEADERS, state->next_id);
		memcpy(at, is_first ? first_block : later_block, byte_count);
		at += byte_count;
	}
	return (size_t)(at - into);
}

/* Of a frame whose header is here. Whether it is one that the floor can do with. */
static bool begins(struct stream_state *state)
{
	const uint8_t *header = state->header;

	state->left = (uint32_t)header[0] << 16 | (uint32_t)header[1] << 8 | header[2];
	state->begins = header[3] == HEADERS;
	if (header[3] == DATA)
		state->taken += state->left;
	if (header[3] == SETTINGS && !(header[4] & ACK))
		state->acks += state->acks < 16;
	if (header[3] == HEADERS && (header[4] & (PADDED | PRIORITY) || state->left == 0))
		return false;
	return header[3] == DATA || header[3] == HEADERS || header[3] == SETTINGS ||
	       header[3] == WINDOW_UPDATE;
}

static ssize_t take(void *opaque, uint8_t *bytes, size_t count)
{
	struct stream_state *state = opaque;
	const uint8_t *end = bytes + count;
	ssize_t answers = 0;

	while (bytes < end) {
		if (state->header_count < FRAME_HEADER) {
			state->header[state->header_count++] = *bytes++;
			if (state->header_count < FRAME_HEADER)
				continue;
			if (!begins(state))
				return -1;
		} else {
			size_t there = (size_t)(end - bytes);

			/* 0x88 is `:status: 200`; before it the table's size may be told. */
			if (state->begins && (*bytes & 0xe0) != 0x20) {
				if (*bytes != 0x88)
					return -1;
				state->begins = false;
			}
			if (state->begins)
				there = 1;
			if (there > state->left)
				there = state->left;
			bytes += there;
			state->left -= (uint32_t)there;
		}
		if (state->left > 0)
			continue;
		state->header_count = 0;
		answers += state->header[3] <= HEADERS && (state->header[4] & END_STREAM);
	}
	return answers;
}

int main(int argc, char **argv)
{
	static const struct wire wire = {.name = "h2c-floor",
					 .request_byte_count_max = request_byte_count_max,
					 .begin = begin,
					 .request = request,
					 .take = take};
	struct client_options options;

	client_options_read(&options, argc, argv);
	prepare(&options);
	return wire_run(&wire, &options, 0);
}
