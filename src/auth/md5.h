/* src/auth/md5.h - PostgreSQL's md5 password answer (protocol chapter "AuthenticationMD5Password"). */
#ifndef PGWEIR_AUTH_MD5_H
#define PGWEIR_AUTH_MD5_H

#include "base/fail.h"

#include <stdint.h>

#define MD5_SECRET_LEN 35 /* "md5" and 32 hex digits */

/* out = "md5" + hex(MD5(password + user)), terminated. Returns 0, or -1 with *why set if OpenSSL refuses MD5 (FIPS). */
int md5_secret(const char *password, const char *user, char out[static MD5_SECRET_LEN + 1], struct fail *why);
/* out = "md5" + hex(MD5(<32 hex digits of secret> + salt)): what a client sends. secret is from md5_secret(). */
int md5_answer(const char *secret, const uint8_t salt[static 4], char out[static MD5_SECRET_LEN + 1], struct fail *why);

#endif
