/*
 * src/auth/proof.h - passwords that others judge: an LDAP server or PAM.
 *
 * --- ldap.c: where the LDAP server is, and what it is asked: PostgreSQL's options (chapter "LDAP Authentication").
 *
 * Either the name that is bound is ldapprefix, the user and ldapsuffix; or the user's entry is searched below
 * ldapbasedn, and bound. Names of users are escaped in filters (RFC 4515) and in distinguished names (RFC 4514), so
 * none of their characters can mean anything there.
 *
 * A build without libldap or libpam refuses the method when it reads the configuration (proof_unavailable()).
 *
 * Owns: a struct ldap_settings its texts. Immutable once ldap_settle() has returned 0.
 */
#pragma once

#include "base/buf.h"
#include "base/fail.h"

#include <stdint.h>

#define LDAP_PLACEHOLDER "$username" /* in ldapsearchfilter: the user */

enum proof { PROOF_RIGHT, PROOF_WRONG, PROOF_FAILED /* nobody could tell */ };

/* Zeroed at first. Texts are NULL if they were not given. */
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

/* The methods that a library is needed for. Returns NULL if this build has it, or else what is missing. */
const char *proof_unavailable(const char *method);

/* Takes an option, such as "ldapserver". Returns 0, or -1 with *why set: it is not known, or its value is wrong. */
int ldap_take(struct ldap_settings *s, const char *name, const char *value, struct fail *why);
/* All options were taken. Returns 0, or -1 with *why set: they don't go together, or some are missing. */
int ldap_settle(struct ldap_settings *s, struct fail *why);
/* Returns true if passwords travel to the server in the clear, and it is not on this machine. */
bool ldap_is_open(const struct ldap_settings *s);
void ldap_settings_free(struct ldap_settings *s); /* wipes; NULL is fine */
/* Writes the filter that finds a user, and the name that is bound without a search; both without a terminator. */
void ldap_put_filter(const struct ldap_settings *s, const char *user, struct buf *to);
void ldap_put_name(const struct ldap_settings *s, const char *user, struct buf *to);

/*
 * --- ldap_bind.c: asks the LDAP server. Blocks, until deadline_us at most, but for the time that the system's resolver
 * takes for the server's name.
 */
/* The password must not be empty: a bind without one proves nothing. *why is set unless PROOF_RIGHT is returned. */
enum proof ldap_prove(const struct ldap_settings *s, const char *user, const char *password, uint64_t deadline_us,
		      struct fail *why);

/*
 * --- pam.c: asks PAM, by the name of a service (/etc/pam.d/SERVICE). Blocks for as long as the service's modules like.
 */
/* address: whence the client comes. *why is set unless PROOF_RIGHT is returned. */
enum proof pam_prove(const char *service, const char *user, const char *password, const char *address,
		     struct fail *why);
