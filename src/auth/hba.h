/*
 * src/auth/hba.h - PostgreSQL's pg_hba.conf: rules that say which users may log in, from which addresses, to which
 * databases, and by which method.
 *
 * Follows PostgreSQL 15's chapter "The pg_hba.conf File", with version 16's regular expressions and includes
 * (rule_file.h). The first rule that fits a login decides; if none fits, the login is refused.
 *
 * A rule whose method this build lacks (see auth_module.h) is an error when the file is read: a rule that was left out
 * would let the rules after it decide. An IPv4 client that arrives on an IPv6 socket (::ffff:...) is an IPv4 client.
 *
 * The caller looks up host names and roles (+role, samerole). That may take time, so hba_match() asks for them only at
 * a rule whose other columns fit. A name in the address column fits if the client's address has this name, and is among
 * the addresses of the name. A name that begins with a dot stands for all names that end with it.
 *
 * Always: immutable; a reload reads a new one.
 */
#pragma once

#include "auth/auth_module.h"
#include "auth/rule_file.h"

#include <sys/socket.h>

struct hba; /* opaque: hba.c */

/* HBA_MODULES and above: the methods of auth_modules[], in their order. */
enum hba_method { HBA_REJECT, HBA_TRUST, HBA_SCRAM, HBA_MD5, HBA_PASSWORD, HBA_CERT, HBA_PEER, HBA_MODULES };
/* clientcert=: requires no certificate (NONE), a verified one (CA), or one that names the user (FULL, also for
 * HBA_CERT). */
enum hba_clientcert { HBA_CLIENTCERT_NONE, HBA_CLIENTCERT_CA, HBA_CLIENTCERT_FULL };
/* clientname=: the part of a certificate that names the user. ..._ANY: the common name or one of the alternative
 * names. */
enum hba_clientname { HBA_CLIENTNAME_ANY, HBA_CLIENTNAME_CN, HBA_CLIENTNAME_DN };
/* HBA_LATER: the result depends on a lookup that takes time. */
enum hba_fit { HBA_NO, HBA_YES, HBA_LATER };
typedef enum hba_fit hba_ask(const char *name, void *arg);

struct hba_question {
	enum { HBA_OVER_UNIX, HBA_OVER_TCP, HBA_OVER_TLS } over;
	bool is_physical; /* physical replication: only the keyword "replication" fits it */
	const struct sockaddr *address; /* the client's, IPv4 or IPv6; unused if HBA_OVER_UNIX */
	const char *database, *user;
	/* Returns true if address is one of this machine's (samehost) or, if is_net, in one of this machine's networks
	 * (samenet). If the pointer is NULL, neither keyword fits. */
	bool (*is_own_address)(const struct sockaddr *address, bool is_net);
	/* has_name() tells whether the client's address has this host name (see hba_host_fits()), is_member() whether
	 * the client's user is a member of this role. `arg` is passed to both. If one of the pointers is NULL, no such
	 * name fits. After HBA_LATER the caller of hba_match() repeats the whole question. */
	hba_ask *has_name, *is_member;
	void *arg;
};
/* The rule that matched; its strings live as long as the hba value. */
struct hba_answer {
	enum hba_method method;
	enum hba_clientcert clientcert;
	enum hba_clientname clientname;
	const char *map; /* NULL if there is no map; then the names must be equal */
	const void *options; /* for HBA_MODULES: the module's options */
	const char *path; /* the rule's file */
	unsigned line;
};
/* Other settings that the rules depend on, and that must be configured. */
struct hba_needs {
	bool secrets; /* users' secrets, because a rule has scram-sha-256, md5 or password */
	bool tls; /* set if a rule is hostssl */
	bool certificates; /* set if a rule asks clients for certificates */
	bool roles; /* set if a rule has +role or samerole */
};

/* Reads the file at `path` and the files that it names; or, if `text` is not NULL, reads `text` and no file. Returns
 * NULL if anything is wrong; every error is reported. Warnings are reported, too: for rules that let in every client
 * that reaches them, for rules that never fit, and for a file that any user may change. */
struct hba *hba_load(const char *text, size_t text_len, const char *path, rule_report *report, void *arg);
struct hba *hba_ref(struct hba *hba); /* hba may be NULL, as for unref */
void hba_unref(struct hba *hba);
/* Returns HBA_YES if a rule fits, with *answer set to the rule. */
enum hba_fit hba_match(const struct hba *hba, const struct hba_question *question, struct hba_answer *answer);
/* Returns true if `word`, from the address column, is the host's name or, if `word` begins with a dot, the end of the
 * host's name. */
bool hba_host_fits(const char *word, const char *host);
struct hba_needs hba_needs(const struct hba *hba);
/* Calls map for each map= of the rules; the same name may come more than once. */
void hba_each_map(const struct hba *hba, void (*map)(const char *name, const char *path, unsigned line, void *arg),
		  void *arg);

/*
 * --- ident.c: PostgreSQL's pg_ident.conf: maps external names (of certificates or of the operating system) to the
 * users that they may log in as (chapter "User Name Maps"; a leading slash and "all" in the last column work as in
 * version 16).
 *
 * A line has a map, an external name and a user. A name that begins with a slash is a regular expression (rule_file.h),
 * and \1 in the user stands for what its first parentheses matched. The user "all" is any user, a user that begins with
 * a slash is a regular expression, and +role is any member of that role. Case is significant everywhere.
 *
 * An immutable value: a reload reads a new one.
 */
struct ident; /* opaque: ident.c */

/* Reads the file at `path`; or, if `text` is not NULL, reads `text` and no file. Returns NULL if anything is wrong;
 * every error is reported. An empty file is fine. */
struct ident *ident_load(const char *text, size_t text_len, const char *path, rule_report *report, void *arg);
struct ident *ident_ref(struct ident *ident); /* ident may be NULL, as in all functions below */
void ident_unref(struct ident *ident);
/* Returns HBA_YES if name may log in as user. Without a map (NULL or "") the two must be equal. is_member tells whether
 * user is a member of a role; after HBA_LATER the caller repeats the whole question. */
enum hba_fit ident_allows(const struct ident *ident, const char *map, const char *name, const char *user,
			  hba_ask *is_member, void *arg);
bool ident_has_roles(const struct ident *ident);
bool ident_has_map(const struct ident *ident, const char *map);
