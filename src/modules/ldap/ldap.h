/*
 * src/modules/ldap/ldap.h - passwords that an LDAP server judges, as PostgreSQL's method ldap does (chapter "LDAP
 * Authentication").
 *
 *   ldap.c       PostgreSQL's options, which say what is asked of which server
 *   ldap_bind.c  asks the server
 *
 * pgweir binds either as the name that ldapprefix, the user's name and ldapsuffix make together, or as the user's
 * entry, for which it searches below ldapbasedn. Names of users are escaped in filters (RFC 4515) and in distinguished
 * names (RFC 4514), so no name can change what is asked.
 *
 * Owns: struct ldap_settings owns its texts, and does not change after ldap_finish_options() has returned 0.
 */
#pragma once

#include "auth/auth_module.h"
#include "base/buf.h"

#define LDAP_PLACEHOLDER "$username" /* stands for the user's name in ldapsearchfilter */

/* A rule's options. Zeroed at first. Texts are NULL if they were not given. */
struct ldap_settings {
	char *server; /* names of hosts, separated by blanks; NULL if base_dn's servers are looked up in DNS (SRV) */
	char *scheme; /* "ldap" or "ldaps"; NULL means "ldap" */
	char *prefix, *suffix;
	char *base_dn, *bind_dn, *bind_password, *attribute, *filter;
	int scope; /* LDAP_SCOPE_... */
	unsigned port; /* 0 for the scheme's default */
	bool starts_tls;
	bool is_scope_set; /* true if ldapurl has set scope */
	/* made by ldap_finish_options(), such as "ldap://a:389 ldap://b:389" or "ldap:///dc=example,dc=net" */
	char *uris;
};

/* Takes an option, such as "ldapserver". Returns 0, or -1 with *why set if the option is unknown or its value is
 * wrong. */
int ldap_configure_option(void *settings, const char *name, const char *value, struct fail *why);
/* Called after the last option. Returns 0, or -1 with *why set if options contradict each other or are missing. */
int ldap_finish_options(void *settings, struct fail *why);
/* Returns true if passwords travel to the server in the clear, and the server is not on this machine. */
bool ldap_sends_clear_text(const struct ldap_settings *s);
void ldap_settings_free(void *settings); /* wipes secrets; settings may be NULL */
/* Appends the filter that finds the user, without a terminator. */
void ldap_put_filter(const struct ldap_settings *s, const char *user, struct buf *to);
/* Appends the name with which pgweir binds if it does not search: prefix, user, suffix. Writes no terminator. */
void ldap_put_name(const struct ldap_settings *s, const char *user, struct buf *to);

/* --- ldap_bind.c --- */
/*
 * Blocks until q->deadline_us at most, but longer if the system's resolver takes long for the server's name.
 * q->password must not be empty, because a bind without a password proves nothing.
 */
enum proof_verdict ldap_judge(const struct auth_question *q, struct fail *why);
