/*
 * src/auth/scram_keys.h - SCRAM's arithmetic, for its two sides; everyone else uses scram.h, whose verifiers and
 * keys scram_keys.c makes.
 */
#ifndef PGWEIR_AUTH_SCRAM_KEYS_H
#define PGWEIR_AUTH_SCRAM_KEYS_H

#include "auth/scram.h"

/* HMAC(key, text) and H(key) of RFC 5802. -1 and XX000 if the library refuses. */
int scram_hmac(const uint8_t key[static SCRAM_KEY_LEN], const void *text, size_t text_len,
	       uint8_t out[static SCRAM_KEY_LEN], struct fail *why);
int scram_hash(const uint8_t key[static SCRAM_KEY_LEN], uint8_t out[static SCRAM_KEY_LEN], struct fail *why);
/* Undoes itself: proof = key XOR signature. */
void scram_xor(uint8_t to[static SCRAM_KEY_LEN], const uint8_t from[static SCRAM_KEY_LEN]);
/* From base64 (text needs no terminator); -1 unless it is exactly one key's length. */
int scram_decode_key(const char *text, size_t text_len, uint8_t out[static SCRAM_KEY_LEN]);

#endif
