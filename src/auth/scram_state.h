/* src/auth/scram_state.h - declarations that scram_*.c share. Other files use scram.h. */
#pragma once

#include "auth/encoding.h"
#include "auth/scram.h"

/*
 * --- scram_text.c: SCRAM's four messages (RFC 5802, 5.1 and 7). Each is a list of "a=value", separated by commas.
 *
 *   client-first    n,,n=,r=<client's nonce>                  "n,,": no channel binding, no other identity
 *   server-first    r=<both nonces>,s=<salt>,i=<iterations>
 *   client-final    c=biws,r=<both nonces>,p=<ClientProof>    "biws": base64 of "n,,"
 *   server-final    v=<ServerSignature>
 *
 * "n,," is the gs2 header, and the first letter is the gs2 flag. "y,," means that the client could bind the login to
 * the channel, but the server has not offered that. "p=tls-server-end-point,," means that the client does bind the
 * login; c= is then base64 of the gs2 header and the bytes of tls-server-end-point.
 *
 * AuthMessage, which both sides sign, is client-first without its gs2 header, server-first, and client-final without
 * its proof, separated by commas.
 *
 * An invalid message is refused in PostgreSQL's words: 08P01 "malformed SCRAM message", and a DETAIL. The functions
 * below return 0, or -1 with *why set, unless their comments say otherwise.
 */
#define SCRAM_OWN_NONCE_LEN 24 /* characters: 18 random bytes in base64, as in PostgreSQL */

#define SCRAM_PLAIN "SCRAM-SHA-256"
#define SCRAM_PLUS "SCRAM-SHA-256-PLUS"
#define SCRAM_BINDING_TYPE "tls-server-end-point"
#define SCRAM_GS2_MAX sizeof("p=" SCRAM_BINDING_TYPE ",,") /* bytes of the longest gs2 header, with its terminator */
/* Bytes of the longest c=: base64 of the gs2 header and the binding, with a terminator. */
#define SCRAM_BINDING_TEXT_MAX (BASE64_LEN(SCRAM_GS2_MAX - 1 + SCRAM_BINDING_MAX) + 1)

/* A part of a message, which is borrowed. */
struct scram_span {
	const char *text; /* not terminated */
	size_t len;
};

#define SCRAM_AUTH_MESSAGE_MAX ((size_t)3 * SCRAM_TEXT_MAX)

/* The step that must come next. A server goes through FIRST and FINAL, a client through all four. */
enum scram_turn { SCRAM_TURN_FIRST, SCRAM_TURN_CHALLENGE, SCRAM_TURN_FINAL, SCRAM_TURN_VERIFY, SCRAM_TURN_OVER };

/* Returns 0, or -1 (08P01) if *turn is not `want`. Sets *turn to SCRAM_TURN_OVER, so that a failure ends the exchange;
 * a caller that has accepted the message sets *turn to the next step. */
int scram_take_turn(enum scram_turn *turn, enum scram_turn want, struct fail *why);
int scram_fail_no_memory(struct fail *why); /* sets *why (53200); always returns -1 */
/* Sets *why (08P01) with this DETAIL. Always returns -1. */
int scram_fail_malformed(struct fail *why, const char *detail, ...) __attribute__((format(printf, 2, 3)));
/* Checks that a message is not empty, is shorter than SCRAM_TEXT_MAX, and has no zero byte. */
int scram_check_text(const char *in, size_t in_len, struct fail *why);
/* Removes an attribute name=value, and the comma after it, from the front of *rest, and sets *value. */
int scram_take(struct scram_span *rest, char name, struct scram_span *value, struct fail *why);
/* Removes an attribute of any name, which must be a letter, from the front of *rest. Sets *name and *value. */
int scram_take_any(struct scram_span *rest, char *name, struct scram_span *value, struct fail *why);
/* Skips extensions, which are attributes that we do not know, up to the end of the message. */
int scram_skip_extensions(struct scram_span *rest, struct fail *why);
/* Returns true if s is not empty and has only RFC 5802's "printable" characters, as a nonce must have. */
bool scram_is_printable(struct scram_span s);
/* Reads a number from 1 to max, without sign or leading zero. Returns 0, or -1. */
int scram_parse_count(struct scram_span s, uint32_t max, uint32_t *out);
/* Copies a peer's text to out, terminated and cut to cap bytes. Characters below `lowest`, or not ASCII, become '?'. */
void scram_copy_printable(struct scram_span text, char lowest, char *out, size_t cap);
/* Writes a character as an error message shows it: 'c', or 0x1f for a character that can't be printed. Returns out. */
const char *scram_print_char(char c, char out[static 8]);
/* Writes the value that c= must have with this gs2 flag ('n', 'y' or 'p') to out, and the gs2 header to `header`, which
 * may be NULL. Returns the length of the text in out. */
size_t scram_binding_text(char flag, const struct scram_channel *channel, char header[SCRAM_GS2_MAX],
			  char out[static SCRAM_BINDING_TEXT_MAX]);
/* Returns `given` unless it is NULL; else writes random characters to out, terminated, and returns out. Returns NULL if
 * there is no randomness. */
const char *scram_make_nonce(const char *given, char out[static SCRAM_OWN_NONCE_LEN + 1]);

/*
 * --- scram_keys.c: SCRAM's arithmetic, for scram_client.c and scram_server.c. scram.h has the file's other functions.
 */
/* Computes HMAC(key, text) of RFC 5802. Returns 0, or -1 with *why set (53200). */
int scram_hmac(const uint8_t key[static SCRAM_KEY_LEN], const void *text, size_t text_len,
	       uint8_t out[static SCRAM_KEY_LEN], struct fail *why);
/* Computes H(key) of RFC 5802. Returns 0, or -1 with *why set (53200). */
int scram_hash(const uint8_t key[static SCRAM_KEY_LEN], uint8_t out[static SCRAM_KEY_LEN], struct fail *why);
/* Computes *to ^= *from: proof = key XOR signature, or the inverse, key = proof XOR signature. */
void scram_xor(uint8_t to[static SCRAM_KEY_LEN], const uint8_t from[static SCRAM_KEY_LEN]);
/* Decodes base64; text needs no terminator. Returns 0, or -1 if the result is not SCRAM_KEY_LEN bytes long. */
int scram_decode_key(const char *text, size_t text_len, uint8_t out[static SCRAM_KEY_LEN]);
