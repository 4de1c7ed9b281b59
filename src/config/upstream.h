/*
 * src/config/upstream.h - the hosts and parameters by which pgweir connects to PostgreSQL, from libpq's keyword/value
 * words or a postgres:// URI.
 *
 * Owns:   all its texts; upstream_free wipes the password.
 * Always: there is at least one host, and all words that are set are valid.
 */
#pragma once

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum target_session_attrs {
	TARGET_ANY,
	TARGET_READ_WRITE,
	TARGET_READ_ONLY,
	TARGET_PRIMARY,
	TARGET_STANDBY,
	TARGET_PREFER_STANDBY
};

/* libpq's keywords that are kept as written, after validation. */
enum upstream_word {
	UPSTREAM_SSLMODE, /* disable, allow, prefer, require, verify-ca, verify-full */
	UPSTREAM_SSLROOTCERT, /* a path or "system" */
	UPSTREAM_SSLCERT,
	UPSTREAM_SSLKEY,
	UPSTREAM_SSLNEGOTIATION, /* postgres, direct */
	UPSTREAM_SSLSNI, /* 0, 1 */
	UPSTREAM_CHANNEL_BINDING, /* disable, prefer, require */
	/* disable (or NULL): hosts are tried in order; round-robin: each new connection begins with the next host */
	UPSTREAM_LOAD_BALANCE_HOSTS,
	UPSTREAM_KRBSRVNAME, /* name of the service that a ticket is for; postgres if NULL */
	UPSTREAM_CONNECT_QUERY, /* SQL that runs on each new connection */
	UPSTREAM_ZONES, /* "eu1,,eu2": the zone of each host; empty if not known */
	UPSTREAM_WORDS
};

struct upstream_host {
	char host[256]; /* a name, a numeric address, or a directory (leading '/') for a Unix socket */
	uint16_t port; /* for a directory, the socket is host/.s.PGSQL.port */
};

struct upstream {
	struct upstream_host *hosts;
	size_t host_count; /* at least 1 */
	enum target_session_attrs target;
	/* the texts are templates (see upstream_template.c), for databases called "tenant/database" */
	bool is_of_tenant;
	uint16_t min_minor, max_minor; /* minor versions of protocol 3 that may be used, each 0 or 2 */
	char *dbname; /* the client's database if empty */
	char *user; /* the client's user if empty; else all clients share this user's pool */
	char *password; /* from users_file or the client's own SCRAM keys if empty */
	char *words[UPSTREAM_WORDS]; /* NULL if not set */
	/* Settings for each connection (application_name, options and so on, as given), as NULL-terminated pairs. */
	char **settings;
};

/*
 * --- upstream_parse.c ---
 *
 * Parses "host=db1,db2 port=5432 dbname=app user=u password='it''s' target_session_attrs=read-write" or
 * "postgres://user:password@host:port,host2/db?key=value" (libpq, "Connection Strings": quoting, percent-encoding,
 * several hosts, one or as many ports). Keywords of libpq that pgweir does not support, such as passfile and service,
 * are errors that name the keyword, and may have a hint (for connect_timeout: [timeouts]). Returns an upstream that the
 * caller owns, or NULL with *why set. is_of_tenant: see upstream_template.c.
 */
struct upstream *upstream_parse(const char *text, bool is_of_tenant, struct fail *why);
/* Checks a host that is not a template, or whose template was filled in. */
int upstream_check_host(const char *host, struct fail *why);

/* --- upstream.c --- */

const char *upstream_word_name(enum upstream_word word); /* returns NULL if there is no such word */
const char *upstream_protocol_name(uint16_t minor); /* "3.0" */
extern const char *const upstream_target_names[]; /* words of target_session_attrs; NULL-terminated */
struct upstream *upstream_copy(const struct upstream *up); /* returns NULL without memory */
/* Returns the zone of a host, of *len bytes, not terminated; *len is 0 if the zone is not known. */
const char *upstream_zone(const struct upstream *up, size_t host, size_t *len);
bool upstream_is_in_zone(const struct upstream *up, size_t host, const char *zone); /* an empty zone has no hosts */
/* Returns a shallow copy of *up that has only this host, accepts any role, and has no zone. The copy points into *up,
 * and is not freed. */
struct upstream upstream_of_host(const struct upstream *up, size_t host);
/* Returns true if a and b make equal connections. Passwords are compared, too, but not zones. */
bool upstream_equal(const struct upstream *a, const struct upstream *b);
/* Returns true if a and b have a host in common, so they are of one cluster. Different names of one host count as
 * different hosts. */
bool upstream_is_same_cluster(const struct upstream *a, const struct upstream *b);
void upstream_free(struct upstream *up); /* wipes the password */
/* Returns words that upstream_parse reads back, except for the password, which becomes ***. If is_redacted, the SQL of
 * connect_query becomes ***, too, because it may contain a password. The caller frees the text. */
char *upstream_text(const struct upstream *up, bool is_redacted);

/*
 * --- upstream_template.c: the upstream of a tenant is a template. In its texts, %{tenant}, %{database} and %{user}
 * stand for the client's names, and %% for a percent sign.
 *
 * Hosts and settings may contain only %{tenant}, because a tenant's name has only letters, digits, _ and -. Names that
 * clients choose freely may stand in dbname and user. A password is no template.
 */
bool upstream_is_tenant_name(const char *name, size_t len); /* returns true for 1 to 63 letters, digits, _ and - */
/* Checks the template of a tenant. Returns 0, or -1 with *why set if it can never be filled in. */
int upstream_check_template(const struct upstream *up, struct fail *why);
bool upstream_has_fixed_hosts(const struct upstream *up); /* returns false if hosts depend on the tenant */
/* These functions make a client's upstream, database, role and user from up. In all of them, database is the name of
 * the client's pool ("tenant/database" for a tenant's), and user is the client's login name ("user.tenant" for a
 * tenant's). Failures (08001, 28000, 3D000): a name is too long, or does not make a valid host. upstream_for() returns
 * a copy with all names filled in; role is what upstream_user() wrote. */
struct upstream *upstream_for(const struct upstream *up, const char *database, const char *role, struct fail *why);
/* returns database without its tenant */
const char *upstream_database(const struct upstream *up, const char *database);
/* upstream_role() writes the client's user without its tenant. upstream_user() writes the user that servers log in as:
 * the upstream's user if it has one, else that role. out has 64 bytes. */
int upstream_role(const struct upstream *up, const char *database, const char *user, char *out, struct fail *why);
int upstream_user(const struct upstream *up, const char *database, const char *user, char *out, struct fail *why);

/*
 * --- upstream_scan.c: splits the two forms of a connection string into names and values.
 *
 * This file has only the syntax (libpq's, chapter "Connection Strings"); upstream_parse.c has the meaning of each name.
 */
#define UPSTREAM_NAME_MAX 63 /* bytes of a word's name */

/* Called for each name and value. A nonzero result ends the scan, which then returns -1. */
typedef int (*upstream_on_word)(void *arg, const char *name, const char *value, struct fail *why);

/* Scans host=db1 dbname='my db'. Blanks separate pairs, a backslash escapes the next byte, and '' within quotes stands
 * for one quote. */
int upstream_scan_words(const char *text, upstream_on_word put, void *arg, struct fail *why);
/* Scans postgres://user:password@host:port,[::1]:port/dbname?name=value&... in which %xx stands for a byte. With
 * is_template, %{ is kept. */
int upstream_scan_uri(const char *text, bool is_template, upstream_on_word put, void *arg, struct fail *why);
bool upstream_is_uri(const char *text);

/* --- passfile.c: libpq's password file. The first line host:port:database:user:password that matches is used. --- */

struct passfile_query {
	const char *host, *port, *dbname, *user; /* parameters of the connection */
};

/* Returns the password for a connection; the caller wipes and frees it. Returns NULL with an empty why->text if the
 * file does not exist or no line matches. Like libpq, ignores a file that others may read or that is not a regular
 * file: then returns NULL, with the reason in why->text. */
char *passfile_find(const char *path, const struct passfile_query *query, struct fail *why);
/* Does what passfile_find() does, for the content of a file. Pure. */
char *passfile_match(const char *text, size_t len, const struct passfile_query *query);

struct config; /* config.h */
struct config_scope;
struct scope_settings;
/* In config.c. Returns true if connections to this upstream, with these settings, are under a budget
 * (dedicated/fleet.h). */
bool config_has_budget(const struct upstream *up, const struct scope_settings *s);
/* Returns the user that pgweir's own connections to this upstream log in as, or "" if none is configured. */
const char *config_cluster_user(const struct upstream *up, const struct scope_settings *s);
