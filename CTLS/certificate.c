/* Certificates made on the spot, for the built-in target and for tests. */
#include "internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static EVP_PKEY *make_key(bool is_rsa)
{
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(is_rsa ? EVP_PKEY_RSA : EVP_PKEY_EC, NULL);

	if (context == NULL || !EVP_PKEY_keygen_init(context) ||
	    !(is_rsa ? EVP_PKEY_CTX_set_rsa_keygen_bits(context, 2048)
		     : EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1)) ||
	    !EVP_PKEY_keygen(context, &key))
		key = NULL;
	EVP_PKEY_CTX_free(context);
	return key;
}

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	bool is_added;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_nconf_nid(NULL, &context, nid, value);
	is_added = extension != NULL && X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
	return is_added;
}

/* "a.example,127.0.0.1" as "DNS:a.example,IP:127.0.0.1". */
static bool alternative_names(const char *names, char *into, size_t capacity)
{
	size_t used = 0;

	while (*names != '\0') {
		size_t count = strcspn(names, ",");
		char name[256];
		struct in6_addr address;
		int written;

		if (count == 0 || count >= sizeof(name))
			return false;
		memcpy(name, names, count);
		name[count] = '\0';
		written = snprintf(into + used, capacity - used, "%s%s:%s", used > 0 ? "," : "",
				   inet_pton(AF_INET, name, &address) == 1 ||
						   inet_pton(AF_INET6, name, &address) == 1
					   ? "IP"
					   : "DNS",
				   name);
		if (written < 0 || (size_t)written >= capacity - used)
			return false;
		used += (size_t)written;
		names += count + (names[count] == ',');
	}
	return used > 0;
}

static char *text_of(BIO *bio)
{
	const uint8_t *bytes;
	size_t count;
	char *text = NULL;

	if (BIO_mem_contents(bio, &bytes, &count) && (text = malloc(count + 1)) != NULL) {
		memcpy(text, bytes, count);
		text[count] = '\0';
	}
	return text;
}

bool squall_certificate_make(const struct squall_certificate_options *options, char **certificate,
			     char **key, char text[SQUALL_TLS_TEXT_BYTES])
{
	char names[2048];
	uint64_t serial = 0;
	bool is_made = false;
	X509 *made = X509_new();
	X509 *issuer = NULL;
	EVP_PKEY *own = make_key(options->is_rsa);
	EVP_PKEY *signing = own;
	BIO *chain_in = NULL, *key_in = NULL;
	BIO *certificate_out = BIO_new(BIO_s_mem()), *key_out = BIO_new(BIO_s_mem());
	X509_NAME *subject;

	*certificate = *key = NULL;
	if (made == NULL || own == NULL || certificate_out == NULL || key_out == NULL ||
	    !RAND_bytes((uint8_t *)&serial, sizeof(serial)))
		goto done;
	if (options->issuer_chain.count > 0) {
		chain_in = BIO_new_mem_buf(options->issuer_chain.bytes,
					   (ossl_ssize_t)options->issuer_chain.count);
		key_in = BIO_new_mem_buf(options->issuer_key.bytes,
					 (ossl_ssize_t)options->issuer_key.count);
		issuer = PEM_read_bio_X509(chain_in, NULL, NULL, NULL);
		signing = PEM_read_bio_PrivateKey(key_in, NULL, NULL, (void *)"");
		if (issuer == NULL || signing == NULL)
			goto done;
	}
	subject = X509_get_subject_name(made);
	if (!X509_set_version(made, X509_VERSION_3) ||
	    !ASN1_INTEGER_set_uint64(X509_get_serialNumber(made), serial >> 1) ||
	    !ASN1_TIME_set_posix(X509_getm_notBefore(made), options->not_before) ||
	    !ASN1_TIME_set_posix(X509_getm_notAfter(made), options->not_after) ||
	    !X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
					(const uint8_t *)options->common_name, -1, -1, 0) ||
	    !X509_set_issuer_name(made, issuer != NULL ? X509_get_subject_name(issuer) : subject) ||
	    !X509_set_pubkey(made, own) ||
	    !add_extension(made, issuer != NULL ? issuer : made, NID_basic_constraints,
			   options->is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE"))
		goto done;
	if (options->names != NULL &&
	    (!alternative_names(options->names, names, sizeof(names)) ||
	     !add_extension(made, issuer != NULL ? issuer : made, NID_subject_alt_name, names)))
		goto done;
	if (!X509_sign(made, signing, EVP_sha256()) ||
	    !PEM_write_bio_X509(certificate_out, made) ||
	    !PEM_write_bio_PrivateKey(key_out, own, NULL, NULL, 0, NULL, NULL))
		goto done;
	*certificate = text_of(certificate_out);
	*key = text_of(key_out);
	is_made = *certificate != NULL && *key != NULL;
done:
	if (!is_made) {
		const char *reason = ERR_reason_error_string(ERR_peek_last_error());

		snprintf(text, SQUALL_TLS_TEXT_BYTES, "%s", reason != NULL ? reason : "no memory");
		free(*certificate);
		free(*key);
		*certificate = *key = NULL;
	}
	ERR_clear_error();
	if (signing != own)
		EVP_PKEY_free(signing);
	EVP_PKEY_free(own);
	X509_free(issuer);
	X509_free(made);
	BIO_free(chain_in);
	BIO_free(key_in);
	BIO_free(certificate_out);
	BIO_free(key_out);
	return is_made;
}
