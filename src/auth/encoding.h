/* src/auth/encoding.h - bytes and passwords in the forms that authentication needs. */
#pragma once

#include "base/fail.h"

#include <stdint.h>

/*
 * --- base64.c: strict base64 (RFC 4648, 4), for SCRAM's salts, nonces, keys and proofs. Text must be padded,
 * canonical, and without characters outside the alphabet, so that each value has just one encoding.
 */
#define BASE64_LEN(bytes_len) (((bytes_len) + 2) / 3 * 4) /* characters, without the terminator */

/* Writes BASE64_LEN(len) characters and a terminator to out. */
void base64_encode(const uint8_t *bytes, size_t len, char *out);
/* Returns 0, or -1 if text is not base64 or decodes to more than out_max bytes; `out` is then undefined. */
int base64_decode(const char *text, size_t text_len, uint8_t *out, size_t out_max, size_t *out_len);

/* --- md5.c: PostgreSQL's authentication by MD5 (protocol chapter "AuthenticationMD5Password"). Both functions return
 * 0, or -1 with *why set if there is no memory, or if OpenSSL refuses MD5, as in FIPS mode. --- */
#define MD5_SECRET_LEN 35 /* "md5" and 32 hex digits */

/* Writes the secret that servers store, "md5" + hex(MD5(password + user)), to out, with a terminator. */
int md5_secret(const char *password, const char *user, char out[static MD5_SECRET_LEN + 1], struct fail *why);
/* Writes the answer that a client sends, "md5" + hex(MD5(32 hex digits of secret + salt)), to out, with a terminator.
 * `secret` is from md5_secret(). */
int md5_answer(const char *secret, const uint8_t salt[static 4], char out[static MD5_SECRET_LEN + 1], struct fail *why);

/*
 * --- saslprep.c: SASLprep (RFC 4013) turns all ways to type a password into one sequence of bytes. Spaces of all kinds
 * become a plain space, invisible characters are removed, and the text is put in Unicode's normal form KC.
 *
 * saslprep() does the same as PostgreSQL's pg_saslprep(), so pgweir derives PostgreSQL's keys. A password that is not
 * UTF-8, or has characters that SASLprep prohibits, is used unchanged. A build without libidn uses all passwords
 * unchanged.
 */
#define SASLPREP_MAX ((size_t)1 << 24) /* bytes of a password */

/* Sets *prepared to the new password, which the caller frees with secret_free(), or to NULL if the password is used
 * unchanged. Returns 0, or -1 if there is no memory. A password that is longer than SASLPREP_MAX is used unchanged,
 * because the time grows with the square of the length. */
int saslprep(const char *password, char **prepared);
