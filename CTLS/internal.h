#ifndef CTLS_INTERNAL_H
#define CTLS_INTERNAL_H

#include "CTLS.h"

#ifdef SQUALL_LIBSSL
#include "libssl.h"
#define TLS_KEEPS_LIBRARY true
#else
#include <CNIOBoringSSL.h>
#define TLS_KEEPS_LIBRARY false
#define CERTIFICATE_SHA256(certificate, into) \
	SHA256(CRYPTO_BUFFER_data(certificate), CRYPTO_BUFFER_len(certificate), into)
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define SECRET_BYTES_MAX 48 /* SHA-384 */
#define NONCE_BYTES 12

/* Records under one key: a quarter below RFC 8446 5.5's limit of 2^24.5 for AES-GCM. */
#define RECORDS_A_KEY_MAX (1u << 24)
/* Key updates, or records without content, that come without one byte of data between them. */
#define EMPTY_IN_A_ROW_MAX 32
/* Tickets kept, latest used first. Chains whose verdict is remembered, the oldest replaced. */
#define TICKET_COUNT_MAX 256
#define VERDICT_COUNT_MAX 64
/* Record buffers kept for the next record that straddles two receives. */
#define SPARE_BUFFER_COUNT_MAX 64

struct verdict {
	uint8_t digest[SQUALL_SHA256_BYTES];
	enum squall_tls_reason reason;
	uint8_t alert;
	const char *text;
};

struct ticket {
	SSL_SESSION *session;
	uint8_t name[SQUALL_SHA256_BYTES];
};

struct squall_tls_context {
	SSL_CTX *ssl;
	X509_STORE *authorities; /* read at the first certificate: 4 ms for a system's */
	bool verifies;
	bool resumes;
	bool serves;
	bool keeps_library;
	uint64_t records_a_key_max;
	uint8_t *authorities_pem;
	size_t authorities_pem_count;
	uint8_t *protocols;
	size_t protocols_count;

	struct verdict verdicts[VERDICT_COUNT_MAX];
	uint32_t verdict_count;
	uint32_t verdict_next;
	struct ticket tickets[TICKET_COUNT_MAX];
	uint32_t ticket_count;

	struct tls_slab *slabs;
	squall_tls *unused; /* places in them */
	uint8_t *spares[SPARE_BUFFER_COUNT_MAX];
	uint32_t spare_count;

	char text[SQUALL_TLS_TEXT_BYTES];
	uint8_t plain[16384]; /* what the library's record layer decrypts into */
};

/* One direction of a TLS 1.3 connection. */
struct record_key {
#ifndef SQUALL_LIBSSL
	EVP_AEAD_CTX aead;
#endif
	uint64_t sequence;
	uint8_t iv[NONCE_BYTES];
	uint8_t secret[SECRET_BYTES_MAX];
};

enum tls_state { HANDSHAKES, OPENS_RECORDS, USES_LIBRARY, IS_CLOSED, HAS_FAILED };

struct squall_tls {
	squall_tls_context *context;
	squall_tls *next_unused;
	SSL *ssl; /* NULL once nobody needs it */
	enum tls_state state;
	enum squall_tls_reason reason;
	uint8_t alert;
	uint8_t secret_count;
	uint8_t empty_in_a_row;
	bool is_ip;
	bool has_keys;
	bool has_begun; /* the peer's first byte was looked at */
#ifndef SQUALL_LIBSSL
	const EVP_AEAD *aead;
#endif
	const EVP_MD *digest;
	const char *text;
	char *name;
	struct squall_tls_facts facts;

	/* Cipher bytes that came and are not used up: [used, count). */
	uint8_t *held;
	uint32_t held_used;
	uint32_t held_count;
	uint32_t held_capacity;
	/* Post-handshake messages that end in a later record. */
	uint8_t *messages;
	uint32_t messages_count;

	uint8_t *output;
	uint32_t output_count;
	uint32_t output_capacity;
	/* Output that the owner is sending. */
	uint8_t *leaving;
	uint32_t leaving_count;
	/* Where the library writes instead, during squall_tls_seal. */
	uint8_t *sink;
	size_t sink_count;
	size_t sink_capacity;

	struct record_key in;
	struct record_key out;
};

/* session.c */
/* Keeps bytes behind those that are held; held_used of them may go. */
bool tls_hold(squall_tls *tls, const uint8_t *bytes, size_t count);
void tls_release_held(squall_tls *tls);
bool tls_output_append(squall_tls *tls, const uint8_t *bytes, size_t count);
enum squall_tls_result tls_fail(squall_tls *tls, enum squall_tls_reason reason, uint8_t alert,
				const char *text);
void tls_remember_ticket(squall_tls *tls, SSL_SESSION *session);
void tls_release_library(squall_tls *tls);

/* context.c */
/*
 * Connections stand side by side: each for itself would stand between what the library needs during a
 * handshake, and keep that memory from being used again. They end before their context.
 */
squall_tls *tls_place_take(squall_tls_context *context);
void tls_place_give(squall_tls *tls);
uint8_t *tls_buffer_take(squall_tls_context *context);
void tls_buffer_give(squall_tls_context *context, uint8_t *buffer);
void tls_context_name_digest(const char *name, uint8_t digest[SQUALL_SHA256_BYTES]);

/* records.c */
bool tls_records_begin(squall_tls *tls);
void tls_records_end(squall_tls *tls);
enum squall_tls_result tls_records_receive(squall_tls *tls, uint8_t *bytes, size_t count,
					   size_t *used, struct squall_tls_bytes *plain);
size_t tls_records_seal(squall_tls *tls, uint8_t type, const uint8_t *plain, size_t count,
			uint8_t *into);
size_t tls_records_seal_key_update(squall_tls *tls, bool asks, uint8_t *into);

/* secrets.cc: the one call that the library only has in C++. */
bool tls_traffic_secrets(const SSL *ssl, uint8_t in[SECRET_BYTES_MAX],
			 uint8_t out[SECRET_BYTES_MAX], uint8_t *count);

#ifdef __cplusplus
}
#endif

#endif
