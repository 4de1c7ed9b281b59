/*
 * src/auth/scram.h - SCRAM-SHA-256 and -PLUS (RFC 5802, RFC 7677), both sides, without I/O: messages in, messages out.
 *
 * Messages are the SASL payloads (without PostgreSQL's message headers) and hostile: lengths are checked, nonces and
 * iteration counts bounded, base64 strict. As PostgreSQL does, we ignore the user name in SCRAM messages.
 *
 * Owns:   each side owns what it makes, and copies of verifier and channel; secrets are wiped when the side is freed.
 * Always: a side that has failed takes no further message.
 *
 * PLUS binds the login to its TLS connection: both sides sign a hash of the server's certificate, so a man in the
 * middle, with another certificate, can't log in. The only type is tls-server-end-point (RFC 5929, 4), as in
 * PostgreSQL. A client that supports PLUS but was not offered PLUS sends the flag "y". If the server did offer PLUS, it
 * learns from this flag that an attacker has removed PLUS from the offer.
 */
#pragma once

#include "base/fail.h"

#include <stdbool.h>
#include <stdint.h>

#define SCRAM_KEY_LEN 32
#define SCRAM_SALT_MAX 128 /* bytes, decoded */
#define SCRAM_NONCE_MAX 512 /* characters, client's and server's together */
#define SCRAM_ITERATIONS_MAX 1000000
#define SCRAM_TEXT_MAX 2048 /* any message that either side sends or takes */

/* The TLS connection that a login can be bound to. Zeroed for a connection without TLS. */
#define SCRAM_BINDING_MAX 64 /* bytes of tls-server-end-point: a hash */
struct scram_channel {
	bool is_tls;
	uint8_t end_point[SCRAM_BINDING_MAX];
	size_t end_point_len; /* 0 if no hash is defined for the certificate's signature */
};
/* libpq's channel_binding. */
enum scram_binding { SCRAM_BINDING_PREFER, SCRAM_BINDING_DISABLE, SCRAM_BINDING_REQUIRE };
#define SCRAM_OFFER_MAX 64

/* --- scram_keys.c: verifiers and keys --- */

/* A password in the form that servers store (RFC 5803; PostgreSQL's rolpassword). */
struct scram_verifier {
	uint32_t iterations;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint8_t stored_key[SCRAM_KEY_LEN], server_key[SCRAM_KEY_LEN];
};
/* Keys that log in without the password, but only with the same salt and iterations. A client's proof reveals them. */
struct scram_keys {
	bool is_set;
	uint32_t iterations;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint8_t client_key[SCRAM_KEY_LEN], server_key[SCRAM_KEY_LEN];
};

/* Parses "SCRAM-SHA-256$4096:salt$StoredKey:ServerKey" (base64). Returns 0, or -1 with *why set (22023). */
int scram_verifier_parse(const char *secret, struct scram_verifier *out, struct fail *why);
/* Makes a verifier from a plain password (prepared by saslprep()); takes milliseconds to a second. */
int scram_verifier_from_password(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
				 struct scram_verifier *out, struct fail *why);
/* Makes the keys for logging in to a server. The caller should keep them (see scram_keys_match). */
int scram_keys_from_password(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
			     struct scram_keys *out, struct fail *why);
bool scram_keys_match(const struct scram_keys *keys, const uint8_t *salt, size_t salt_len, uint32_t iterations);
/* Makes a verifier for an unknown user. The salt depends only on the name and a secret of the process, so that clients
 * can't tell unknown users from known ones (RFC 5802, 9). The salt has 16 bytes, as in PostgreSQL; `iterations` should
 * be the number that known users have. */
int scram_verifier_mock(const char *user, const uint8_t secret[static 32], uint32_t iterations,
			struct scram_verifier *out, struct fail *why);

/* --- scram_server.c: we are the server, a client logs in. A call out of turn, or after a failure, is refused with
 * 08P01. --- */
struct scram_server; /* opaque; wiped when freed */
/* Copies the verifier and the channel. With `is_mock` no proof is right. nonce: the server's part of the nonce, for
 * tests that replay exchanges from the RFC; NULL for a random nonce. Returns NULL without memory or randomness. */
struct scram_server *scram_server_new(const struct scram_verifier *verifier, bool is_mock,
				      const struct scram_channel *channel, const char *nonce);
void scram_server_free(struct scram_server *s);
/* Writes the names of the mechanisms that we offer, best first, each terminated, and an empty name at the end. Returns
 * the length. */
size_t scram_server_offer(const struct scram_server *s, char out[static SCRAM_OFFER_MAX]);
/* Takes the mechanism that the client chose, before its first message. Returns -1 (08P01) if we did not offer it. */
int scram_server_select(struct scram_server *s, const char *mechanism, struct fail *why);
/* Takes client-first, writes server-first to out (terminated). Returns 0, or -1 with *why set: the message is malformed
 * (08P01), the client wants something that was not offered (0A000), or PLUS was removed from our offer on its way
 * (28000). */
int scram_server_first(struct scram_server *s, const char *in, size_t in_len, char out[static SCRAM_TEXT_MAX],
		       struct fail *why);
/*
 * Takes client-final. Returns 0 if the proof is right: `out` is server-final, and `keys` (may be NULL) can log in to a
 * server that has the same verifier. Otherwise returns -1, with keys zeroed and *why set: 28P01 for a wrong proof
 * (always, if is_mock), 28000 if the client sees another certificate than ours, 08P01 for a malformed message. The
 * comparison takes constant time. The user is not known here, so the caller's error must name the user.
 */
int scram_server_final(struct scram_server *s, const char *in, size_t in_len, char out[static SCRAM_TEXT_MAX],
		       struct scram_keys *keys, struct fail *why);

/* --- scram_client.c: we are the client and log in to PostgreSQL. Refuses calls as scram_server.c does. --- */
struct scram_client; /* opaque; wiped when freed */
/* Copies the channel; `nonce` and the result are as for scram_server_new(). `user` goes into client-first; except in
 * tests it is "", as in libpq. */
struct scram_client *scram_client_new(const struct scram_channel *channel, enum scram_binding policy, const char *user,
				      const char *nonce);
void scram_client_free(struct scram_client *s);
/* Chooses from the server's offer (AuthenticationSASL's list, hostile), before the first message. Returns the
 * mechanism, or NULL with *why set (28000) if we know no offered mechanism, or the policy allows none. */
const char *scram_client_select(struct scram_client *s, const uint8_t *offer, size_t offer_len, struct fail *why);
bool scram_client_is_bound(const struct scram_client *s); /* returns true if PLUS was chosen */
int scram_client_first(struct scram_client *s, char out[static SCRAM_TEXT_MAX], struct fail *why);
/* Takes server-first. Sets *salt (which s owns) and *iterations to those that the server asks for; the caller then
 * finds or derives keys for them. Returns 0, or -1 with *why set. */
int scram_client_challenge(struct scram_client *s, const char *in, size_t in_len, const uint8_t **salt,
			   size_t *salt_len, uint32_t *iterations, struct fail *why);
/* Writes client-final. Returns 0, or -1 with *why set (28P01) if keys don't match the challenge. */
int scram_client_final(struct scram_client *s, const struct scram_keys *keys, char out[static SCRAM_TEXT_MAX],
		       struct fail *why);
/* Takes server-final. Returns 0, or -1 with *why set: the server does not know our keys (an impostor, 28000), or it
 * refused us with e=... (28P01). */
int scram_client_verify(struct scram_client *s, const char *in, size_t in_len, struct fail *why);
