/*
 * src/modules/gss/gss.h - clients that prove by Kerberos who they are, as PostgreSQL's method gss does (chapter "GSSAPI
 * Authentication"), and pgweir that does so to a PostgreSQL with such a rule.
 *
 *   gss.c         PostgreSQL's options, and what the core knows of the method
 *   gss_accept.c  takes the clients' tokens
 *   gss_show.c    makes pgweir's own, as libpq does; PostgreSQL must prove who it is, too
 *   gss_delegate.c  what clients delegate, for gss_show.c: README.md
 *
 * The client shows a ticket for the service whose key is in the keytab: no KDC is asked. Kerberos alone is taken, also
 * within SPNEGO. What the client delegates is, too, where gss_accept_delegation is on.
 *
 * Owns: a struct gss_options its texts. Immutable once the rule was read.
 */
#pragma once

#include "auth/auth_module.h"

/* A rule's options. Zeroed at first. Texts are NULL if they were not given. */
struct gss_options {
	char *realm; /* that of all clients */
	char *keytab; /* NULL: the library's (KRB5_KTNAME, or what krb5.conf has, or /etc/krb5.keytab) */
	enum { REALM_INCLUDED, REALM_LEFT_OUT } form; /* of a client's name */
};

/* Makes of the principal "web@EXAMPLE.NET" the name that may log in. Returns it within principal, which is cut, or NULL
 * with *why set: that realm may not. */
const char *gss_name(const struct gss_options *o, char *principal, struct fail *why);

/* --- gss_accept.c --- */
enum proof gss_prove(const struct auth_question *q, struct fail *why);
void gss_context_free(void *context); /* NULL is fine */

/* --- gss_show.c --- */
enum proof gss_show(const struct auth_server *to, struct auth_tokens *t, struct fail *why);
