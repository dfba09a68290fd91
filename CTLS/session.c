/*
 * One connection: the library's handshake over a BIO of ours, then our own
 * records (records.c) for TLS 1.3, the library's for all else.
 */
#include "internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool grow(uint8_t **bytes, uint32_t *capacity, size_t wanted)
{
	size_t size = *capacity > 0 ? *capacity : 1024;
	uint8_t *grown;

	if (wanted <= *capacity)
		return true;
	while (size < wanted)
		size *= 2;
	grown = realloc(*bytes, size);
	if (grown == NULL)
		return false;
	*bytes = grown;
	*capacity = (uint32_t)size;
	return true;
}

bool tls_output_append(squall_tls *tls, const uint8_t *bytes, size_t count)
{
	/* A peer that does not read and yet has something to be answered. */
	if (tls->output_count + count > SQUALL_TLS_HANDSHAKE_BYTES_MAX ||
	    !grow(&tls->output, &tls->output_capacity, tls->output_count + count))
		return false;
	memcpy(tls->output + tls->output_count, bytes, count);
	tls->output_count += (uint32_t)count;
	return true;
}

/* ---- the library's side of the connection ---- */

static int read_held(BIO *bio, char *into, int count)
{
	squall_tls *tls = BIO_get_data(bio);
	uint32_t held = tls->held_count - tls->held_used;

	BIO_clear_retry_flags(bio);
	if (held == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if ((uint32_t)count > held)
		count = (int)held;
	memcpy(into, tls->held + tls->held_used, (size_t)count);
	tls->held_used += (uint32_t)count;
	return count;
}

static int write_output(BIO *bio, const char *bytes, int count)
{
	squall_tls *tls = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (tls->sink != NULL) {
		if (tls->sink_capacity - tls->sink_count < (size_t)count)
			return -1; /* beside what went before it would come too early */
		memcpy(tls->sink + tls->sink_count, bytes, (size_t)count);
		tls->sink_count += (size_t)count;
		return count;
	}
	return tls_output_append(tls, (const uint8_t *)bytes, (size_t)count) ? count : -1;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

/* Made once for the process; a second one made by another thread would only be a leak of 64 bytes. */
static const BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *method;
	BIO_METHOD *made;

	if (method != NULL)
		return method;
	made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "squall");
	if (made == NULL)
		return NULL;
	BIO_meth_set_read(made, read_held);
	BIO_meth_set_write(made, write_output);
	BIO_meth_set_ctrl(made, control);
	method = made;
	return method;
}

/* ---- failures ---- */

enum squall_tls_result tls_fail(squall_tls *tls, enum squall_tls_reason reason, uint8_t alert,
				const char *text)
{
	tls->state = HAS_FAILED;
	tls->reason = reason;
	tls->alert = alert;
	tls->text = text;
	return SQUALL_TLS_FAILED;
}

static enum squall_tls_reason reason_of(int code)
{
	switch (code) {
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_WRONG_SSL_VERSION:
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_TLS13_DOWNGRADE:
		return SQUALL_TLS_WRONG_VERSION;
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_SHARED_GROUP:
	case SSL_R_WRONG_CIPHER_RETURNED:
	case SSL_R_WRONG_CURVE:
	case SSL_R_NO_COMMON_SIGNATURE_ALGORITHMS:
		return SQUALL_TLS_NO_COMMON_CIPHER;
	case SSL_R_NO_APPLICATION_PROTOCOL:
		return SQUALL_TLS_NO_PROTOCOL;
	case SSL_R_BAD_SIGNATURE:
		return SQUALL_TLS_BAD_SIGNATURE;
	case SSL_R_NO_RENEGOTIATION:
		return SQUALL_TLS_RENEGOTIATION;
	case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
	case SSL_R_DECRYPTION_FAILED:
	case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
	case SSL_R_DATA_LENGTH_TOO_LONG:
	case SSL_R_INVALID_OUTER_RECORD_TYPE:
	case SSL_R_UNEXPECTED_RECORD:
	case SSL_R_UNEXPECTED_MESSAGE:
	case SSL_R_TOO_MANY_EMPTY_FRAGMENTS:
	case SSL_R_TOO_MANY_KEY_UPDATES:
		return SQUALL_TLS_BAD_RECORD;
	default:
		return SQUALL_TLS_OTHER;
	}
}

/* What the library's error queue says, unless the check of the chain has said it better. */
static enum squall_tls_result fail_by_library(squall_tls *tls)
{
	uint32_t first = ERR_get_error();
	uint32_t error = first;
	const char *text;
	bool is_of_ssl;
	int code;

	/* What the library below said stands first, what TLS made of it behind that. */
	while (error != 0 && ERR_GET_LIB(error) != ERR_LIB_SSL)
		error = ERR_get_error();
	is_of_ssl = error != 0;
	if (!is_of_ssl)
		error = first;
	code = ERR_GET_REASON(error);
	text = error != 0 ? ERR_reason_error_string(error) : NULL;
	ERR_clear_error();
	if (tls->reason != SQUALL_TLS_NO_REASON)
		return tls_fail(tls, tls->reason, 0, tls->text);
	/* Which of two alerts came first is the peer's choice of words; protocol_version is exact. */
	if (is_of_ssl && code > SSL_AD_REASON_OFFSET && code <= SSL_AD_REASON_OFFSET + 255) {
		uint8_t alert = (uint8_t)(code - SSL_AD_REASON_OFFSET);

		return tls_fail(tls,
				alert == SSL_AD_PROTOCOL_VERSION	  ? SQUALL_TLS_WRONG_VERSION
				: alert == SSL_AD_NO_APPLICATION_PROTOCOL ? SQUALL_TLS_NO_PROTOCOL
									  : SQUALL_TLS_ALERT,
				alert, SSL_alert_desc_string_long(alert));
	}
	if (is_of_ssl && code == SSL_R_HANDSHAKE_FAILURE_ON_CLIENT_HELLO)
		return tls_fail(tls, SQUALL_TLS_ALERT, SSL_AD_HANDSHAKE_FAILURE,
				SSL_alert_desc_string_long(SSL_AD_HANDSHAKE_FAILURE));
	return tls_fail(tls, is_of_ssl ? reason_of(code) : SQUALL_TLS_OTHER, 0, text);
}

void squall_tls_failure(const squall_tls *tls, struct squall_tls_failure *failure)
{
	failure->reason = tls->reason;
	failure->alert = tls->alert;
	snprintf(failure->text, sizeof(failure->text), "%s", tls->text != NULL ? tls->text : "");
}

/* ---- tickets ---- */

void tls_remember_ticket(squall_tls *tls, SSL_SESSION *session)
{
	squall_tls_context *context = tls->context;

	if (context->ticket_count == TICKET_COUNT_MAX) {
		SSL_SESSION_free(context->tickets[0].session);
		context->ticket_count--;
		memmove(context->tickets, context->tickets + 1,
			context->ticket_count * sizeof(*context->tickets));
	}
	context->tickets[context->ticket_count].session = session;
	tls_context_name_digest(tls->name, context->tickets[context->ticket_count].name);
	context->ticket_count++;
}

/* The latest ticket for this name; of TLS 1.3 each is used once (RFC 8446 C.4). */
static void resume(squall_tls *tls)
{
	squall_tls_context *context = tls->context;
	uint8_t name[SQUALL_SHA256_BYTES];

	tls_context_name_digest(tls->name, name);
	for (uint32_t index = context->ticket_count; index-- > 0;) {
		struct ticket *ticket = &context->tickets[index];

		if (memcmp(ticket->name, name, sizeof(name)) != 0)
			continue;
		SSL_set_session(tls->ssl, ticket->session);
		if (SSL_SESSION_should_be_single_use(ticket->session)) {
			SSL_SESSION_free(ticket->session);
			context->ticket_count--;
			memmove(ticket, ticket + 1,
				(context->ticket_count - index) * sizeof(*ticket));
		}
		return;
	}
}

/* ---- life ---- */

squall_tls *squall_tls_create(squall_tls_context *context, const char *name)
{
	squall_tls *tls = tls_place_take(context);
	struct in6_addr address;
	BIO *bio;

	if (tls == NULL)
		return NULL;
	if (name != NULL) {
		tls->name = strdup(name);
		if (tls->name == NULL)
			goto failed;
		tls->is_ip = inet_pton(AF_INET, name, &address) == 1 ||
			     inet_pton(AF_INET6, name, &address) == 1;
	}
	tls->ssl = SSL_new(context->ssl);
	bio = bio_method() != NULL ? BIO_new(bio_method()) : NULL;
	if (tls->ssl == NULL || bio == NULL)
		goto failed;
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_app_data(tls->ssl, tls);
	SSL_set_shed_handshake_config(tls->ssl, 1);
	if (context->serves) {
		SSL_set_accept_state(tls->ssl);
		return tls;
	}
	SSL_set_connect_state(tls->ssl);
	if (name != NULL && !tls->is_ip && !SSL_set_tlsext_host_name(tls->ssl, name))
		goto failed;
	if (context->resumes)
		resume(tls);
	return tls;
failed:
	ERR_clear_error();
	squall_tls_destroy(tls);
	return NULL;
}

void tls_release_library(squall_tls *tls)
{
	SSL_free(tls->ssl);
	tls->ssl = NULL;
	free(tls->name);
	tls->name = NULL;
}

bool tls_hold(squall_tls *tls, const uint8_t *bytes, size_t count)
{
	if (tls->held == NULL) {
		tls->held = tls_buffer_take(tls->context);
		if (tls->held == NULL)
			return false;
		tls->held_capacity = SQUALL_TLS_RECORD_BYTES_MAX;
	}
	if (tls->held_used > 0) {
		tls->held_count -= tls->held_used;
		memmove(tls->held, tls->held + tls->held_used, tls->held_count);
		tls->held_used = 0;
	}
	if (!grow(&tls->held, &tls->held_capacity, tls->held_count + count))
		return false;
	memcpy(tls->held + tls->held_count, bytes, count);
	tls->held_count += (uint32_t)count;
	return true;
}

void tls_release_held(squall_tls *tls)
{
	if (tls->held_capacity == SQUALL_TLS_RECORD_BYTES_MAX)
		tls_buffer_give(tls->context, tls->held);
	else
		free(tls->held);
	tls->held = NULL;
	tls->held_used = tls->held_count = tls->held_capacity = 0;
}

void squall_tls_destroy(squall_tls *tls)
{
	if (tls == NULL)
		return;
	tls_release_library(tls);
	tls_records_end(tls);
	tls_release_held(tls);
	free(tls->output);
	free(tls->leaving);
	tls_place_give(tls);
}

static void note_facts(squall_tls *tls)
{
	const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(tls->ssl);
	const uint8_t *protocol;
	unsigned int protocol_count;

	tls->facts.version = (uint16_t)SSL_version(tls->ssl);
	tls->facts.cipher = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(tls->ssl));
	tls->facts.group = SSL_get_group_id(tls->ssl);
	tls->facts.is_resumed = SSL_session_reused(tls->ssl);
	tls->facts.was_retried = SSL_used_hello_retry_request(tls->ssl);
	for (size_t index = 0; chain != NULL && index < sk_CRYPTO_BUFFER_num(chain); index++)
		tls->facts.chain_bytes +=
			(uint32_t)CRYPTO_BUFFER_len(sk_CRYPTO_BUFFER_value(chain, index));
	SSL_get0_alpn_selected(tls->ssl, &protocol, &protocol_count);
	if (protocol_count <= sizeof(tls->facts.protocol)) {
		tls->facts.protocol_bytes = (uint8_t)protocol_count;
		memcpy(tls->facts.protocol, protocol, protocol_count);
	}
}

enum squall_tls_result squall_tls_step(squall_tls *tls)
{
	int result;

	if (tls->state != HANDSHAKES)
		return tls->state == HAS_FAILED ? SQUALL_TLS_FAILED : SQUALL_TLS_MORE;
	if (!tls->has_begun && tls->held_count > 0 && (tls->held[0] < 20 || tls->held[0] > 23)) {
		size_t count = 0;

		for (; count < 16 && count < tls->held_count; count++) {
			uint8_t byte = tls->held[count];

			tls->context->text[count] = byte >= 32 && byte < 127 ? (char)byte : '.';
		}
		tls->context->text[count] = 0;
		return tls_fail(tls, SQUALL_TLS_NOT_TLS, 0, tls->context->text);
	}
	tls->has_begun = tls->has_begun || tls->held_count > 0;
	result = SSL_do_handshake(tls->ssl);
	if (result != 1) {
		if (SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ)
			return SQUALL_TLS_MORE;
		return fail_by_library(tls);
	}
	note_facts(tls);
	tls->state = USES_LIBRARY;
	if (tls->facts.version != TLS1_3_VERSION || tls->context->keeps_library)
		return SQUALL_TLS_READY;
	/* A server's tickets leave with the library's first write, and count among its records. */
	if (tls->context->serves && SSL_write(tls->ssl, NULL, 0) < 0)
		return fail_by_library(tls);
	if (!tls_records_begin(tls))
		return SQUALL_TLS_READY;
	tls->state = OPENS_RECORDS;
	tls->facts.opens_records = true;
	if (tls->context->serves || !tls->context->resumes)
		tls_release_library(tls);
	return SQUALL_TLS_READY;
}

static enum squall_tls_result receive_by_library(squall_tls *tls, struct squall_tls_bytes *plain)
{
	int count = SSL_read(tls->ssl, tls->context->plain, sizeof(tls->context->plain));

	if (count > 0) {
		plain->bytes = tls->context->plain;
		plain->count = (size_t)count;
		return SQUALL_TLS_READY;
	}
	switch (SSL_get_error(tls->ssl, count)) {
	case SSL_ERROR_WANT_READ:
		if (tls->held_used == tls->held_count && tls->held != NULL)
			tls_release_held(tls);
		return SQUALL_TLS_MORE;
	case SSL_ERROR_ZERO_RETURN:
		tls->state = IS_CLOSED;
		return SQUALL_TLS_CLOSED;
	default:
		return fail_by_library(tls);
	}
}

enum squall_tls_result squall_tls_receive(squall_tls *tls, uint8_t *bytes, size_t count,
					  size_t *used, struct squall_tls_bytes *plain)
{
	*used = 0;
	switch (tls->state) {
	case OPENS_RECORDS:
		return tls_records_receive(tls, bytes, count, used, plain);
	case HANDSHAKES:
	case USES_LIBRARY:
		if (count > 0) {
			if (tls->held_count - tls->held_used + count > SQUALL_TLS_HANDSHAKE_BYTES_MAX)
				return tls_fail(tls, SQUALL_TLS_TOO_LARGE, 0,
						"more than 128 KiB wait to be read");
			if (!tls_hold(tls, bytes, count))
				return tls_fail(tls, SQUALL_TLS_OTHER, 0, "no memory");
			*used = count;
		}
		if (tls->state == USES_LIBRARY)
			return receive_by_library(tls, plain);
		return tls->held_count > tls->held_used ? SQUALL_TLS_STEP : SQUALL_TLS_MORE;
	case IS_CLOSED:
		*used = count;
		return SQUALL_TLS_CLOSED;
	case HAS_FAILED:
		break;
	}
	*used = count;
	return SQUALL_TLS_FAILED;
}

size_t squall_tls_sealed_bytes_max(const squall_tls *tls, size_t count)
{
	size_t records = count / 16384 + 1;

	/* Own: header, type and tag a record, and one key update. The library's: CBC's worst, and the
	 * tickets that a server sends with its first bytes. */
	if (tls->state == OPENS_RECORDS)
		return count + records * 22 + 27;
	return count + records * 128 + (tls->context->serves ? 8192 : 256);
}

static size_t seal_by_library(squall_tls *tls, const uint8_t *plain, size_t count, uint8_t *into)
{
	size_t written = 0;

	tls->sink = into;
	tls->sink_count = 0;
	tls->sink_capacity = squall_tls_sealed_bytes_max(tls, count);
	while (written < count) {
		int result = SSL_write(tls->ssl, plain + written, (int)(count - written));

		if (result <= 0) {
			fail_by_library(tls);
			break;
		}
		written += (size_t)result;
	}
	tls->sink = NULL;
	return tls->state == HAS_FAILED ? 0 : tls->sink_count;
}

size_t squall_tls_seal(squall_tls *tls, const uint8_t *plain, size_t count, uint8_t *into)
{
	if (tls->state == OPENS_RECORDS)
		return tls_records_seal(tls, 23, plain, count, into);
	return tls->state == USES_LIBRARY ? seal_by_library(tls, plain, count, into) : 0;
}

size_t squall_tls_seal_close(squall_tls *tls, uint8_t *into)
{
	const uint8_t content[2] = {1, SSL_AD_CLOSE_NOTIFY};
	size_t count;

	if (tls->state == OPENS_RECORDS)
		return tls_records_seal(tls, 21, content, sizeof(content), into);
	if (tls->state != USES_LIBRARY)
		return 0;
	tls->sink = into;
	tls->sink_count = 0;
	tls->sink_capacity = squall_tls_sealed_bytes_max(tls, sizeof(content));
	SSL_shutdown(tls->ssl);
	count = tls->sink_count;
	tls->sink = NULL;
	ERR_clear_error();
	return count;
}

size_t squall_tls_seal_key_update(squall_tls *tls, bool asks, uint8_t *into)
{
	return tls->state == OPENS_RECORDS ? tls_records_seal_key_update(tls, asks, into) : 0;
}

struct squall_tls_bytes squall_tls_output(squall_tls *tls)
{
	if (tls->leaving == NULL) {
		tls->leaving = tls->output;
		tls->leaving_count = tls->output_count;
		tls->output = NULL;
		tls->output_count = tls->output_capacity = 0;
	}
	return (struct squall_tls_bytes){.bytes = tls->leaving, .count = tls->leaving_count};
}

size_t squall_tls_output_bytes(const squall_tls *tls)
{
	return (size_t)tls->leaving_count + tls->output_count;
}

void squall_tls_output_taken(squall_tls *tls)
{
	free(tls->leaving);
	tls->leaving = NULL;
	tls->leaving_count = 0;
}

void squall_tls_facts(const squall_tls *tls, struct squall_tls_facts *facts)
{
	*facts = tls->facts;
}
