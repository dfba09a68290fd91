/*
 * CTLS by itself: handshakes, bytes and failures between two of its connections. Compiled over OpenSSL's
 * libssl (SQUALL_LIBSSL), it shows that the way out is open. Prints what does not hold, and exits 1 then.
 */
#include "CTLS.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int failure_count;

#define EXPECT(holds)                                                     \
	do {                                                              \
		if (!(holds)) {                                           \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #holds); \
			failure_count++;                                  \
		}                                                         \
	} while (0)

struct end {
	squall_tls *tls;
	enum squall_tls_result result; /* of what was done last */
	uint8_t got[200000];
	size_t got_count;
};

static struct squall_tls_bytes text_bytes(const char *text)
{
	return (struct squall_tls_bytes){.bytes = (const uint8_t *)text, .count = strlen(text)};
}

static void feed(struct end *end, uint8_t *bytes, size_t count)
{
	size_t at = 0;

	for (;;) {
		struct squall_tls_bytes plain = {0};
		size_t used = 0;

		end->result = squall_tls_receive(end->tls, bytes + at, count - at, &used, &plain);
		at += used;
		if (end->result == SQUALL_TLS_READY) {
			EXPECT(end->got_count + plain.count <= sizeof(end->got));
			memcpy(end->got + end->got_count, plain.bytes, plain.count);
			end->got_count += plain.count;
		} else if (end->result == SQUALL_TLS_STEP) {
			end->result = squall_tls_step(end->tls);
			if (end->result != SQUALL_TLS_READY && at == count)
				return;
		} else if (end->result != SQUALL_TLS_MORE || at == count) {
			return;
		}
	}
}

/* Brings what `from` has to say of itself to `to`. */
static bool move(struct end *from, struct end *to)
{
	struct squall_tls_bytes output = squall_tls_output(from->tls);
	uint8_t *copy;

	if (output.count == 0)
		return false;
	copy = malloc(output.count);
	memcpy(copy, output.bytes, output.count);
	feed(to, copy, output.count);
	free(copy);
	squall_tls_output_taken(from->tls);
	return true;
}

static void shake_hands(struct end *client, struct end *server)
{
	client->result = squall_tls_step(client->tls);
	for (bool moved = true; moved;) {
		moved = move(client, server);
		moved = move(server, client) || moved;
	}
}

static void send_all(struct end *from, struct end *to, const uint8_t *bytes, size_t count)
{
	uint8_t *sealed = malloc(squall_tls_sealed_bytes_max(from->tls, count));
	size_t sealed_count = squall_tls_seal(from->tls, bytes, count, sealed);

	EXPECT(sealed_count > count);
	to->got_count = 0;
	/* In two parts, which cut a record in two. */
	feed(to, sealed, sealed_count / 2);
	feed(to, sealed + sealed_count / 2, sealed_count - sealed_count / 2);
	EXPECT(to->got_count == count && memcmp(to->got, bytes, count) == 0);
	free(sealed);
}

static struct end ends[2];

static void begin(squall_tls_context *client, squall_tls_context *server, const char *name)
{
	squall_tls_destroy(ends[0].tls);
	squall_tls_destroy(ends[1].tls);
	memset(ends, 0, sizeof(ends));
	ends[0].tls = squall_tls_create(client, name);
	ends[1].tls = squall_tls_create(server, NULL);
	EXPECT(ends[0].tls != NULL && ends[1].tls != NULL);
	shake_hands(&ends[0], &ends[1]);
}

static enum squall_tls_reason reason(const struct end *end)
{
	struct squall_tls_failure failure;

	squall_tls_failure(end->tls, &failure);
	return failure.reason;
}

static void make_certificate(int64_t not_after, char **certificate, char **key)
{
	struct squall_certificate_options options = {
		.common_name = "here",
		.names = "here.example,127.0.0.1",
		.not_before = time(NULL) - 86400,
		.not_after = not_after,
	};
	char text[SQUALL_TLS_TEXT_BYTES];

	EXPECT(squall_certificate_make(&options, certificate, key, text));
}

static squall_tls_context *make_context(bool serves, uint16_t version, bool resumes,
					const char *certificate, const char *key)
{
	static const char protocols[] = "\x02h2\x08http/1.1";
	struct squall_tls_options options = {
		.serves = serves,
		.version_min = version,
		.version_max = version,
		.verifies = !serves,
		.resumes = resumes,
		.protocols = text_bytes(protocols),
	};
	char text[SQUALL_TLS_TEXT_BYTES];
	squall_tls_context *context;

	if (serves) {
		options.chain = text_bytes(certificate);
		options.key = text_bytes(key);
		options.ticket_keys = text_bytes("forty-eight bytes that nobody else is to know ..");
	} else {
		options.authorities = text_bytes(certificate);
	}
	context = squall_tls_context_create(&options, text);
	if (context == NULL)
		printf("%s\n", text);
	EXPECT(context != NULL);
	return context;
}

static void exchange(uint16_t version, const char *certificate, const char *key)
{
	squall_tls_context *client = make_context(false, version, true, certificate, key);
	squall_tls_context *server = make_context(true, version, true, certificate, key);
	uint8_t *many = malloc(100000);
	struct squall_tls_facts facts;

	for (size_t index = 0; index < 100000; index++)
		many[index] = (uint8_t)(index * 31);
	for (int turn = 0; turn < 2; turn++) {
		begin(client, server, "here.example");
		squall_tls_facts(ends[0].tls, &facts);
		EXPECT(facts.version == version);
		EXPECT(facts.is_resumed == (turn == 1));
		EXPECT(!facts.was_retried);
		EXPECT(facts.chain_bytes > 200);
		EXPECT(facts.protocol_bytes == 2 && memcmp(facts.protocol, "h2", 2) == 0);
		EXPECT(squall_tls_cipher_name(facts.cipher) != NULL);
		if (turn == 0)
			EXPECT(facts.group == 29);
		send_all(&ends[0], &ends[1], many, 100000);
		send_all(&ends[1], &ends[0], many, 40);
		uint8_t last[512];
		size_t last_count = squall_tls_seal_close(ends[1].tls, last);
		EXPECT(last_count > 0);
		feed(&ends[0], last, last_count);
		EXPECT(ends[0].result == SQUALL_TLS_CLOSED);
	}

	begin(client, server, "127.0.0.1");
	squall_tls_facts(ends[0].tls, &facts);
	EXPECT(facts.version == version && !facts.is_resumed);
	uint8_t record[512];
	size_t record_count = squall_tls_seal(ends[1].tls, many, 40, record);
	record[record_count - 1] ^= 1;
	feed(&ends[0], record, record_count);
	EXPECT(ends[0].result == SQUALL_TLS_FAILED && reason(&ends[0]) == SQUALL_TLS_BAD_RECORD);

	begin(client, server, "elsewhere.example");
	EXPECT(ends[0].result == SQUALL_TLS_FAILED && reason(&ends[0]) == SQUALL_TLS_WRONG_NAME);
	EXPECT(ends[1].result == SQUALL_TLS_FAILED && reason(&ends[1]) == SQUALL_TLS_ALERT);

	begin(client, server, "here.example");
	uint8_t plain[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
	squall_tls_destroy(ends[0].tls);
	ends[0].tls = squall_tls_create(client, "here.example");
	squall_tls_step(ends[0].tls);
	feed(&ends[0], plain, sizeof(plain) - 1);
	EXPECT(ends[0].result == SQUALL_TLS_FAILED && reason(&ends[0]) == SQUALL_TLS_NOT_TLS);
	free(many);
}

int main(void)
{
	const uint16_t versions[] = {0x0303, 0x0304};
	char *certificate, *key, *other, *other_key, *old, *old_key;

	make_certificate(time(NULL) + 86400, &certificate, &key);
	make_certificate(time(NULL) + 86400, &other, &other_key);
	make_certificate(time(NULL) - 3600, &old, &old_key);
	for (int index = 0; index < 2; index++) {
		uint16_t version = versions[index];
		exchange(version, certificate, key);
		begin(make_context(false, version, false, other, NULL),
		      make_context(true, version, false, certificate, key), "here.example");
		EXPECT(reason(&ends[0]) == SQUALL_TLS_UNKNOWN_CA);
		begin(make_context(false, version, false, old, NULL),
		      make_context(true, version, false, old, old_key), "here.example");
		EXPECT(reason(&ends[0]) == SQUALL_TLS_EXPIRED);
		begin(make_context(false, version, false, certificate, NULL),
		      make_context(true, versions[1 - index], false, certificate, key), "here.example");
		EXPECT(reason(&ends[0]) == SQUALL_TLS_WRONG_VERSION);
	}
	EXPECT(strcmp(squall_tls_cipher_name(0x1301), "TLS_AES_128_GCM_SHA256") == 0);
	EXPECT(strcmp(squall_tls_group_name(29), "X25519") == 0);
	uint8_t digest[SQUALL_SHA256_BYTES];
	EXPECT(squall_hmac_sha256("key", 3, "bytes", 5, digest));
	return failure_count == 0 ? 0 : 1;
}
