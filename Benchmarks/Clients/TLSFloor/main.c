/*
 * The floor of HTTP/1.1 over TLS 1.3: one request sealed, the records of its answer opened in place,
 * by the AEAD of the BoringSSL that the product links, and the plain bytes counted. Handshakes are the
 * library's, before the load; no certificate is checked.
 */
#define _GNU_SOURCE
#include "secrets.h"
#include "wire.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = 5, TAG = 16, NONCE = 12, DATA = 23, HANDSHAKE = 22 };
enum { RECORD_MAX = HEADER + 16384 + 256 };

struct key {
	EVP_AEAD_CTX aead;
	uint8_t iv[NONCE];
	uint64_t sequence;
};

struct secure_state {
	struct key in, out;
	uint8_t *held; /* of a record that is not whole */
	size_t held_count;
	size_t plain_count; /* of the answer that is not whole */
};

static SSL_CTX *context;
static char *one_request;
static size_t one_request_byte_count, answer_byte_count;

static void refuse(const char *why)
{
	fprintf(stderr, "tls-floor: %s\n", why);
	exit(1);
}

/* RFC 8446 7.1. */
static void expand(const EVP_MD *digest, const uint8_t *secret, size_t secret_count,
		   const char *label, uint8_t *into, size_t count)
{
	uint8_t info[32] = {0, (uint8_t)count, (uint8_t)(6 + strlen(label)), 't', 'l',
			    's', '1', '3', ' '};

	memcpy(info + 9, label, strlen(label));
	if (!HKDF_expand(into, count, digest, secret, secret_count, info, 10 + strlen(label)))
		refuse("no key could be made");
}

static void set_key(struct key *key, const SSL *ssl, const uint8_t *secret, size_t secret_count,
		    uint64_t sequence)
{
	uint16_t cipher = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl));
	const EVP_AEAD *aead = cipher == 0x1302 ? EVP_aead_aes_256_gcm() : EVP_aead_aes_128_gcm();
	const EVP_MD *digest = cipher == 0x1302 ? EVP_sha384() : EVP_sha256();
	uint8_t bytes[32];

	if (cipher != 0x1301 && cipher != 0x1302)
		refuse("the target chose another cipher than AES-GCM");
	expand(digest, secret, secret_count, "key", bytes, EVP_AEAD_key_length(aead));
	expand(digest, secret, secret_count, "iv", key->iv, NONCE);
	if (!EVP_AEAD_CTX_init(&key->aead, aead, bytes, EVP_AEAD_key_length(aead), TAG, NULL))
		refuse("no key could be made");
	key->sequence = sequence;
}

static inline void next_nonce(struct key *key, uint8_t nonce[NONCE])
{
	memcpy(nonce, key->iv, NONCE);
	for (int i = 0; i < 8; i++)
		nonce[NONCE - 1 - i] ^= (uint8_t)(key->sequence >> (8 * i));
	key->sequence++;
}

static void *begin(const struct client_options *options, int fd)
{
	struct secure_state *state = calloc(1, sizeof(*state));
	uint8_t in[SECRET_BYTES_MAX], out[SECRET_BYTES_MAX];
	SSL *ssl = SSL_new(context);
	size_t count;

	(void)options;
	if (!state || !ssl || !SSL_set_fd(ssl, fd))
		abort();
	if (SSL_connect(ssl) != 1)
		refuse("a handshake failed");
	count = traffic_secrets(ssl, in, out);
	if (count == 0)
		refuse("the target does not speak TLS 1.3");
	set_key(&state->in, ssl, in, count, SSL_get_read_sequence(ssl));
	set_key(&state->out, ssl, out, count, SSL_get_write_sequence(ssl));
	SSL_free(ssl);
	return state;
}

static size_t request_byte_count_max(uint32_t count)
{
	return count * (HEADER + one_request_byte_count + 1 + TAG);
}

static size_t request(void *opaque, uint32_t count, uint8_t *into)
{
	struct secure_state *state = opaque;
	size_t total = 0;

	for (uint32_t i = 0; i < count; i++) {
		size_t plain = one_request_byte_count, sealed = plain + 1 + TAG, written = 0;
		uint8_t nonce[NONCE], *at = into + total;

		memcpy(at, (const uint8_t[HEADER]){DATA, 3, 3, (uint8_t)(sealed >> 8), (uint8_t)sealed},
		       HEADER);
		memcpy(at + HEADER, one_request, plain);
		at[HEADER + plain] = DATA;
		next_nonce(&state->out, nonce);
		if (!EVP_AEAD_CTX_seal(&state->out.aead, at + HEADER, &written, sealed, nonce, NONCE,
				       at + HEADER, plain + 1, at, HEADER))
			refuse("a record could not be sealed");
		total += HEADER + written;
	}
	return total;
}

/* Opens a whole record; its plain bytes, or NULL for none of the answer. */
static const uint8_t *opened(struct secure_state *state, uint8_t *record, size_t total, size_t *count)
{
	uint8_t *content = record + HEADER, nonce[NONCE];

	next_nonce(&state->in, nonce);
	if (record[0] != DATA ||
	    !EVP_AEAD_CTX_open(&state->in.aead, content, count, total - HEADER, nonce, NONCE, content,
			       total - HEADER, record, HEADER))
		refuse("a record could not be opened");
	while (*count > 0 && content[*count - 1] == 0)
		--*count;
	if (*count == 0 || (content[*count - 1] != DATA && content[*count - 1] != HANDSHAKE))
		refuse("the target ended a connection");
	return content[--*count] == DATA ? content : NULL; /* or a ticket */
}

/* Calls for the plain bytes of each record that is whole, and keeps the rest. */
static void take_records(struct secure_state *state, uint8_t *bytes, size_t count,
			 void (*use)(struct secure_state *, const uint8_t *, size_t))
{
	while (count > 0) {
		uint8_t *record = state->held_count ? state->held : bytes;
		size_t there = state->held_count ? state->held_count : count;
		size_t total = HEADER, plain_count = 0;
		const uint8_t *plain;

		if (there >= HEADER)
			total += (size_t)record[3] << 8 | record[4];
		if (total > RECORD_MAX)
			refuse("a record is too long");
		if (there < HEADER || there < total) {
			size_t part = total - state->held_count;

			if (part > count)
				part = count;
			if (!state->held && !(state->held = malloc(RECORD_MAX)))
				abort();
			memcpy(state->held + state->held_count, bytes, part);
			state->held_count += part;
			bytes += part;
			count -= part;
			if (state->held_count < HEADER || total == HEADER ||
			    state->held_count < total)
				continue;
			record = state->held;
		} else {
			bytes += total;
			count -= total;
		}
		plain = opened(state, record, total, &plain_count);
		state->held_count = 0;
		if (plain)
			use(state, plain, plain_count);
	}
}

static void add(struct secure_state *state, const uint8_t *plain, size_t count)
{
	(void)plain;
	state->plain_count += count;
}

static ssize_t take(void *opaque, uint8_t *bytes, size_t count)
{
	struct secure_state *state = opaque;
	ssize_t answers;

	take_records(state, bytes, count, add);
	answers = (ssize_t)(state->plain_count / answer_byte_count);
	state->plain_count %= answer_byte_count;
	return answers;
}

static char head[16385];

static void learn_bytes(struct secure_state *state, const uint8_t *plain, size_t count)
{
	if (state->plain_count + count < sizeof(head))
		memcpy(head + state->plain_count, plain, count);
	else if (answer_byte_count == 0)
		refuse("an answer's head is longer than 16 KiB");
	state->plain_count += count;
	if (answer_byte_count == 0)
		answer_byte_count = client_answer_byte_count(head, state->plain_count);
}

/* Sends one request on a connection of its own: as many bytes as its answer has each has. */
static void learn(const struct client_options *options)
{
	uint8_t bytes[65536];
	int fd = client_connect(options);
	struct secure_state *state;
	size_t count;

	if (fd < 0)
		refuse("the target does not take connections");
	state = begin(options, fd);
	count = request(state, 1, bytes);
	if (send(fd, bytes, count, MSG_NOSIGNAL) != (ssize_t)count)
		refuse("the probe could not be sent");
	while (answer_byte_count == 0 || state->plain_count < answer_byte_count) {
		ssize_t got = recv(fd, bytes, sizeof(bytes), 0);

		if (got <= 0)
			refuse("the probe's answer did not come whole");
		take_records(state, bytes, (size_t)got, learn_bytes);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct wire wire = {.name = "tls-floor",
					 .probes = 1,
					 .request_byte_count_max = request_byte_count_max,
					 .begin = begin,
					 .request = request,
					 .take = take};
	struct client_options options, single;

	client_options_read(&options, argc, argv);
	single = options;
	single.pipeline = 1;
	one_request = client_request(&single, &one_request_byte_count);
	context = SSL_CTX_new(TLS_method());
	if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION))
		refuse("no TLS");
	learn(&options);
	return wire_run(&wire, &options, answer_byte_count);
}
