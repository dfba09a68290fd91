#ifndef CTLS_H
#define CTLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The only door to BoringSSL, the one that swift-nio-ssl carries. None of its
 * headers is included here, so that no other module depends on its names.
 */

/* ---- digest.c ---- */

#define SQUALL_SHA256_BYTES 32

/* SHA-256 (FIPS 180-4) of `count` bytes. */
void squall_sha256(const void *bytes, size_t count, uint8_t digest[SQUALL_SHA256_BYTES]);

/* HMAC-SHA-256 (RFC 2104). False when the library has no memory for it. */
bool squall_hmac_sha256(const void *key, size_t key_count, const void *bytes, size_t count,
			uint8_t mac[SQUALL_SHA256_BYTES]);

/* ---- context.c: what all connections of one loop share ---- */

typedef struct squall_tls_context squall_tls_context;

/* Why a connection failed. The order is a part of the interface: Swift's enum follows it. */
enum squall_tls_reason {
	SQUALL_TLS_NO_REASON,
	SQUALL_TLS_UNKNOWN_CA,
	SQUALL_TLS_WRONG_NAME,
	SQUALL_TLS_EXPIRED,
	SQUALL_TLS_NOT_YET_VALID,
	SQUALL_TLS_BAD_CERTIFICATE, /* any other verdict on the chain */
	SQUALL_TLS_BAD_SIGNATURE,   /* the peer did not prove that it has the key */
	SQUALL_TLS_WRONG_VERSION,
	SQUALL_TLS_NO_COMMON_CIPHER,
	SQUALL_TLS_NO_PROTOCOL, /* ALPN: the peer has none of ours */
	SQUALL_TLS_ALERT,       /* the peer's, `alert` says which */
	SQUALL_TLS_NOT_TLS,     /* the first bytes are no record */
	SQUALL_TLS_BAD_RECORD,  /* a record that its key does not open, or a forbidden one */
	SQUALL_TLS_RENEGOTIATION,
	SQUALL_TLS_TOO_LARGE, /* a handshake beyond SQUALL_TLS_HANDSHAKE_BYTES_MAX */
	SQUALL_TLS_OTHER,
	SQUALL_TLS_REASON_COUNT,
};

struct squall_tls_bytes {
	const uint8_t *bytes;
	size_t count;
};

struct squall_tls_options {
	bool serves;
	/* 0x0303 for 1.2, 0x0304 for 1.3. */
	uint16_t version_min;
	uint16_t version_max;
	/* A client's: without a check the peer still proves that it has its key. */
	bool verifies;
	bool resumes;                        /* a client keeps tickets, a server gives them */
	struct squall_tls_bytes authorities; /* PEM; none for the system's */
	struct squall_tls_bytes chain;       /* PEM, leaf first; none for no certificate */
	struct squall_tls_bytes key;         /* PEM */
	struct squall_tls_bytes protocols;   /* ALPN as on the wire: length, name, length, name */
	const char *ciphers;                 /* TLS 1.2's, as OpenSSL spells them; NULL for all */
	const char *groups;                  /* as `X25519:P-256`; NULL for X25519, P-256 and P-384 */
	/* A server's, SQUALL_TLS_TICKET_KEYS_BYTES of chance, so that several processes take each
	 * other's tickets; none for the library's own. */
	struct squall_tls_bytes ticket_keys;
};

#define SQUALL_TLS_TICKET_KEYS_BYTES 48
#define SQUALL_TLS_TEXT_BYTES 256

/* A context, or NULL with a sentence's end in `text`. */
squall_tls_context *squall_tls_context_create(const struct squall_tls_options *options,
					      char text[SQUALL_TLS_TEXT_BYTES]);
void squall_tls_context_destroy(squall_tls_context *context);

/* ---- session.c: one connection ---- */

typedef struct squall_tls squall_tls;

/* A handshake message chain is a few KiB; a peer that sends more than this is refused. */
#define SQUALL_TLS_HANDSHAKE_BYTES_MAX (128 * 1024)
/* RFC 8446 5.2: header, 2^14 bytes, 256 of padding and tag. */
#define SQUALL_TLS_RECORD_BYTES_MAX (5 + 16384 + 256)

enum squall_tls_result {
	SQUALL_TLS_MORE,    /* all bytes are taken; nothing to do until others come */
	SQUALL_TLS_STEP,    /* a handshake has bytes: call squall_tls_step, outside the receive path */
	SQUALL_TLS_READY,   /* the handshake is done, or application bytes are in `plain` */
	SQUALL_TLS_CLOSED,  /* close_notify */
	SQUALL_TLS_FAILED,  /* squall_tls_failure says why; output may hold an alert */
};

/*
 * A connection's state, or NULL without memory. `name` is for SNI and for the
 * check of the certificate; an IP address is checked and not sent (RFC 6066 3).
 * NULL: neither, which only a context that does not verify may want.
 */
squall_tls *squall_tls_create(squall_tls_context *context, const char *name);
void squall_tls_destroy(squall_tls *tls);

/*
 * Takes cipher bytes of a handshake or works on those that were taken. A client
 * calls it once with nothing to begin. Costs 60 to 200 us for the step that
 * holds the proof.
 */
enum squall_tls_result squall_tls_step(squall_tls *tls);

/*
 * Takes `count` cipher bytes from `bytes`, at most to the end of one record, and
 * says in `used` how many. READY: `plain` holds application bytes, inside `bytes`
 * or in memory of the connection, until the next call. Records are opened in
 * place: `bytes` is overwritten. With a count of 0 what an earlier call or the
 * handshake left behind is taken.
 */
enum squall_tls_result squall_tls_receive(squall_tls *tls, uint8_t *bytes, size_t count,
					  size_t *used, struct squall_tls_bytes *plain);

/* The most bytes that `count` plain ones become. */
size_t squall_tls_sealed_bytes_max(const squall_tls *tls, size_t count);
/*
 * Seals into `into`, which has room for squall_tls_sealed_bytes_max. Returns how
 * many bytes are to be sent, in the order of the calls; 0 when the connection
 * has failed.
 */
size_t squall_tls_seal(squall_tls *tls, const uint8_t *plain, size_t count, uint8_t *into);
/* The alert that says that no more will come, as squall_tls_seal. */
size_t squall_tls_seal_close(squall_tls *tls, uint8_t *into);

/* Bytes of the handshake, of an alert or of a key update, to be sent before anything sealed
 * later. They stay where they are, and are the same, until they are taken, which frees them. */
struct squall_tls_bytes squall_tls_output(squall_tls *tls);
void squall_tls_output_taken(squall_tls *tls);
/* How many bytes wait so: what is told now and what came behind it. */
size_t squall_tls_output_bytes(const squall_tls *tls);

struct squall_tls_failure {
	enum squall_tls_reason reason;
	uint8_t alert; /* the peer's when the reason is ALERT, otherwise the one we sent or 0 */
	char text[SQUALL_TLS_TEXT_BYTES];
};
void squall_tls_failure(const squall_tls *tls, struct squall_tls_failure *failure);

/* What was agreed, from the end of the handshake on. */
struct squall_tls_facts {
	uint16_t version;
	uint16_t cipher; /* IANA's number */
	uint16_t group;  /* IANA's number; 0 for none */
	bool is_resumed;
	bool was_retried;        /* HelloRetryRequest (RFC 8446 4.1.4) */
	bool opens_records;      /* the record layer is ours and the library's state is freed */
	uint32_t chain_bytes;    /* of the peer's certificates */
	uint8_t protocol_bytes;  /* of `protocol`; 0 for none */
	char protocol[16];       /* ALPN */
};
void squall_tls_facts(const squall_tls *tls, struct squall_tls_facts *facts);
/* IANA's name of a cipher, or NULL. */
const char *squall_tls_cipher_name(uint16_t cipher);
const char *squall_tls_group_name(uint16_t group);

/* Asks for or announces new keys; for tests and for the limit of records a key. */
size_t squall_tls_seal_key_update(squall_tls *tls, bool asks, uint8_t *into);

/* Keeps the library's record layer for connections made from now on: the oracle of the tests. */
void squall_tls_context_keep_library(squall_tls_context *context, bool keeps);

/* Changes our keys after so many records, at most SQUALL's own limit: for tests. */
void squall_tls_context_limit_records(squall_tls_context *context, uint64_t count);

/* ---- certificate.c: certificates for the built-in target and for tests ---- */

struct squall_certificate_options {
	const char *common_name;
	/* Comma-separated DNS names and IP addresses. */
	const char *names;
	int64_t not_before; /* seconds since 1970 */
	int64_t not_after;
	bool is_authority;
	bool is_rsa; /* 2048 bits; otherwise P-256 */
	/* The issuer's; none for self-signed. */
	struct squall_tls_bytes issuer_chain;
	struct squall_tls_bytes issuer_key;
};

/* PEM of both into what the caller free(3)s. False with a sentence's end in `text`. */
bool squall_certificate_make(const struct squall_certificate_options *options, char **certificate,
			     char **key, char text[SQUALL_TLS_TEXT_BYTES]);

#endif
