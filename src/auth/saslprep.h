/*
 * src/auth/saslprep.h - SASLprep (RFC 4013): one password, however it was typed, is one sequence of bytes. Spaces of
 * all kinds become one, invisible characters go, and the rest is put in Unicode's normal form KC.
 *
 * As in PostgreSQL's pg_saslprep, so that keys made here are those it makes: text that is not UTF-8, or holds what
 * SASLprep prohibits, is taken as it is. Without libidn all text is.
 */
#ifndef PGWEIR_AUTH_SASLPREP_H
#define PGWEIR_AUTH_SASLPREP_H

#include <stddef.h>

#define SASLPREP_MAX ((size_t)1 << 24) /* bytes of a password */

/*
 * 0: *prepared is the caller's (saslprep_free), or NULL: the password is used as it is. -1: no memory. The password
 * must not be longer than SASLPREP_MAX. Slow for long text: time goes with its square.
 */
int saslprep(const char *password, char **prepared);
void saslprep_free(char *prepared); /* wipes; NULL is fine */

#endif
