/* src/auth/scram_state.h - what scram_*.c share; see scram.h. */
#ifndef PGWEIR_AUTH_SCRAM_STATE_H
#define PGWEIR_AUTH_SCRAM_STATE_H

#include "auth/base64.h"
#include "auth/scram.h"
#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * --- scram_text.c: SCRAM's four messages (RFC 5802, 5.1 and 7): attributes "a=value", separated by commas.
 *
 *   client-first    n,,n=,r=<client's nonce>                  "n,,": no channel binding, no other identity
 *   server-first    r=<both nonces>,s=<salt>,i=<iterations>
 *   client-final    c=biws,r=<both nonces>,p=<ClientProof>    "biws": base64 of "n,,"
 *   server-final    v=<ServerSignature>
 *
 * "n,," is the gs2 header: "y,,": I could bind to the channel, but you did not offer it; "p=tls-server-end-point,,": I
 * do, and the bytes of tls-server-end-point follow the header in what c= is base64 of.
 *
 * AuthMessage, what both sides sign, is client-first less its gs2 header, server-first, client-final less its proof,
 * with commas between. Shared by the two sides; everyone else uses scram.h. Nothing is copied.
 *
 * What a peer sent is refused in PostgreSQL's words: 08P01 "malformed SCRAM message", and a detail.
 */
#define SCRAM_OWN_NONCE_LEN 24 /* characters: 18 random bytes in base64, as PostgreSQL's */

#define SCRAM_PLAIN "SCRAM-SHA-256"
#define SCRAM_PLUS "SCRAM-SHA-256-PLUS"
#define SCRAM_BINDING_TYPE "tls-server-end-point"
#define SCRAM_GS2_MAX sizeof("p=" SCRAM_BINDING_TYPE ",,") /* with its terminator */
/* c=: base64 of the gs2 header and the binding, with its terminator. */
#define SCRAM_BINDING_TEXT_MAX (BASE64_LEN(SCRAM_GS2_MAX - 1 + SCRAM_BINDING_MAX) + 1)

struct scram_span {
	const char *text; /* not terminated */
	size_t len;
};

#define SCRAM_AUTH_MESSAGE_MAX ((size_t)3 * SCRAM_TEXT_MAX)

/* What a side does next. Any failure leaves SCRAM_TURN_OVER. */
enum scram_turn { SCRAM_TURN_FIRST, SCRAM_TURN_CHALLENGE, SCRAM_TURN_FINAL, SCRAM_TURN_VERIFY, SCRAM_TURN_OVER };

/* Spends the turn: whoever finds the message good sets the next. -1 (08P01): it is not the turn of this message. */
int scram_take_turn(enum scram_turn *turn, enum scram_turn want, struct fail *why);
int scram_no_memory(struct fail *why); /* always -1 */
/* 08P01; always -1. */
int scram_malformed(struct fail *why, const char *detail, ...) __attribute__((format(printf, 2, 3)));
/* What holds for every message: not empty, no NUL within, shorter than SCRAM_TEXT_MAX. */
int scram_check_text(const char *in, size_t in_len, struct fail *why);
/* Takes the attribute at the front of *rest, which must be this one, and the comma after it. */
int scram_take(struct scram_span *rest, char name, struct scram_span *value, struct fail *why);
/* The same for whatever attribute is there: any letter. */
int scram_take_any(struct scram_span *rest, char *name, struct scram_span *value, struct fail *why);
/* Optional extensions up to the end of the message: well-formed, ignored. */
int scram_skip_extensions(struct scram_span *rest, struct fail *why);
bool scram_is_printable(struct scram_span s); /* RFC 5802's "printable", at least one: what nonces are made of */
int scram_parse_count(struct scram_span s, uint32_t max, uint32_t *out); /* 1 to max, no sign, no leading zero */
/* The character as it may be shown in a message: itself in quotes, or its code. */
const char *scram_show(char c, char out[static 8]);
/* What c= must be after this gs2 flag ('n', 'y' or 'p'); its length. header (may be NULL): the gs2 header alone. */
size_t scram_binding_text(char flag, const struct scram_channel *channel, char header[SCRAM_GS2_MAX],
			  char out[static SCRAM_BINDING_TEXT_MAX]);
/* Random characters, terminated. -1: no randomness. */
int scram_nonce(char out[static SCRAM_OWN_NONCE_LEN + 1]);

/*
 * --- scram_keys.c: SCRAM's arithmetic, for its two sides; everyone else uses scram.h, whose verifiers and keys
 * scram_keys.c makes.
 */
/* HMAC(key, text) and H(key) of RFC 5802. -1 and XX000 if the library refuses. */
int scram_hmac(const uint8_t key[static SCRAM_KEY_LEN], const void *text, size_t text_len,
	       uint8_t out[static SCRAM_KEY_LEN], struct fail *why);
int scram_hash(const uint8_t key[static SCRAM_KEY_LEN], uint8_t out[static SCRAM_KEY_LEN], struct fail *why);
/* Undoes itself: proof = key XOR signature. */
void scram_xor(uint8_t to[static SCRAM_KEY_LEN], const uint8_t from[static SCRAM_KEY_LEN]);
/* From base64 (text needs no terminator); -1 unless it is exactly one key's length. */
int scram_decode_key(const char *text, size_t text_len, uint8_t out[static SCRAM_KEY_LEN]);

#endif
