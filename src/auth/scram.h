/*
 * src/auth/scram.h - SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), for the server's and the client's side.
 * Does no I/O: the functions take the peer's messages and write our own.
 *
 * A message here is a SASL payload, without the header of PostgreSQL's message. The peer's messages are not trusted:
 * lengths are checked, nonces and iteration counts bounded, and base64 must be canonical. As PostgreSQL does, we ignore
 * the user name in SCRAM messages.
 *
 * Owns:   struct scram_server and struct scram_client own copies of verifier and channel, and all texts that they
 *         make; all of this, except AuthMessage, is wiped when they are freed.
 * Always: after a failure, a struct scram_server or scram_client refuses all messages.
 *
 * PLUS binds the login to its TLS connection: both sides sign a hash of the server's certificate, so a man in the
 * middle, with another certificate, can't log in. The only type of binding is tls-server-end-point (RFC 5929, 4), as in
 * PostgreSQL. A client that supports PLUS but got no offer of PLUS sends the flag "y". If the server did offer PLUS,
 * this flag tells the server that an attacker has removed PLUS from the offer.
 */
#pragma once

#include "base/fail.h"

#include <stdbool.h>
#include <stdint.h>

#define SCRAM_KEY_LEN 32
#define SCRAM_SALT_MAX 128 /* bytes of a salt after base64 is decoded */
#define SCRAM_NONCE_MAX 512 /* characters of the client's and the server's nonces together */
#define SCRAM_ITERATIONS_MAX 1000000
#define SCRAM_TEXT_MAX 2048 /* bytes of a message of either side, with a terminator */

#define SCRAM_BINDING_MAX 64 /* bytes of a tls-server-end-point */
/* The TLS connection that a login can be bound to. Zeroed for a connection without TLS. */
struct scram_channel {
	bool is_tls;
	uint8_t end_point[SCRAM_BINDING_MAX]; /* tls-server-end-point: a hash of the server's certificate */
	size_t end_point_len; /* 0 if the RFC defines no hash for this kind of certificate */
};
/* The values of libpq's channel_binding. */
enum scram_binding { SCRAM_BINDING_PREFER, SCRAM_BINDING_DISABLE, SCRAM_BINDING_REQUIRE };
#define SCRAM_OFFER_MAX 64 /* bytes that scram_server_offer() writes */

/* --- scram_keys.c: verifiers and keys --- */

/* The numbers that a server stores in place of a password, to check proofs (RFC 5803; PostgreSQL's rolpassword). */
struct scram_verifier {
	uint32_t iterations;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint8_t stored_key[SCRAM_KEY_LEN], server_key[SCRAM_KEY_LEN];
};
/* The keys with which a client logs in without its password, to any server that has the same salt and iterations.
 * pgweir learns them from a client's proof. */
struct scram_keys {
	bool is_set; /* false if the struct holds no keys */
	uint32_t iterations;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint8_t client_key[SCRAM_KEY_LEN], server_key[SCRAM_KEY_LEN];
};

/* Parses "SCRAM-SHA-256$4096:salt$StoredKey:ServerKey" (base64). Returns 0, or -1 with *why set (22023). */
int scram_verifier_parse(const char *secret, struct scram_verifier *out, struct fail *why);
/* Makes a verifier from a plain password, to which it applies saslprep(). Takes milliseconds to a second, depending on
 * iterations. Returns 0, or -1 with *why set. */
int scram_verifier_from_password(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
				 struct scram_verifier *out, struct fail *why);
/* Makes the keys for logging in to a server. Applies saslprep(), and is as slow as scram_verifier_from_password(), so
 * the caller should keep the keys for later logins (see scram_keys_match()). Returns 0, or -1 with *why set. */
int scram_keys_from_password(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
			     struct scram_keys *out, struct fail *why);
/* Returns true if these keys log in to a server that asks for this salt and this number of iterations. */
bool scram_keys_match(const struct scram_keys *keys, const uint8_t *salt, size_t salt_len, uint32_t iterations);
/* Makes a verifier that no proof fits, for an unknown user. Its salt depends only on the name and on `secret`, a secret
 * of the process, so clients can't tell unknown users from known ones (RFC 5802, 9). The salt has 16 bytes, as in
 * PostgreSQL; `iterations` should be the number that known users have. Returns 0, or -1 with *why set. */
int scram_verifier_mock(const char *user, const uint8_t secret[static 32], uint32_t iterations,
			struct scram_verifier *out, struct fail *why);

/* --- scram_server.c: we are the server, and a client logs in. The functions are called in the order below; a call out
 * of this order, or after a failure, returns -1 with *why set (08P01). --- */
struct scram_server; /* opaque; wiped when freed */
/* Begins an exchange. Copies the verifier and the channel. If is_mock, every proof is wrong. `nonce` is our part of the
 * nonce, for tests that replay exchanges from the RFC; if it is NULL, a random nonce is made. Returns NULL if there is
 * no memory or randomness. */
struct scram_server *scram_server_new(const struct scram_verifier *verifier, bool is_mock,
				      const struct scram_channel *channel, const char *nonce);
void scram_server_free(struct scram_server *s); /* s may be NULL */
/* Writes the names of the offered mechanisms, best first, each terminated, then an empty name. Returns the length. */
size_t scram_server_offer(const struct scram_server *s, char out[static SCRAM_OFFER_MAX]);
/* Takes the mechanism that the client has chosen. Returns 0, or -1 with *why set (08P01) if we did not offer it. */
int scram_server_select(struct scram_server *s, const char *mechanism, struct fail *why);
/* Takes the message client-first, and writes server-first to out, terminated. Returns 0, or -1 with *why set: the
 * message is malformed (08P01), the client wants something that we don't offer (0A000), or PLUS was removed from our
 * offer (28000). */
int scram_server_first(struct scram_server *s, const char *in, size_t in_len, char out[static SCRAM_TEXT_MAX],
		       struct fail *why);
/*
 * Takes client-final, and compares the proof in constant time. If the proof is right, writes server-final to out,
 * terminated, sets *keys to keys that log in to a server with the same verifier, and returns 0. Otherwise zeroes *keys
 * and returns -1 with *why set: 28P01 for a wrong proof, 28000 if the client sees another certificate than ours, 08P01
 * for a malformed message. keys may be NULL. The text of *why does not name the user, who is not known here.
 */
int scram_server_final(struct scram_server *s, const char *in, size_t in_len, char out[static SCRAM_TEXT_MAX],
		       struct scram_keys *keys, struct fail *why);

/* --- scram_client.c: we are the client, and log in to PostgreSQL. The functions are called in the order below; a call
 * out of this order, or after a failure, returns -1 with *why set (08P01). --- */
struct scram_client; /* opaque; wiped when freed */
/* Begins an exchange. Copies the channel. `nonce` is our part of the nonce, for tests; if it is NULL, a random nonce is
 * made. `user` goes into client-first; outside tests it is "", as in libpq. Returns NULL if there is no memory or
 * randomness. */
struct scram_client *scram_client_new(const struct scram_channel *channel, enum scram_binding policy, const char *user,
				      const char *nonce);
void scram_client_free(struct scram_client *s); /* s may be NULL */
/* Chooses a mechanism from the server's offer, the untrusted list of AuthenticationSASL. Returns the mechanism, or NULL
 * with *why set (28000) if we know none, if the policy allows none, or if PLUS is offered without TLS. */
const char *scram_client_select(struct scram_client *s, const uint8_t *offer, size_t offer_len, struct fail *why);
bool scram_client_is_bound(const struct scram_client *s); /* returns true if PLUS was chosen */
/* Writes client-first to out, terminated. Returns 0, or -1 with *why set. */
int scram_client_first(struct scram_client *s, char out[static SCRAM_TEXT_MAX], struct fail *why);
/* Takes server-first. Sets *salt, which s owns, and *iterations to the values that the server asks for; the caller then
 * finds or derives keys for these values. Returns 0, or -1 with *why set. */
int scram_client_challenge(struct scram_client *s, const char *in, size_t in_len, const uint8_t **salt,
			   size_t *salt_len, uint32_t *iterations, struct fail *why);
/* Writes client-final to out, terminated. Returns 0, or -1 with *why set (28P01) if the keys are not for the server's
 * salt and iterations. */
int scram_client_final(struct scram_client *s, const struct scram_keys *keys, char out[static SCRAM_TEXT_MAX],
		       struct fail *why);
/* Takes server-final. Returns 0, or -1 with *why set: 28000 if the server does not know our keys and so may be an
 * impostor, 28P01 if the server has refused us (e=...). */
int scram_client_verify(struct scram_client *s, const char *in, size_t in_len, struct fail *why);
