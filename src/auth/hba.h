/*
 * src/auth/hba.h - PostgreSQL's pg_hba.conf: who may log in, from where, to what, and by which method.
 *
 * Follows PostgreSQL 15's chapter "The pg_hba.conf File", with version 16's regular expressions and includes
 * (rule_file.h). The first rule that fits a login decides; if none fits, the login is refused.
 *
 * A rule that pgweir doesn't support is an error when the file is read, never a rule that fits too many or too few:
 * methods that need a library, and are no module of this build (auth_module.h). An IPv4 client that arrives on an
 * IPv6 socket (::ffff:...) is an IPv4 client.
 *
 * Host names, and roles (+role, samerole), are asked about elsewhere, which may take time: only when a rule is reached
 * that is not out already by its other columns. A name in the address column is that of the client's address, or from
 * a dot on its end, if it has this address among its own.
 *
 * Always: immutable; a reload reads a new one.
 */
#pragma once

#include "auth/auth_module.h"
#include "auth/rule_file.h"

#include <sys/socket.h>

struct hba; /* opaque: hba.c */

/* HBA_MODULES: those of auth_modules[], in their order. */
enum hba_method { HBA_REJECT, HBA_TRUST, HBA_SCRAM, HBA_MD5, HBA_PASSWORD, HBA_CERT, HBA_PEER, HBA_MODULES };
/* clientcert=: no certificate is required, a verified one is, or one that names the user (HBA_CERT implies FULL). */
enum hba_clientcert { HBA_CLIENTCERT_NONE, HBA_CLIENTCERT_CA, HBA_CLIENTCERT_FULL };
/* clientname=: the part of a certificate that names the user. ANY: the common name or one of the alternative names. */
enum hba_clientname { HBA_CLIENTNAME_ANY, HBA_CLIENTNAME_CN, HBA_CLIENTNAME_DN };
/* LATER: not before something that takes time is known. */
enum hba_fit { HBA_NO, HBA_YES, HBA_LATER };
typedef enum hba_fit hba_ask(const char *name, void *arg);

struct hba_question {
	enum { HBA_OVER_UNIX, HBA_OVER_TCP, HBA_OVER_TLS } over;
	bool is_physical; /* physical replication: only the keyword "replication" fits it */
	const struct sockaddr *address; /* the client's, IPv4 or IPv6; unused if HBA_OVER_UNIX */
	const char *database, *user;
	/* Returns true if address is one of this machine's (samehost) or, if is_net, in one of its networks (samenet).
	 * If it is NULL, neither word fits. */
	bool (*is_near)(const struct sockaddr *address, bool is_net);
	/* Is the client's address of this name (see hba_host_fits), is its user a member of this role? After HBA_LATER
	 * the whole question is asked again. NULL: no name fits. arg is theirs. */
	hba_ask *has_name, *is_member;
	void *arg;
};
/* The rule that matched; its strings live as long as the hba value. */
struct hba_answer {
	enum hba_method method;
	enum hba_clientcert clientcert;
	enum hba_clientname clientname;
	const char *map; /* NULL: there is none, and the names must be equal */
	const void *options; /* of HBA_MODULES: the module's */
	const char *path; /* the rule's file */
	unsigned line;
};
/* Further settings without which the rules have no effect. */
struct hba_needs {
	bool secrets; /* users' secrets: there is a rule with scram-sha-256, md5 or password */
	bool tls; /* there is a hostssl rule */
	bool certificates; /* there is a rule that asks clients for certificates */
	bool roles; /* there is a rule with +role or samerole */
};

/* Reads a file and the files it names; or text, and no other file, unless that is NULL. Returns NULL if anything is
 * wrong; every error is reported. So is what merely looks wrong: rules that let in everybody who reaches them, or that
 * never fit; a file that anyone may change. */
struct hba *hba_load(const char *text, size_t text_len, const char *path, rule_report *report, void *arg);
struct hba *hba_ref(struct hba *hba); /* NULL is fine, as for unref */
void hba_unref(struct hba *hba);
/* Returns HBA_YES if a rule fits, and in *answer what it asks for. */
enum hba_fit hba_match(const struct hba *hba, const struct hba_question *question, struct hba_answer *answer);
/* Returns true if the address column's word is the host's name or, if it begins with a dot, the end of it. */
bool hba_host_fits(const char *word, const char *host);
struct hba_needs hba_needs(const struct hba *hba);
/* Calls map for each map= of the rules; the same name may come more than once. */
void hba_each_map(const struct hba *hba, void (*map)(const char *name, const char *path, unsigned line, void *arg),
		  void *arg);

/*
 * --- ident.c: PostgreSQL's pg_ident.conf: which names, from certificates or from the system, may log in as which
 * users (chapter "User Name Maps"; a leading slash and "all" in the last column work as in version 16).
 *
 * A line has a map, an external name and a user. A name that begins with a slash is a regular expression (rule_file.h),
 * and \1 in the user stands for what its first parentheses matched. The user "all" is any user, one that begins with a
 * slash is a regular expression, and +role is any member of that role. Case is significant everywhere.
 *
 * An immutable value: a reload reads a new one.
 */
struct ident; /* opaque: ident.c */

/* Reads a file; or text, and no other file, unless that is NULL. Returns NULL if anything is wrong; every error is
 * reported. An empty file is fine. */
struct ident *ident_load(const char *text, size_t text_len, const char *path, rule_report *report, void *arg);
struct ident *ident_ref(struct ident *ident); /* NULL is fine, as everywhere below */
void ident_unref(struct ident *ident);
/* Returns HBA_YES if name may log in as user. Without a map (NULL or "") they must be equal. is_member tells whether
 * user is a member of a role; after HBA_LATER the whole question is asked again. */
enum hba_fit ident_allows(const struct ident *ident, const char *map, const char *name, const char *user,
			  hba_ask *is_member, void *arg);
bool ident_has_roles(const struct ident *ident);
bool ident_has_map(const struct ident *ident, const char *map);
