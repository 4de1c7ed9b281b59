/* src/auth/scram_state.h - what scram_*.c share; see scram.h. */
#pragma once

#include "auth/encoding.h"
#include "auth/scram.h"

/*
 * --- scram_text.c: SCRAM's four messages (RFC 5802, 5.1 and 7): attributes "a=value", separated by commas.
 *
 *   client-first    n,,n=,r=<client's nonce>                  "n,,": no channel binding, no other identity
 *   server-first    r=<both nonces>,s=<salt>,i=<iterations>
 *   client-final    c=biws,r=<both nonces>,p=<ClientProof>    "biws": base64 of "n,,"
 *   server-final    v=<ServerSignature>
 *
 * "n,," is the gs2 header. "y,," means that the client could bind to the channel but the server did not offer to.
 * "p=tls-server-end-point,," means that the client does bind; c= is then base64 of the header and the bytes of
 * tls-server-end-point.
 *
 * AuthMessage, which both sides sign, is client-first without its gs2 header, server-first, and client-final without
 * its proof, separated by commas. Only scram_*.c use this header; other files use scram.h. Nothing is copied.
 *
 * A bad message is refused in PostgreSQL's words: 08P01 "malformed SCRAM message", and a detail.
 */
#define SCRAM_OWN_NONCE_LEN 24 /* characters: 18 random bytes in base64, as PostgreSQL's */

#define SCRAM_PLAIN "SCRAM-SHA-256"
#define SCRAM_PLUS "SCRAM-SHA-256-PLUS"
#define SCRAM_BINDING_TYPE "tls-server-end-point"
#define SCRAM_GS2_MAX sizeof("p=" SCRAM_BINDING_TYPE ",,") /* with its terminator */
/* The longest c=: base64 of the gs2 header and the binding, with a terminator. */
#define SCRAM_BINDING_TEXT_MAX (BASE64_LEN(SCRAM_GS2_MAX - 1 + SCRAM_BINDING_MAX) + 1)

struct scram_span {
	const char *text; /* not terminated */
	size_t len;
};

#define SCRAM_AUTH_MESSAGE_MAX ((size_t)3 * SCRAM_TEXT_MAX)

/* The message that a side takes or sends next; SCRAM_TURN_OVER after any failure. */
enum scram_turn { SCRAM_TURN_FIRST, SCRAM_TURN_CHALLENGE, SCRAM_TURN_FINAL, SCRAM_TURN_VERIFY, SCRAM_TURN_OVER };

/* Returns 0 if *turn is `want`, or -1 with *why set (08P01). Sets *turn to SCRAM_TURN_OVER; a caller that accepts the
 * message then sets the next turn. */
int scram_take_turn(enum scram_turn *turn, enum scram_turn want, struct fail *why);
int scram_no_memory(struct fail *why); /* always -1 */
/* Sets *why (08P01). Always returns -1. */
int scram_malformed(struct fail *why, const char *detail, ...) __attribute__((format(printf, 2, 3)));
/* Returns 0 if the message is not empty, has no NUL, and is shorter than SCRAM_TEXT_MAX; or -1 with *why set. */
int scram_check_text(const char *in, size_t in_len, struct fail *why);
/* Takes the attribute name=value, which must come next in *rest, and the comma after it. */
int scram_take(struct scram_span *rest, char name, struct scram_span *value, struct fail *why);
/* Takes the next attribute, as scram_take() does, whatever its name, which it puts into *name. */
int scram_take_any(struct scram_span *rest, char *name, struct scram_span *value, struct fail *why);
/* Skips optional extensions up to the end of the message; they must be well-formed. */
int scram_skip_extensions(struct scram_span *rest, struct fail *why);
/* returns true if s is not empty and has only RFC 5802's "printable" characters, as a nonce must be */
bool scram_is_printable(struct scram_span s);
int scram_parse_count(struct scram_span s, uint32_t max, uint32_t *out); /* 1 to max, without sign or leading zero */
/* Writes the beginning of a text from the peer, terminated; characters below `lowest` or outside ASCII become '?'. */
void scram_copy_printable(struct scram_span text, char lowest, char *out, size_t cap);
/* Returns the character as a message may show it: itself in quotes, or its code. */
const char *scram_show(char c, char out[static 8]);
/* Writes to `out` the value that c= must have with this gs2 flag ('n', 'y' or 'p'), and to `header` (may be NULL) the
 * gs2 header alone. Returns the length of `out`. */
size_t scram_binding_text(char flag, const struct scram_channel *channel, char header[SCRAM_GS2_MAX],
			  char out[static SCRAM_BINDING_TEXT_MAX]);
/* Returns `given` or, if that is NULL, random characters, which are written to `out`. Returns NULL if there is no
 * randomness. */
const char *scram_own_nonce(const char *given, char out[static SCRAM_OWN_NONCE_LEN + 1]);

/*
 * --- scram_keys.c: SCRAM's arithmetic, for scram_client.c and scram_server.c. scram.h has the other functions of
 * scram_keys.c.
 */
/* RFC 5802's HMAC(key, text) and H(key). Returns 0, or -1 with *why set (XX000) if OpenSSL refuses. */
int scram_hmac(const uint8_t key[static SCRAM_KEY_LEN], const void *text, size_t text_len,
	       uint8_t out[static SCRAM_KEY_LEN], struct fail *why);
int scram_hash(const uint8_t key[static SCRAM_KEY_LEN], uint8_t out[static SCRAM_KEY_LEN], struct fail *why);
/* to ^= from. Doing it twice undoes it: proof = key XOR signature, and key = proof XOR signature. */
void scram_xor(uint8_t to[static SCRAM_KEY_LEN], const uint8_t from[static SCRAM_KEY_LEN]);
/* Decodes base64 (text needs no terminator). Returns 0, or -1 unless it is exactly one key long. */
int scram_decode_key(const char *text, size_t text_len, uint8_t out[static SCRAM_KEY_LEN]);
