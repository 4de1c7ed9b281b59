/*
 * src/auth/scram_keys.c - the verifiers and keys that SCRAM's two sides have before a login (RFC 5802, 3).
 *
 *   SaltedPassword = PBKDF2(password, salt, iterations)    slow on purpose; saslprep() prepares the password
 *   ClientKey      = HMAC(SaltedPassword, "Client Key")    proves to a server that the client knows the password
 *   StoredKey      = SHA256(ClientKey)                     enough to check such a proof, not to make one
 *   ServerKey      = HMAC(SaltedPassword, "Server Key")    proves to a client that the server has a verifier
 *
 * A verifier is StoredKey and ServerKey; keys are ClientKey and ServerKey.
 */

#include "auth/scram_state.h"
#include "base/text.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#define VERIFIER_PREFIX "SCRAM-SHA-256$"
#define MOCK_SALT_LEN 16 /* bytes, as in PostgreSQL */

int
scram_hmac(const uint8_t key[static SCRAM_KEY_LEN], const void *text, size_t text_len,
	   uint8_t out[static SCRAM_KEY_LEN], struct fail *why)
{
	unsigned out_len = 0;

	if (HMAC(EVP_sha256(), key, SCRAM_KEY_LEN, text, text_len, out, &out_len) == NULL || out_len != SCRAM_KEY_LEN)
		return fail_memory(why, "an HMAC");
	return 0;
}

int
scram_hash(const uint8_t key[static SCRAM_KEY_LEN], uint8_t out[static SCRAM_KEY_LEN], struct fail *why)
{
	if (SHA256(key, SCRAM_KEY_LEN, out) == NULL)
		return fail_memory(why, "a SHA-256 hash");
	return 0;
}

void
scram_xor(uint8_t to[static SCRAM_KEY_LEN], const uint8_t from[static SCRAM_KEY_LEN])
{
	for (size_t i = 0; i < SCRAM_KEY_LEN; i++)
		to[i] ^= from[i];
}

int
scram_decode_key(const char *text, size_t text_len, uint8_t out[static SCRAM_KEY_LEN])
{
	size_t len;

	return base64_decode(text, text_len, out, SCRAM_KEY_LEN, &len) == 0 && len == SCRAM_KEY_LEN ? 0 : -1;
}

/* Derives SaltedPassword from the password, to which it applies saslprep(). */
static int
derive_salted_password(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
		       uint8_t out[static SCRAM_KEY_LEN], struct fail *why)
{
	char *prepared;
	int result = 0;

	if (saslprep(password, &prepared) < 0)
		return scram_fail_no_memory(why);
	if (prepared != NULL)
		password = prepared;
	if (PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, (int)salt_len, (int)iterations, EVP_sha256(),
			      SCRAM_KEY_LEN, out) != 1)
		result = fail_memory(why, "PBKDF2");
	secret_free(prepared);
	return result;
}

int
scram_keys_from_password(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
			 struct scram_keys *out, struct fail *why)
{
	uint8_t salted[SCRAM_KEY_LEN];
	int result = -1;

	memset(out, 0, sizeof(*out));
	if (strlen(password) > SASLPREP_MAX || salt_len == 0 || salt_len > SCRAM_SALT_MAX || iterations == 0 ||
	    iterations > SCRAM_ITERATIONS_MAX)
		return fail_set(why, "22023", "could not derive SCRAM keys with a salt of %zu bytes and %u iterations",
				salt_len, (unsigned)iterations);
	if (derive_salted_password(password, salt, salt_len, iterations, salted, why) == 0 &&
	    scram_hmac(salted, "Client Key", 10, out->client_key, why) == 0 &&
	    scram_hmac(salted, "Server Key", 10, out->server_key, why) == 0)
		result = 0;
	OPENSSL_cleanse(salted, sizeof(salted));
	if (result < 0) {
		OPENSSL_cleanse(out, sizeof(*out));
		return -1;
	}
	memcpy(out->salt, salt, salt_len);
	out->salt_len = salt_len;
	out->iterations = iterations;
	out->is_set = true;
	return 0;
}

bool
scram_keys_match(const struct scram_keys *keys, const uint8_t *salt, size_t salt_len, uint32_t iterations)
{
	return keys->is_set && keys->iterations == iterations && keys->salt_len == salt_len &&
	       memcmp(keys->salt, salt, salt_len) == 0;
}

int
scram_verifier_from_password(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
			     struct scram_verifier *out, struct fail *why)
{
	struct scram_keys keys;
	int result;

	memset(out, 0, sizeof(*out));
	if (scram_keys_from_password(password, salt, salt_len, iterations, &keys, why) < 0)
		return -1;
	result = scram_hash(keys.client_key, out->stored_key, why);
	memcpy(out->server_key, keys.server_key, SCRAM_KEY_LEN);
	memcpy(out->salt, keys.salt, keys.salt_len);
	out->salt_len = keys.salt_len;
	out->iterations = keys.iterations;
	OPENSSL_cleanse(&keys, sizeof(keys));
	return result;
}

int
scram_verifier_mock(const char *user, const uint8_t secret[static 32], uint32_t iterations, struct scram_verifier *out,
		    struct fail *why)
{
	uint8_t hash[SCRAM_KEY_LEN];

	/* The keys stay zero. No known input has a hash of zeros, so no proof fits even if a caller forgets is_mock. */
	memset(out, 0, sizeof(*out));
	if (scram_hmac(secret, user, strlen(user), hash, why) < 0)
		return -1;
	memcpy(out->salt, hash, MOCK_SALT_LEN);
	out->salt_len = MOCK_SALT_LEN;
	out->iterations = iterations;
	return 0;
}

/* Sets *part to the text of *rest before the separator, and removes both from the front of *rest. */
static int
take_part(struct scram_span *rest, char separator, struct scram_span *part)
{
	const char *end = memchr(rest->text, separator, rest->len);

	if (end == NULL)
		return -1;
	part->text = rest->text;
	part->len = (size_t)(end - rest->text);
	rest->text = end + 1;
	rest->len -= part->len + 1;
	return 0;
}

static int
parse_parts(struct scram_span rest, struct scram_verifier *out)
{
	struct scram_span iterations, salt, stored;

	if (take_part(&rest, ':', &iterations) < 0 || take_part(&rest, '$', &salt) < 0 ||
	    take_part(&rest, ':', &stored) < 0 ||
	    scram_parse_count(iterations, SCRAM_ITERATIONS_MAX, &out->iterations) < 0 ||
	    base64_decode(salt.text, salt.len, out->salt, SCRAM_SALT_MAX, &out->salt_len) < 0 || out->salt_len == 0 ||
	    scram_decode_key(stored.text, stored.len, out->stored_key) < 0)
		return -1;
	return scram_decode_key(rest.text, rest.len, out->server_key);
}

int
scram_verifier_parse(const char *secret, struct scram_verifier *out, struct fail *why)
{
	const size_t prefix_len = sizeof(VERIFIER_PREFIX) - 1;
	struct scram_span rest;

	memset(out, 0, sizeof(*out));
	if (strncmp(secret, VERIFIER_PREFIX, prefix_len) != 0)
		return fail_set(why, "22023", "not a SCRAM-SHA-256 secret");
	rest.text = secret + prefix_len;
	rest.len = strlen(rest.text);
	if (parse_parts(rest, out) < 0) {
		OPENSSL_cleanse(out, sizeof(*out));
		return fail_set(why, "22023", "malformed SCRAM-SHA-256 secret");
	}
	return 0;
}
