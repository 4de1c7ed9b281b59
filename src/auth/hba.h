/*
 * src/auth/hba.h - PostgreSQL's pg_hba.conf: rules that say which users may log in, from which addresses, to which
 * databases, and by which method.
 *
 * Follows PostgreSQL 15's chapter "The pg_hba.conf File", with version 16's regular expressions and includes
 * (rule_file.h). The first rule that fits a login decides; if none fits, the login is refused.
 *
 * If a rule's method is not in this build (see auth_module.h), reading the file fails. To leave such a rule out would
 * be dangerous, because the rules after it would decide. A client with an IPv4 address on an IPv6 socket (::ffff:...)
 * counts as an IPv4 client.
 *
 * The caller looks up host names and roles (+role, samerole). A lookup may take time, so hba_match() asks the caller
 * only at a rule whose other columns fit. A name in the address column fits if it is the name of the client's address,
 * and the client's address is one of the name's addresses. A name that begins with a dot fits all names that end in it.
 *
 * Always: a struct hba is immutable; a reload makes a new one.
 */
#pragma once

#include "auth/auth_module.h"
#include "auth/rule_file.h"

#include <sys/socket.h>

struct hba; /* opaque: hba.c */

/* The method of a rule. HBA_MODULES + i stands for auth_modules[i]. */
enum hba_method { HBA_REJECT, HBA_TRUST, HBA_SCRAM, HBA_MD5, HBA_PASSWORD, HBA_CERT, HBA_PEER, HBA_MODULES };
/* The option clientcert=. NONE requires no certificate, CA any verified certificate, and FULL a verified certificate
 * that names the user. A rule with the method HBA_CERT has FULL. */
enum hba_clientcert { HBA_CLIENTCERT_NONE, HBA_CLIENTCERT_CA, HBA_CLIENTCERT_FULL };
/* The option clientname=: the part of a certificate that names the user. ANY stands for the common name and all
 * alternative names. */
enum hba_clientname { HBA_CLIENTNAME_ANY, HBA_CLIENTNAME_CN, HBA_CLIENTNAME_DN };
/* Whether a rule fits. HBA_LATER means that a lookup must end first. */
enum hba_fit { HBA_NO, HBA_YES, HBA_LATER };
typedef enum hba_fit hba_lookup(const char *name, void *arg);

/* The login for which hba_match() finds a rule. */
struct hba_question {
	enum { HBA_OVER_UNIX, HBA_OVER_TCP, HBA_OVER_TLS } over;
	/* the client asks for physical replication, so only rules for the database "replication" fit */
	bool is_physical;
	const struct sockaddr *address; /* the client's IPv4 or IPv6 address; unused if HBA_OVER_UNIX */
	const char *database, *user;
	/* Returns true if the address is one of this machine's (samehost); if is_net, returns true if the address is in
	 * one of this machine's networks (samenet). If is_own_address is NULL, neither keyword fits. */
	bool (*is_own_address)(const struct sockaddr *address, bool is_net);
	/* has_name() looks up whether a host name from the address column fits the client's address (see
	 * hba_host_fits()). is_member() looks up whether the client's user is a member of a role. If has_name is NULL,
	 * no rule with a host name fits; if is_member is NULL, no rule with a role fits. */
	hba_lookup *has_name, *is_member;
	void *arg; /* passed to has_name() and is_member() */
};
/* The rule that fits; its strings live as long as the struct hba. */
struct hba_answer {
	enum hba_method method;
	enum hba_clientcert clientcert;
	enum hba_clientname clientname;
	const char *map; /* the option map=; if it is NULL, the proved name and the user must be equal */
	const void *options; /* the module's options; NULL unless method is HBA_MODULES or above */
	const char *path; /* the file of the rule */
	unsigned line;
};
/* Other things that must be configured for the rules of an HBA file to work. */
struct hba_needs {
	bool secrets; /* users' secrets, because a rule has scram-sha-256, md5 or password */
	bool tls; /* TLS, because a rule is hostssl */
	bool client_ca; /* a CA for clients' certificates, because a rule requires a certificate */
	bool roles; /* a lookup of roles, because a rule has +role or samerole */
};

/* Reads the file at `path` and the files that it includes; if `text` is not NULL, reads `text` instead, and no file.
 * Returns NULL if there is an error; all errors are reported. Also reports warnings, for example for trust rules that
 * other machines reach, for rules that never fit, and for files that any system user may change. */
struct hba *hba_load(const char *text, size_t text_len, const char *path, rule_report *report, void *arg);
struct hba *hba_ref(struct hba *hba); /* hba may be NULL */
void hba_unref(struct hba *hba); /* hba may be NULL */
/* Returns HBA_YES with *answer set to the first rule that fits, or HBA_NO if no rule fits. Returns HBA_LATER if
 * has_name() or is_member() has returned HBA_LATER; once that lookup has ended, the caller calls hba_match() again. */
enum hba_fit hba_match(const struct hba *hba, const struct hba_question *question, struct hba_answer *answer);
/* Returns true if `host` is the name `word` from the address column or, if `word` begins with a dot, ends with
 * `word`. Upper and lower case are equal. */
bool hba_host_fits(const char *word, const char *host);
struct hba_needs hba_find_needs(const struct hba *hba);
/* Calls map() for each rule that has map=, with the name of the map; the same name may come more than once. */
void hba_each_map(const struct hba *hba, void (*map)(const char *name, const char *path, unsigned line, void *arg),
		  void *arg);

/*
 * --- ident.c: PostgreSQL's pg_ident.conf, which lists the users that an external name may log in as. The name comes
 * from a certificate, a ticket or the operating system. See PostgreSQL's chapter "User Name Maps", in version 16.
 *
 * A line has the name of a map, an external name and a user. An external name that begins with a slash is a regular
 * expression (rule_file.h); the first \1 in the user then stands for the text that the first parentheses have matched.
 * The user "all" stands for any user, +role for any member of that role, and a user that begins with a slash is a
 * regular expression. Upper and lower case differ everywhere.
 *
 * A struct ident is immutable; a reload makes a new one. In all functions, a NULL `ident` has no lines.
 */
struct ident; /* opaque: ident.c */

/* Reads the file at `path`; if `text` is not NULL, reads `text` instead, and no file. Returns NULL if there is an
 * error; all errors are reported. An empty file is not an error. */
struct ident *ident_load(const char *text, size_t text_len, const char *path, rule_report *report, void *arg);
struct ident *ident_ref(struct ident *ident);
void ident_unref(struct ident *ident);
/* Returns HBA_YES if the external name `name` may log in as `user`. If map is NULL or empty, `name` and `user` must be
 * equal. Calls is_member() as hba_match() does; is_member may be NULL. */
enum hba_fit ident_allows(const struct ident *ident, const char *map, const char *name, const char *user,
			  hba_lookup *is_member, void *arg);
bool ident_has_roles(const struct ident *ident); /* returns true if a line has +role */
bool ident_has_map(const struct ident *ident, const char *map);
