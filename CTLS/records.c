/*
 * TLS 1.3's record layer (RFC 8446 5) under the library's AEAD: two keys, two
 * nonces, two sequence numbers. Records are opened where they lie.
 *
 *   type 23 | 03 03 | length 2 | content … | inner type 1 | zeros … | tag 16
 */
#include "internal.h"

#ifndef SQUALL_LIBSSL

#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 5
#define TAG_BYTES 16
#define TYPE_ALERT 21
#define TYPE_HANDSHAKE 22
#define TYPE_DATA 23
#define MESSAGE_NEW_SESSION_TICKET 4
#define MESSAGE_KEY_UPDATE 24
#define MESSAGES_BYTES_MAX (64 * 1024)

/* RFC 8446 7.1. */
static bool expand_label(const squall_tls *tls, const uint8_t *secret, const char *label,
			 uint8_t *into, size_t count)
{
	uint8_t info[2 + 1 + 32 + 1];
	size_t label_count = strlen(label);

	info[0] = (uint8_t)(count >> 8);
	info[1] = (uint8_t)count;
	info[2] = (uint8_t)(6 + label_count);
	memcpy(info + 3, "tls13 ", 6);
	memcpy(info + 9, label, label_count);
	info[9 + label_count] = 0;
	return HKDF_expand(into, count, tls->digest, secret, tls->secret_count, info,
			   10 + label_count) == 1;
}

static bool set_key(const squall_tls *tls, struct record_key *key, uint64_t sequence)
{
	uint8_t bytes[EVP_AEAD_MAX_KEY_LENGTH];
	size_t count = EVP_AEAD_key_length(tls->aead);
	bool is_set;

	EVP_AEAD_CTX_cleanup(&key->aead);
	EVP_AEAD_CTX_zero(&key->aead);
	is_set = expand_label(tls, key->secret, "key", bytes, count) &&
		 expand_label(tls, key->secret, "iv", key->iv, NONCE_BYTES) &&
		 EVP_AEAD_CTX_init(&key->aead, tls->aead, bytes, count, TAG_BYTES, NULL) == 1;
	OPENSSL_cleanse(bytes, sizeof(bytes));
	key->sequence = sequence;
	return is_set;
}

/* RFC 8446 7.2. */
static bool next_key(const squall_tls *tls, struct record_key *key)
{
	uint8_t next[SECRET_BYTES_MAX];

	if (!expand_label(tls, key->secret, "traffic upd", next, tls->secret_count))
		return false;
	memcpy(key->secret, next, tls->secret_count);
	OPENSSL_cleanse(next, sizeof(next));
	return set_key(tls, key, 0);
}

static void next_nonce(struct record_key *key, uint8_t nonce[NONCE_BYTES])
{
	memcpy(nonce, key->iv, NONCE_BYTES);
	for (int index = 0; index < 8; index++)
		nonce[NONCE_BYTES - 1 - index] ^= (uint8_t)(key->sequence >> (8 * index));
	key->sequence++;
}

bool tls_records_begin(squall_tls *tls)
{
	switch (SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(tls->ssl))) {
	case 0x1301:
		tls->aead = EVP_aead_aes_128_gcm();
		tls->digest = EVP_sha256();
		break;
	case 0x1302:
		tls->aead = EVP_aead_aes_256_gcm();
		tls->digest = EVP_sha384();
		break;
	case 0x1303:
		tls->aead = EVP_aead_chacha20_poly1305();
		tls->digest = EVP_sha256();
		break;
	default:
		return false;
	}
	if (!tls_traffic_secrets(tls->ssl, tls->in.secret, tls->out.secret, &tls->secret_count))
		return false;
	EVP_AEAD_CTX_zero(&tls->in.aead);
	EVP_AEAD_CTX_zero(&tls->out.aead);
	tls->has_keys = true;
	return set_key(tls, &tls->in, SSL_get_read_sequence(tls->ssl)) &&
	       set_key(tls, &tls->out, SSL_get_write_sequence(tls->ssl));
}

void tls_records_end(squall_tls *tls)
{
	if (tls->has_keys) {
		EVP_AEAD_CTX_cleanup(&tls->in.aead);
		EVP_AEAD_CTX_cleanup(&tls->out.aead);
		OPENSSL_cleanse(&tls->in, sizeof(tls->in));
		OPENSSL_cleanse(&tls->out, sizeof(tls->out));
	}
	tls->has_keys = false;
	free(tls->messages);
	tls->messages = NULL;
}

static size_t seal_one(squall_tls *tls, uint8_t type, const uint8_t *plain, size_t count,
		       uint8_t *into)
{
	size_t sealed = count + 1 + TAG_BYTES;
	uint8_t nonce[NONCE_BYTES];
	size_t written = 0;

	into[0] = TYPE_DATA;
	into[1] = 3;
	into[2] = 3;
	into[3] = (uint8_t)(sealed >> 8);
	into[4] = (uint8_t)sealed;
	memcpy(into + HEADER_BYTES, plain, count);
	into[HEADER_BYTES + count] = type;
	next_nonce(&tls->out, nonce);
	if (!EVP_AEAD_CTX_seal(&tls->out.aead, into + HEADER_BYTES, &written, sealed, nonce,
			       NONCE_BYTES, into + HEADER_BYTES, count + 1, into, HEADER_BYTES))
		return 0;
	return HEADER_BYTES + written;
}

size_t tls_records_seal_key_update(squall_tls *tls, bool asks, uint8_t *into)
{
	const uint8_t message[5] = {MESSAGE_KEY_UPDATE, 0, 0, 1, asks};
	size_t sealed = seal_one(tls, TYPE_HANDSHAKE, message, sizeof(message), into);

	return next_key(tls, &tls->out) ? sealed : 0;
}

size_t tls_records_seal(squall_tls *tls, uint8_t type, const uint8_t *plain, size_t count,
			uint8_t *into)
{
	size_t total = 0;

	if (tls->out.sequence >= tls->context->records_a_key_max)
		total = tls_records_seal_key_update(tls, false, into);
	do {
		size_t part = count < 16384 ? count : 16384;

		total += seal_one(tls, type, plain, part, into + total);
		plain += part;
		count -= part;
	} while (count > 0);
	return total;
}

/* Fails, and says so to the peer with an alert under the present key. */
static enum squall_tls_result fail(squall_tls *tls, enum squall_tls_reason reason, uint8_t alert,
				   const char *text)
{
	const uint8_t content[2] = {2, alert};
	uint8_t record[HEADER_BYTES + 2 + 1 + TAG_BYTES];
	size_t count = seal_one(tls, TYPE_ALERT, content, sizeof(content), record);

	tls_output_append(tls, record, count);
	return tls_fail(tls, reason, alert, text);
}

static enum squall_tls_result read_message(squall_tls *tls, const uint8_t *message, size_t count)
{
	switch (message[0]) {
	case MESSAGE_NEW_SESSION_TICKET:
		if (tls->ssl != NULL) {
			SSL_SESSION *session =
				SSL_process_tls13_new_session_ticket(tls->ssl, message, count);

			ERR_clear_error();
			if (session != NULL) {
				tls_remember_ticket(tls, session);
				tls_release_library(tls); /* one ticket is what one connection needs */
			}
		}
		return SQUALL_TLS_MORE;
	case MESSAGE_KEY_UPDATE:
		if (count != 5 || message[4] > 1)
			return fail(tls, SQUALL_TLS_BAD_RECORD, SSL_AD_DECODE_ERROR,
				    "a key update that is none");
		if (++tls->empty_in_a_row > EMPTY_IN_A_ROW_MAX)
			return fail(tls, SQUALL_TLS_BAD_RECORD, SSL_AD_UNEXPECTED_MESSAGE,
				    "more than 32 key updates without data");
		if (!next_key(tls, &tls->in))
			return tls_fail(tls, SQUALL_TLS_OTHER, 0, "no memory for new keys");
		if (message[4] == 1) {
			uint8_t answer[HEADER_BYTES + 5 + 1 + TAG_BYTES];
			size_t answer_count = tls_records_seal_key_update(tls, false, answer);

			if (answer_count == 0 || !tls_output_append(tls, answer, answer_count))
				return tls_fail(tls, SQUALL_TLS_OTHER, 0,
						"more answers to key updates than are read");
		}
		return SQUALL_TLS_MORE;
	default:
		return fail(tls, SQUALL_TLS_BAD_RECORD, SSL_AD_UNEXPECTED_MESSAGE,
			    "a handshake message after the handshake");
	}
}

/* Messages may share a record and may be split over records (RFC 8446 5.1). */
static enum squall_tls_result read_messages(squall_tls *tls, const uint8_t *bytes, size_t count)
{
	uint8_t *grown;
	size_t used = 0;

	if (count == 0 || tls->messages_count + count > MESSAGES_BYTES_MAX)
		return fail(tls, SQUALL_TLS_BAD_RECORD, SSL_AD_UNEXPECTED_MESSAGE,
			    "an empty or too long handshake message");
	grown = realloc(tls->messages, tls->messages_count + count);
	if (grown == NULL)
		return tls_fail(tls, SQUALL_TLS_OTHER, 0, "no memory for a handshake message");
	tls->messages = grown;
	memcpy(grown + tls->messages_count, bytes, count);
	tls->messages_count += (uint32_t)count;
	while (tls->messages_count - used >= 4) {
		const uint8_t *message = grown + used;
		size_t total = 4 + ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
		enum squall_tls_result result;

		if (tls->messages_count - used < total)
			break;
		used += total;
		/* A new key begins with a record: nothing may follow the message (RFC 8446 5.1). */
		if (message[0] == MESSAGE_KEY_UPDATE && used != tls->messages_count)
			return fail(tls, SQUALL_TLS_BAD_RECORD, SSL_AD_UNEXPECTED_MESSAGE,
				    "bytes behind a key update");
		result = read_message(tls, message, total);
		if (result != SQUALL_TLS_MORE)
			return result;
	}
	tls->messages_count -= (uint32_t)used;
	memmove(grown, grown + used, tls->messages_count);
	if (tls->messages_count == 0) {
		free(tls->messages);
		tls->messages = NULL;
	}
	return SQUALL_TLS_MORE;
}

/* One whole record. MORE: it held nothing for the application. */
static enum squall_tls_result open_record(squall_tls *tls, uint8_t *record, size_t total,
					  struct squall_tls_bytes *plain)
{
	uint8_t *content = record + HEADER_BYTES;
	uint8_t nonce[NONCE_BYTES];
	size_t count = 0;

	if (record[0] != TYPE_DATA)
		return fail(tls, SQUALL_TLS_BAD_RECORD, SSL_AD_UNEXPECTED_MESSAGE,
			    "a record that is not encrypted");
	next_nonce(&tls->in, nonce);
	if (total < HEADER_BYTES + 1 + TAG_BYTES ||
	    !EVP_AEAD_CTX_open(&tls->in.aead, content, &count, total - HEADER_BYTES, nonce,
			       NONCE_BYTES, content, total - HEADER_BYTES, record, HEADER_BYTES)) {
		ERR_clear_error();
		return fail(tls, SQUALL_TLS_BAD_RECORD, SSL_AD_BAD_RECORD_MAC,
			    "a record that its key does not open");
	}
	while (count > 0 && content[count - 1] == 0)
		count--;
	if (count == 0)
		return fail(tls, SQUALL_TLS_BAD_RECORD, SSL_AD_UNEXPECTED_MESSAGE,
			    "a record without a type");
	count--;
	if (count > 16384)
		return fail(tls, SQUALL_TLS_BAD_RECORD, SSL_AD_RECORD_OVERFLOW,
			    "a record of more than 2^14 bytes");
	if (content[count] != TYPE_HANDSHAKE && tls->messages_count > 0)
		return fail(tls, SQUALL_TLS_BAD_RECORD, SSL_AD_UNEXPECTED_MESSAGE,
			    "another record inside a handshake message");
	switch (content[count]) {
	case TYPE_DATA:
		if (count == 0) {
			if (++tls->empty_in_a_row > EMPTY_IN_A_ROW_MAX)
				return fail(tls, SQUALL_TLS_BAD_RECORD, SSL_AD_UNEXPECTED_MESSAGE,
					    "more than 32 empty records");
			return SQUALL_TLS_MORE;
		}
		tls->empty_in_a_row = 0;
		plain->bytes = content;
		plain->count = count;
		return SQUALL_TLS_READY;
	case TYPE_ALERT:
		if (count != 2)
			return fail(tls, SQUALL_TLS_BAD_RECORD, SSL_AD_DECODE_ERROR,
				    "an alert that is none");
		if (content[1] == SSL_AD_CLOSE_NOTIFY) {
			tls->state = IS_CLOSED;
			return SQUALL_TLS_CLOSED;
		}
		if (content[1] == SSL_AD_USER_CANCELLED)
			return SQUALL_TLS_MORE;
		return tls_fail(tls, SQUALL_TLS_ALERT, content[1],
				SSL_alert_desc_string_long(content[1]));
	case TYPE_HANDSHAKE:
		return read_messages(tls, content, count);
	default:
		return fail(tls, SQUALL_TLS_BAD_RECORD, SSL_AD_UNEXPECTED_MESSAGE,
			    "a record of an unknown type");
	}
}

static size_t record_bytes(const uint8_t *header)
{
	return HEADER_BYTES + ((size_t)header[3] << 8 | header[4]);
}

enum squall_tls_result tls_records_receive(squall_tls *tls, uint8_t *bytes, size_t count,
					   size_t *used, struct squall_tls_bytes *plain)
{
	for (;;) {
		size_t held = tls->held_count - tls->held_used;
		size_t left = count - *used;
		uint8_t *begin = held > 0 ? tls->held + tls->held_used : bytes + *used;
		size_t there = held > 0 ? held : left;
		size_t total = there >= HEADER_BYTES ? record_bytes(begin) : HEADER_BYTES;
		enum squall_tls_result result;

		if (held == 0 && tls->held != NULL)
			tls_release_held(tls); /* what was opened in it was read since */
		if (total > SQUALL_TLS_RECORD_BYTES_MAX)
			return fail(tls, SQUALL_TLS_BAD_RECORD, SSL_AD_RECORD_OVERFLOW,
				    "a record of more than 2^14 + 256 bytes");
		if (there >= HEADER_BYTES && there >= total) {
			if (held > 0)
				tls->held_used += (uint32_t)total;
			else
				*used += total;
			result = open_record(tls, begin, total, plain);
			if (result != SQUALL_TLS_MORE)
				return result;
			continue;
		}
		if (left == 0)
			return SQUALL_TLS_MORE;
		if (held > 0 && left > total - held)
			left = total - held;
		if (!tls_hold(tls, bytes + *used, left))
			return tls_fail(tls, SQUALL_TLS_OTHER, 0, "no memory for a record");
		*used += left;
	}
}

#endif
