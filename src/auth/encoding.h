/* src/auth/encoding.h - bytes and passwords in the forms that authentication needs. */
#pragma once

#include "base/fail.h"

#include <stdint.h>

/*
 * --- base64.c: strict base64 (RFC 4648, 4): padded, canonical, nothing but the alphabet. SCRAM's salts, nonces, keys
 * and proofs use it; each value must have just one spelling.
 */
#define BASE64_LEN(bytes_len) (((bytes_len) + 2) / 3 * 4) /* characters, without the terminator */

/* Writes BASE64_LEN(len) + 1 bytes to out, terminator included. */
void base64_encode(const uint8_t *bytes, size_t len, char *out);
/* Returns 0, or -1 if text is not base64 or is longer than out_max bytes; out may then hold a part of it. */
int base64_decode(const char *text, size_t text_len, uint8_t *out, size_t out_max, size_t *out_len);

/* --- md5.c: PostgreSQL's md5 password answer (protocol chapter "AuthenticationMD5Password"). */
#define MD5_SECRET_LEN 35 /* "md5" and 32 hex digits */

/* out = "md5" + hex(MD5(password + user)), terminated. Returns 0, or -1 with *why set if OpenSSL refuses MD5 (FIPS). */
int md5_secret(const char *password, const char *user, char out[static MD5_SECRET_LEN + 1], struct fail *why);
/* out = "md5" + hex(MD5(<32 hex digits of secret> + salt)), which a client sends. `secret` is from md5_secret(). */
int md5_answer(const char *secret, const uint8_t salt[static 4], char out[static MD5_SECRET_LEN + 1], struct fail *why);

/*
 * --- saslprep.c: SASLprep (RFC 4013) turns all ways to type a password into one sequence of bytes. Spaces of all kinds
 * become a plain space, invisible characters are removed, and the rest is put in Unicode's normal form KC.
 *
 * saslprep() does what PostgreSQL's pg_saslprep does, so both derive the same keys: a password that is not UTF-8, or
 * has characters that SASLprep prohibits, is used unchanged. Without libidn every password is used unchanged.
 */
#define SASLPREP_MAX ((size_t)1 << 24) /* bytes of a password */

/* Returns 0, or -1 without memory. *prepared then belongs to the caller (secret_free()), or is NULL if the password is
 * used unchanged. The password must not be longer than SASLPREP_MAX: the time grows with the square of the length. */
int saslprep(const char *password, char **prepared);
