/*
 * src/modules/gss/gss.h - authentication by Kerberos: of clients to pgweir, as with PostgreSQL's method gss (chapter
 * "GSSAPI Authentication"), and of pgweir to a PostgreSQL whose rule asks for gss.
 *
 *   gss.c           PostgreSQL's options, and the struct auth_module
 *   gss_accept.c    takes the clients' tokens
 *   gss_show.c      makes pgweir's own tokens, as libpq does; PostgreSQL must authenticate itself, too
 *   gss_delegate.c  credentials that clients delegate, for gss_show.c: see README.md
 *
 * A client presents a ticket for the service whose key is in the keytab, so pgweir asks no KDC. Only Kerberos is
 * accepted, also within SPNEGO. With gss_accept_delegation = on, credentials that clients delegate are accepted, too.
 *
 * Owns: struct gss_options owns its texts, and does not change after the rule was read.
 */
#pragma once

#include "auth/auth_module.h"

/* A rule's options. Zeroed at first. Texts are NULL if they were not given, or are empty. */
struct gss_options {
	char *realm; /* the realm to which all clients must belong */
	char *keytab; /* NULL for the library's default (KRB5_KTNAME, or what krb5.conf has, or /etc/krb5.keytab) */
	enum { REALM_INCLUDED, REALM_LEFT_OUT } form; /* whether the name from gss_name() includes the realm */
};

/* Changes a principal, such as "web@EXAMPLE.NET", in place to the name by which the client logs in. Returns the name,
 * or NULL with *why set if clients of this realm may not log in. */
const char *gss_name(const struct gss_options *o, char *principal, struct fail *why);

/* --- gss_accept.c --- */
enum proof_verdict gss_judge(const struct auth_question *q, struct fail *why);
void gss_context_free(void *context); /* context may be NULL */

/* --- gss_show.c --- */
enum proof_verdict gss_make_token(const struct auth_server *to, struct auth_tokens *t, struct fail *why);
