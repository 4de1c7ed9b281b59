/*
 * src/auth/base64.h - strict base64 (RFC 4648, 4): padded, canonical, nothing but the alphabet. For SCRAM's salts,
 * nonces, keys and proofs, where two spellings of one value would be one too many.
 */
#ifndef PGWEIR_AUTH_BASE64_H
#define PGWEIR_AUTH_BASE64_H

#include <stddef.h>
#include <stdint.h>

#define BASE64_LEN(bytes_len) (((bytes_len) + 2) / 3 * 4) /* characters, without the terminator */

/* Writes BASE64_LEN(len) + 1 bytes to out, terminator included. */
void base64_encode(const uint8_t *bytes, size_t len, char *out);
/* Returns 0, or -1 if text is not base64 or is longer than out_max bytes; out may then hold a part of it. */
int base64_decode(const char *text, size_t text_len, uint8_t *out, size_t out_max, size_t *out_len);

#endif
