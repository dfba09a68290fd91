/*
 * What libFuzzer calls (https://llvm.org/docs/LibFuzzer.html), built by scripts/fuzz: records of TLS 1.3, each of them
 * sealed under the right key, so that what is in them is read, and then perhaps broken. Read whole and cut: both come
 * to the same.
 *
 * The input is a list: type 1, length 1, flags 1, content.
 */
#include "../../CTLS/records.c"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t count);

enum { BREAKS = 1, PADS = 2, RENEWS_KEY = 4, ROOM = 1 << 20 };

struct reading {
	uint8_t plain[ROOM];
	size_t plain_count;
	size_t output_count;
	enum squall_tls_result end;
	uint8_t alert;
};

static squall_tls_context *context(void)
{
	static squall_tls_context *context;
	char text[SQUALL_TLS_TEXT_BYTES];
	struct squall_tls_options options = {.verifies = false};

	if (context == NULL)
		context = squall_tls_context_create(&options, text);
	if (context == NULL) {
		fprintf(stderr, "%s\n", text);
		abort();
	}
	return context;
}

static squall_tls *secured(uint8_t in, uint8_t out)
{
	squall_tls *tls = tls_place_take(context());

	if (tls == NULL)
		abort();
	tls->aead = EVP_aead_aes_128_gcm();
	tls->digest = EVP_sha256();
	tls->secret_count = 32;
	memset(tls->in.secret, in, sizeof(tls->in.secret));
	memset(tls->out.secret, out, sizeof(tls->out.secret));
	EVP_AEAD_CTX_zero(&tls->in.aead);
	EVP_AEAD_CTX_zero(&tls->out.aead);
	tls->has_keys = set_key(tls, &tls->in, 0) && set_key(tls, &tls->out, 0);
	if (!tls->has_keys)
		abort();
	tls->state = OPENS_RECORDS;
	return tls;
}

/* All records of the list, one behind the other. */
static size_t write_records(const uint8_t *input, size_t count, uint8_t *into)
{
	squall_tls *peer = secured(2, 1);
	size_t written = 0;

	while (count >= 3 && written + 2048 < ROOM) {
		uint8_t type = input[0], flags = input[2];
		size_t content = input[1] < count - 3 ? input[1] : count - 3;
		uint8_t plain[256 + 64] = {0};
		size_t sealed;

		memcpy(plain, input + 3, content);
		if (flags & RENEWS_KEY) {
			sealed = tls_records_seal_key_update(peer, flags & 8, into + written);
		} else if (flags & PADS) {
			/* The type is in front of zeros, the last of which is sealed as the type. */
			plain[content] = type;
			sealed = tls_records_seal(peer, 0, plain, content + 1 + (flags >> 4),
						  into + written);
		} else {
			sealed = tls_records_seal(peer, type, plain, content, into + written);
		}
		if (flags & BREAKS)
			into[written + (flags >> 3) % sealed] ^= (uint8_t)(1 << (flags >> 5));
		written += sealed;
		input += 3 + content;
		count -= 3 + content;
	}
	squall_tls_destroy(peer);
	return written;
}

static void read_records(const uint8_t *bytes, size_t count, size_t step, struct reading *reading)
{
	squall_tls *tls = secured(1, 2);
	struct squall_tls_failure failure;

	reading->plain_count = 0;
	reading->end = SQUALL_TLS_MORE;
	for (size_t at = 0; at < count && reading->end == SQUALL_TLS_MORE; at += step) {
		size_t left = count - at < step ? count - at : step;
		size_t from = 0, used;
		uint8_t *piece = malloc(left); /* of its own, so that what is read beyond it is seen */

		if (piece == NULL)
			abort();
		memcpy(piece, bytes + at, left);
		do {
			struct squall_tls_bytes plain = {0};

			reading->end =
				squall_tls_receive(tls, piece + from, left - from, &used, &plain);
			from += used;
			memcpy(reading->plain + reading->plain_count, plain.bytes, plain.count);
			reading->plain_count += plain.count;
		} while (reading->end == SQUALL_TLS_READY);
		free(piece);
	}
	squall_tls_failure(tls, &failure);
	reading->alert = failure.alert;
	reading->output_count = squall_tls_output_bytes(tls);
	squall_tls_destroy(tls);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t count)
{
	static struct reading whole, cut;
	static uint8_t bytes[ROOM];
	size_t written;

	if (count < 1)
		return 0;
	written = write_records(input + 1, count - 1, bytes);
	read_records(bytes, written, written + 1, &whole);
	read_records(bytes, written, 1 + input[0], &cut);
	if (whole.end != cut.end || whole.alert != cut.alert || whole.output_count != cut.output_count ||
	    whole.plain_count != cut.plain_count ||
	    memcmp(whole.plain, cut.plain, whole.plain_count) != 0) {
		fprintf(stderr, "whole: %zu bytes, end %d, alert %u; cut: %zu, %d, %u\n",
			whole.plain_count, whole.end, whole.alert, cut.plain_count, cut.end, cut.alert);
		abort();
	}
	return 0;
}
