/*
 * src/modules/ldap/ldap.h - passwords that an LDAP server judges, as PostgreSQL's method ldap does (chapter "LDAP
 * Authentication").
 *
 *   ldap.c       PostgreSQL's options: where the server is, and what it is asked
 *   ldap_bind.c  asks it
 *
 * Either the name that is bound is ldapprefix, the user and ldapsuffix; or the user's entry is searched below
 * ldapbasedn, and bound. Names of users are escaped in filters (RFC 4515) and in distinguished names (RFC 4514), so
 * none of their characters can mean anything there.
 *
 * Owns: a struct ldap_settings its texts. Immutable once ldap_settle() has returned 0.
 */
#pragma once

#include "auth/auth_module.h"
#include "base/buf.h"

#define LDAP_PLACEHOLDER "$username" /* in ldapsearchfilter: the user */

/* A rule's options. Zeroed at first. Texts are NULL if they were not given. */
struct ldap_settings {
	char *server; /* names of hosts, with blanks between; NULL: those that DNS has for base_dn (SRV) */
	char *scheme; /* "ldap" or "ldaps"; NULL: "ldap" */
	char *prefix, *suffix;
	char *base_dn, *bind_dn, *bind_password, *attribute, *filter;
	int scope; /* LDAP_SCOPE_... */
	unsigned port; /* 0: the scheme's own */
	bool starts_tls;
	bool is_scope_set; /* by ldapurl */
	char
	    *uris; /* made of all these by ldap_settle(): "ldap://a:389 ldap://b:389", or "ldap:///dc=example,dc=net" */
};

/* Takes an option, such as "ldapserver". Returns 0, or -1 with *why set: it is not known, or its value is wrong. */
int ldap_take(void *settings, const char *name, const char *value, struct fail *why);
/* All options were taken. Returns 0, or -1 with *why set: they don't go together, or some are missing. */
int ldap_settle(void *settings, struct fail *why);
/* Returns true if passwords travel to the server in the clear, and it is not on this machine. */
bool ldap_is_open(const struct ldap_settings *s);
void ldap_settings_free(void *settings); /* wipes; NULL is fine */
/* Writes the filter that finds a user, and the name that is bound without a search; both without a terminator. */
void ldap_put_filter(const struct ldap_settings *s, const char *user, struct buf *to);
void ldap_put_name(const struct ldap_settings *s, const char *user, struct buf *to);

/* --- ldap_bind.c --- */
/*
 * Blocks, until q->deadline_us at most, but for the time that the system's resolver takes for the server's name. A bind
 * without a password would prove nothing: it must not be empty.
 */
enum proof ldap_prove(const struct auth_question *q, struct fail *why);
