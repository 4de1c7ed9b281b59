/*
 * src/auth/hba.h - who may log in, from where, to what, and how he proves who he is: PostgreSQL's pg_hba.conf.
 *
 * The source of its rules is PostgreSQL 15's chapter "The pg_hba.conf File", with version 16's regular expressions
 * and includes (rule_file.h). The first rule that fits a login decides; if none does, it is refused.
 *
 * What is not here is an error when the file is read, never a rule that fits too many or too few: samerole and +group
 * (pgweir knows no roles), host names (asking for one's address could stall everybody), methods that need a library
 * of their own. An IPv4 client that comes in by an IPv6 socket (::ffff:...) is an IPv4 client.
 *
 * An immutable value: a reload reads a new one.
 */
#ifndef PGWEIR_AUTH_HBA_H
#define PGWEIR_AUTH_HBA_H

#include "auth/rule_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define HBA_REGEXES_MAX 1000 /* of one file */

struct hba; /* opaque: hba.c */

enum hba_method { HBA_REJECT, HBA_TRUST, HBA_SCRAM, HBA_MD5, HBA_PASSWORD, HBA_CERT, HBA_PEER };
/* clientcert=: none, a verified one, one that names the user (always so with HBA_CERT). */
enum hba_clientcert { HBA_CLIENTCERT_NONE, HBA_CLIENTCERT_CA, HBA_CLIENTCERT_FULL };
/* clientname=: what of a certificate is the user's name. ANY: its common name or one of its alternative names. */
enum hba_clientname { HBA_CLIENTNAME_ANY, HBA_CLIENTNAME_CN, HBA_CLIENTNAME_DN };

struct hba_question {
	bool is_local, is_tls; /* by a Unix socket; encrypted */
	bool is_physical; /* replication of a whole cluster: fits the word "replication" only */
	const struct sockaddr *address; /* of the client, IPv4 or IPv6; unused if is_local */
	const char *database, *user;
	/* samehost: is address one of this machine's; samenet: is it in a network this machine is in. NULL: neither. */
	bool (*is_near)(const struct sockaddr *address, bool is_net, void *arg);
	void *arg;
};
/* Texts live as long as the hba value. */
struct hba_answer {
	enum hba_method method;
	enum hba_clientcert clientcert;
	enum hba_clientname clientname;
	const char *map; /* NULL: none; the names must be the same */
	const char *path; /* of the rule */
	unsigned line;
};
/* What the rules need in order to do any good. */
struct hba_needs {
	bool secrets; /* of users: there is a rule with scram-sha-256, md5 or password */
	bool tls; /* there is a hostssl rule */
	bool certificates; /* there is one that asks clients for theirs */
};

/*
 * Reads a file and those it names. NULL if anything is wrong (or memory is short): everything that is, is reported,
 * and what looks wrong as well: rules that let in whoever reaches them, or never fit; a file that anyone may change.
 */
struct hba *hba_load(const char *path, rule_report *report, void *arg);
/* The same from memory; no other files. */
struct hba *hba_parse(const char *text, size_t text_len, const char *path, rule_report *report, void *arg);
struct hba *hba_ref(struct hba *hba); /* NULL is fine, as for unref */
void hba_unref(struct hba *hba);
/* False: no rule fits. */
bool hba_match(const struct hba *hba, const struct hba_question *question, struct hba_answer *answer);
struct hba_needs hba_needs(const struct hba *hba);
/* Each map= of the rules, perhaps more than once. */
void hba_each_map(const struct hba *hba, void (*map)(const char *name, const char *path, unsigned line, void *arg),
		  void *arg);

#endif
