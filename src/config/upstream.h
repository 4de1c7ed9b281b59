/*
 * src/config/upstream.h - where servers connect to, from libpq's keyword/value words or a postgres:// URI.
 *
 * Owns:   all its texts; upstream_free wipes the password.
 * Always: there is a host at least, and every word that is set was checked.
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

/* libpq's words that are kept as they are; validated. */
enum upstream_word {
	UPSTREAM_SSLMODE, /* disable, allow, prefer, require, verify-ca, verify-full */
	UPSTREAM_SSLROOTCERT, /* a path or "system" */
	UPSTREAM_SSLCERT,
	UPSTREAM_SSLKEY,
	UPSTREAM_SSLNEGOTIATION, /* postgres, direct */
	UPSTREAM_SSLSNI, /* 0, 1 */
	UPSTREAM_CHANNEL_BINDING, /* disable, prefer, require */
	UPSTREAM_LOAD_BALANCE_HOSTS, /* disable (NULL too): in their order; round-robin: a new connection begins with
					the next */
	UPSTREAM_KRBSRVNAME, /* of the service that a ticket is for; NULL: postgres */
	UPSTREAM_CONNECT_QUERY, /* SQL that runs on each new connection */
	UPSTREAM_ZONES, /* "eu1,,eu2": the zone of each host; empty: not known */
	UPSTREAM_WORDS
};

struct upstream_host {
	char host[256]; /* a name, a numeric address, or a directory (leading '/') for a Unix socket */
	uint16_t port; /* with a directory: the socket is host/.s.PGSQL.port */
};

struct upstream {
	struct upstream_host *hosts;
	size_t host_count; /* at least 1 */
	enum target_session_attrs target;
	bool is_of_tenant; /* its texts are templates, and the databases asked for are "tenant/database" */
	uint16_t min_minor, max_minor; /* versions of protocol 3 that are spoken: 0 or 2 */
	char *dbname; /* empty: the database the client asked for */
	char *user; /* empty: the client's; else all clients share this user's pool */
	char *password; /* empty: from users_file, or the client's own SCRAM keys */
	char *words[UPSTREAM_WORDS]; /* NULL: not there */
	/* Settings for each connection (application_name, options ... as given), NULL-terminated pairs. */
	char **settings;
};

/*
 * --- upstream_parse.c ---
 *
 * Parses "host=db1,db2 port=5432 dbname=app user=u password='it''s' target_session_attrs=read-write" or
 * "postgres://user:password@host:port,host2/db?key=value" (libpq, "Connection Strings": quoting, percent-encoding,
 * several hosts, one or as many ports). passfile, service and others of libpq that pgweir does not know are errors that
 * name the word; connect_timeout is refused with a hint to [timeouts]. The caller owns the result. NULL and why on
 * error.
 */
struct upstream *upstream_parse(const char *text, bool is_of_tenant, struct fail *why); /* see upstream_template.c */
/* Checks a host that is no template: it is taken as it stands. upstream_template.c uses this for hosts filled in. */
int upstream_check_host(const char *host, struct fail *why);

/* --- upstream.c --- */

const char *upstream_word_name(enum upstream_word word); /* NULL: there is no such one */
const char *upstream_protocol_name(uint16_t minor); /* "3.0" */
extern const char *const upstream_target_names[]; /* of target_session_attrs; NULL at the end */
struct upstream *upstream_copy(const struct upstream *up); /* NULL: no memory */
/* Returns the zone of one of its hosts, of *len bytes, not terminated; 0 bytes: not known. */
const char *upstream_zone(const struct upstream *up, size_t host, size_t *len);
bool upstream_is_in_zone(const struct upstream *up, size_t host, const char *zone); /* zone: empty is no zone */
/* Returns the same with this one of its hosts, whatever its role and zone. It points into *up, and is not freed. */
struct upstream upstream_of_host(const struct upstream *up, size_t host);
/* Returns true if the same connections come of both: the password counts, zones don't. */
bool upstream_equal(const struct upstream *a, const struct upstream *b);
/*
 * Returns true if both name a host that the other names, too: then it is one cluster. Different names of one host are
 * not recognised.
 */
bool upstream_is_same_cluster(const struct upstream *a, const struct upstream *b);
void upstream_free(struct upstream *up); /* wipes the password */
/*
 * Returns it as words that upstream_parse reads back, but for the password, which is ***, and with is_shown the SQL of
 * connect_query, which may have one in it, too. The caller frees.
 */
char *upstream_text(const struct upstream *up, bool is_shown);

/*
 * --- upstream_template.c: the upstream of a tenant: %{tenant}, %{database} and %{user} in it stand for the client's
 * own, %% is a percent sign.
 *
 * A host, and what is sent with each connection, may be made of the tenant's name only, which holds nothing but
 * letters, digits, _ and -; the names that clients choose freely may stand in dbname and user. A password is taken as
 * it is.
 */
bool upstream_is_tenant_name(const char *name, size_t len); /* 1 to 63 letters, digits, _ and - */
/* For an upstream that was read as a tenant's: returns 0, or -1 with *why set if it could never be filled in. */
int upstream_check_template(const struct upstream *up, struct fail *why);
bool upstream_has_fixed_hosts(const struct upstream *up); /* returns false if they depend on the tenant */
/*
 * Makes a client's upstream, database, role and user of up. database: as the client's pool is called ("tenant/database"
 * for a tenant's), user: as it logged in ("user.tenant" for a tenant's). upstream_for takes the role that a client logs
 * in as on servers, and gives a copy with all names filled in. Failures (08001, 28000, 3D000): a name is too long, or
 * makes no host.
 */
struct upstream *upstream_for(const struct upstream *up, const char *database, const char *role, struct fail *why);
const char *upstream_database(const struct upstream *up, const char *database); /* without the tenant */
/* The client's user without its tenant; whom servers log in as: that, or the upstream's own. out: 64 bytes. */
int upstream_role(const struct upstream *up, const char *database, const char *user, char *out, struct fail *why);
int upstream_user(const struct upstream *up, const char *database, const char *user, char *out, struct fail *why);

/*
 * --- upstream_scan.c: the two spellings of a connection string, taken apart into names and values.
 *
 * Knows the syntax only (libpq's, chapter "Connection Strings"); upstream.c knows what the names mean.
 */
#define UPSTREAM_NAME_MAX 63 /* bytes of a word's name */

/* Gets each name and value in turn. Not 0 ends the scan, which then returns -1. */
typedef int (*upstream_put)(void *arg, const char *name, const char *value, struct fail *why);

/* host=db1 dbname='my db': blanks separate, \ takes the next byte as it is, '' inside of quotes is one. */
int upstream_scan_words(const char *text, upstream_put put, void *arg, struct fail *why);
/* postgres://user:password@host:port,[::1]:port/dbname?name=value&...: %xx is a byte. is_template: %{ is %{. */
int upstream_scan_uri(const char *text, bool is_template, upstream_put put, void *arg, struct fail *why);
bool upstream_is_uri(const char *text);

/* --- passfile.c: libpq's password file: hostname:port:database:username:password, first match wins. --- */

struct passfile_query {
	const char *host, *port, *dbname, *user; /* the connection's */
};

/*
 * The password for it: the caller wipes and frees. NULL with an empty why->text: the file is not there, or no line
 * fits; with a text: the file was ignored, and why (as in libpq: others may read it, or it is not a file).
 */
char *passfile_find(const char *path, const struct passfile_query *query, struct fail *why);
/* The same for a file's content; pure. */
char *passfile_match(const char *text, size_t len, const struct passfile_query *query);

struct config; /* config.h */
struct config_scope;
struct scope_settings;
/* config.c. Returns true if connections of up with these settings are under a budget (dedicated/fleet.h). */
bool config_has_budget(const struct upstream *up, const struct scope_settings *s);
/* Returns who pgweir's own connections for it log in as; empty: nobody is named. */
const char *config_cluster_user(const struct upstream *up, const struct scope_settings *s);
