/*
 * src/modules/ldap/ldap.h - passwords that an LDAP server judges, as PostgreSQL's method ldap does (chapter "LDAP
 * Authentication").
 *
 *   ldap.c       PostgreSQL's options, which name the server and the question
 *   ldap_bind.c  asks the server
 *
 * pgweir binds either to the name that ldapprefix, the user's name and ldapsuffix make together, or to the user's
 * entry, for which it searches below ldapbasedn. Names of users are escaped in filters (RFC 4515) and in distinguished
 * names (RFC 4514), so none of their characters can mean anything there.
 *
 * Owns: struct ldap_settings owns its texts, and does not change after ldap_finish_options() has returned 0.
 */
#pragma once

#include "auth/auth_module.h"
#include "base/buf.h"

#define LDAP_PLACEHOLDER "$username" /* in ldapsearchfilter: the user */

/* A rule's options. Zeroed at first. Texts are NULL if they were not given. */
struct ldap_settings {
	char *server; /* names of hosts, separated by blanks; NULL if DNS (SRV) names the servers of base_dn */
	char *scheme; /* "ldap" or "ldaps"; NULL means "ldap" */
	char *prefix, *suffix;
	char *base_dn, *bind_dn, *bind_password, *attribute, *filter;
	int scope; /* LDAP_SCOPE_... */
	unsigned port; /* 0 for the scheme's default */
	bool starts_tls;
	bool is_scope_set; /* true if ldapurl has set scope */
	/* made of the fields above by ldap_finish_options(): "ldap://a:389 ldap://b:389", or
	 * "ldap:///dc=example,dc=net" */
	char *uris;
};

/* Takes an option, such as "ldapserver". Returns 0, or -1 with *why set if the option is not known, or if its value is
 * wrong. */
int ldap_configure_option(void *settings, const char *name, const char *value, struct fail *why);
/* Called when all options were taken. Returns 0, or -1 with *why set if options contradict each other or are
 * missing. */
int ldap_finish_options(void *settings, struct fail *why);
/* Returns true if passwords travel to the server in the clear, and the server is not on this machine. */
bool ldap_sends_clear_text(const struct ldap_settings *s);
void ldap_settings_free(void *settings); /* wipes secrets; settings may be NULL */
/* Appends the filter that finds the user, without a terminator. */
void ldap_put_filter(const struct ldap_settings *s, const char *user, struct buf *to);
/* Appends the name to which pgweir binds for the user if it does not search, without a terminator. */
void ldap_put_name(const struct ldap_settings *s, const char *user, struct buf *to);

/* --- ldap_bind.c --- */
/*
 * Blocks until q->deadline_us at most, not counting the time that the system's resolver takes for the server's name.
 * q->password must not be empty, because a bind without a password proves nothing.
 */
enum proof ldap_prove(const struct auth_question *q, struct fail *why);
