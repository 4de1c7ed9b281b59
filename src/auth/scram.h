/*
 * src/auth/scram.h - SCRAM-SHA-256 and -PLUS (RFC 5802, RFC 7677), both sides, without I/O: message texts in, message
 * texts out.
 *
 * Texts are the SASL payloads (without PostgreSQL's message headers) and hostile: lengths are checked, nonces and
 * iteration counts bounded, base64 strict. PostgreSQL ignores the user name in SCRAM messages; so do we.
 *
 * PLUS binds the login to the TLS connection it goes over: both sides sign what they know of the server's certificate,
 * so a man in the middle, who has another, gets nowhere. The only type is tls-server-end-point (RFC 5929, 4), as in
 * PostgreSQL. Whoever could have used it and was not offered it says so ("y"), which tells the other side of one who
 * took it off the offer.
 */
#ifndef PGWEIR_AUTH_SCRAM_H
#define PGWEIR_AUTH_SCRAM_H

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRAM_KEY_LEN 32
#define SCRAM_SALT_MAX 128 /* bytes, decoded */
#define SCRAM_NONCE_MAX 512 /* characters, client's and server's together */
#define SCRAM_ITERATIONS_MAX 1000000
#define SCRAM_TEXT_MAX 2048 /* any message either side sends or takes */

/* What a connection can be bound by. Zeroed: a connection in the clear. */
#define SCRAM_BINDING_MAX 64 /* bytes of tls-server-end-point: a hash */
struct scram_channel {
	bool is_tls;
	uint8_t end_point[SCRAM_BINDING_MAX];
	size_t end_point_len; /* 0: none, as the certificate's signature has no hash that is defined for it */
};
/* libpq's channel_binding. */
enum scram_binding { SCRAM_BINDING_PREFER, SCRAM_BINDING_DISABLE, SCRAM_BINDING_REQUIRE };
#define SCRAM_OFFER_MAX 64

/* What a server keeps: RFC 5803's, PostgreSQL's rolpassword. */
struct scram_verifier {
	uint32_t iterations;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint8_t stored_key[SCRAM_KEY_LEN], server_key[SCRAM_KEY_LEN];
};
/* What logs in without the password: learnt from a client's proof, good for the same salt and iterations. */
struct scram_keys {
	bool is_set;
	uint32_t iterations;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint8_t client_key[SCRAM_KEY_LEN], server_key[SCRAM_KEY_LEN];
};

/* "SCRAM-SHA-256$4096:salt$StoredKey:ServerKey" (base64). -1 and why (22023) when malformed. */
int scram_verifier_parse(const char *secret, struct scram_verifier *out, struct fail *why);
/* From a plain password, prepared as saslprep.h says; takes milliseconds to a second. */
int scram_verifier_from_password(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
				 struct scram_verifier *out, struct fail *why);
/* The same for logging in to a server: keep them (see scram_keys_match). */
int scram_keys_from_password(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
			     struct scram_keys *out, struct fail *why);
bool scram_keys_match(const struct scram_keys *keys, const uint8_t *salt, size_t salt_len, uint32_t iterations);
/*
 * For users we do not know: salt stable per name and process secret, so that nothing tells them apart (RFC 5802 9).
 * The salt's length is PostgreSQL's, 16 bytes; iterations should be what users we do know have.
 */
int scram_verifier_mock(const char *user, const uint8_t secret[static 32], uint32_t iterations,
			struct scram_verifier *out, struct fail *why);

/* --- We are the server: a client logs in. A call out of turn, or after a failure, is refused with 08P01. --- */
struct scram_server; /* opaque; wiped when freed */
/* Copies the verifier and the channel. NULL: no memory or no randomness. */
struct scram_server *scram_server_new(const struct scram_verifier *verifier, bool is_mock,
				      const struct scram_channel *channel);
/* For tests alone, which replay exchanges from the RFC: our part of the nonce is given. */
struct scram_server *scram_server_new_with_nonce(const struct scram_verifier *verifier, bool is_mock,
						 const struct scram_channel *channel, const char *nonce);
void scram_server_free(struct scram_server *s);
/* The mechanisms we offer, the best first: each terminated, one empty at the end. Returns the bytes of it. */
size_t scram_server_offer(const struct scram_server *s, char out[static SCRAM_OFFER_MAX]);
/* The mechanism the client chose; before its first message. -1 (08P01): we did not offer it. */
int scram_server_select(struct scram_server *s, const char *mechanism, struct fail *why);
/* Takes client-first, writes server-first to out (terminated). -1: malformed (08P01), not offered (0A000), or
 * someone took PLUS off our offer (28000). */
int scram_server_first(struct scram_server *s, const char *in, size_t in_len, char out[static SCRAM_TEXT_MAX],
		       struct fail *why);
/*
 * Takes client-final. 0: the proof is right; out is server-final, and keys (may be NULL) what logs in to a server with
 * the same verifier. -1: 28P01 for a wrong proof (always, if is_mock), 28000 if the client sees another certificate
 * than ours, 08P01 for a malformed message; keys are zero. Compares in constant time. Who logs in is not known here:
 * the caller's error names the user.
 */
int scram_server_final(struct scram_server *s, const char *in, size_t in_len, char out[static SCRAM_TEXT_MAX],
		       struct scram_keys *keys, struct fail *why);

/* --- We are the client: log in to PostgreSQL. Out of turn or after a failure: as above. --- */
struct scram_client; /* opaque; wiped when freed */
/* Copies the channel. NULL: no memory or no randomness. */
struct scram_client *scram_client_new(const struct scram_channel *channel, enum scram_binding policy);
/* For tests alone: the user in client-first (otherwise empty, as libpq's) and the nonce are given. */
struct scram_client *scram_client_new_with_nonce(const struct scram_channel *channel, enum scram_binding policy,
						 const char *user, const char *nonce);
void scram_client_free(struct scram_client *s);
/*
 * Chooses from the server's offer (AuthenticationSASL's list, hostile); before the first message. NULL and why (28000):
 * nothing we know, or nothing the policy allows.
 */
const char *scram_client_select(struct scram_client *s, const uint8_t *offer, size_t offer_len, struct fail *why);
bool scram_client_is_bound(const struct scram_client *s); /* PLUS was chosen */
int scram_client_first(struct scram_client *s, char out[static SCRAM_TEXT_MAX], struct fail *why);
/* Takes server-first; says which salt (s's own bytes) and iterations it asks for: the caller finds or derives keys. */
int scram_client_challenge(struct scram_client *s, const char *in, size_t in_len, const uint8_t **salt,
			   size_t *salt_len, uint32_t *iterations, struct fail *why);
/* keys must match the challenge, else 28P01. Writes client-final. */
int scram_client_final(struct scram_client *s, const struct scram_keys *keys, char out[static SCRAM_TEXT_MAX],
		       struct fail *why);
/* Takes server-final. -1: the server does not know our keys (an impostor, 28000), or said e=... (28P01). */
int scram_client_verify(struct scram_client *s, const char *in, size_t in_len, struct fail *why);

#endif
