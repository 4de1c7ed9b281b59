/*
 * src/auth/saslprep.h - SASLprep (RFC 4013): one password, however it was typed, is one sequence of bytes. Spaces of
 * all kinds become one, invisible characters go, and the rest is put in Unicode's normal form KC.
 *
 * It does what PostgreSQL's pg_saslprep does, so that both derive the same keys: a password that is not UTF-8, or has
 * characters that SASLprep prohibits, is used as it is. Without libidn every password is.
 */
#ifndef PGWEIR_AUTH_SASLPREP_H
#define PGWEIR_AUTH_SASLPREP_H

#include <stddef.h>

#define SASLPREP_MAX ((size_t)1 << 24) /* bytes of a password */

/*
 * Returns 0, or -1 without memory. *prepared is then the caller's (saslprep_free), or NULL if the password is used as
 * it is. The password must not be longer than SASLPREP_MAX: the time grows with the square of its length.
 */
int saslprep(const char *password, char **prepared);
void saslprep_free(char *prepared); /* wipes; NULL is fine */

#endif
