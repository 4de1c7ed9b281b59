/*
 * src/config/upstream.h - the hosts and parameters with which pgweir connects to PostgreSQL, read from a libpq
 * connection string: keywords and values, or a postgres:// URI.
 *
 * Owns:   all its texts; upstream_free() wipes the password.
 * Always: there is at least one host, and all values are valid.
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

/* Keywords whose values are checked, and kept as written. connect_query and zones are pgweir's, others are libpq's. */
enum upstream_keyword {
	UPSTREAM_SSLMODE, /* disable, allow, prefer, require, verify-ca or verify-full */
	UPSTREAM_SSLROOTCERT, /* an absolute path, or "system" */
	UPSTREAM_SSLCERT, /* an absolute path */
	UPSTREAM_SSLKEY, /* an absolute path */
	UPSTREAM_SSLNEGOTIATION, /* postgres or direct */
	UPSTREAM_SSLSNI, /* 0 or 1 */
	UPSTREAM_CHANNEL_BINDING, /* disable, prefer or require */
	/* With disable, the default, each connection tries the hosts in order. With round-robin, each new connection
	 * begins one host further on. */
	UPSTREAM_LOAD_BALANCE_HOSTS,
	UPSTREAM_KRBSRVNAME, /* the Kerberos service name of PostgreSQL; "postgres" if not set */
	UPSTREAM_CONNECT_QUERY, /* SQL that runs on each new connection */
	UPSTREAM_ZONES, /* the zone of each host, in the hosts' order: "eu1,,eu2"; an unknown zone is empty */
	UPSTREAM_KEYWORD_COUNT
};

struct upstream_host {
	char host[256]; /* a name, a numeric address, or the directory of a Unix socket, which begins with '/' */
	uint16_t port; /* the name of a Unix socket is .s.PGSQL.port */
};

struct upstream {
	struct upstream_host *hosts;
	size_t host_count; /* at least 1 */
	enum target_session_attrs target;
	bool is_of_tenant; /* true for a tenant's upstream, whose texts are templates (upstream_template.c) */
	uint16_t min_minor, max_minor; /* the lowest and highest minor version of protocol 3 to use, each 0 or 2 */
	char *dbname; /* the database to connect to; if empty, the database that the client named */
	char *user; /* the user to log in as, in one pool for all clients; if empty, each client's own user */
	char *password; /* if empty, the password is in users_file, or the client's own SCRAM keys are used */
	char *keyword_values[UPSTREAM_KEYWORD_COUNT]; /* values by keyword; NULL if not set */
	/* settings for each connection (application_name, options and so on), as written: name, value, name, value,
	 * ..., NULL */
	char **settings;
};

/*
 * --- upstream_parse.c ---
 *
 * Parses "host=db1,db2 port=5432 dbname=app user=u password='it''s' target_session_attrs=read-write" or
 * "postgres://user:password@host:port,host2/db?key=value". libpq's chapter "Connection Strings" has the rules for
 * quotes, percent-encoding, and several hosts with one port for all or one port each.
 *
 * A keyword that pgweir does not support, such as passfile or service, is an error that names the keyword, and may have
 * a hint. If is_of_tenant is true, the values are templates (upstream_template.c). Returns an upstream that the caller
 * owns, or NULL with *why set.
 */
struct upstream *upstream_parse(const char *text, bool is_of_tenant, struct fail *why);
/* Checks a host without placeholders. Returns 0, or -1 with *why set. */
int upstream_check_host(const char *host, struct fail *why);

/* --- upstream.c --- */

const char *upstream_word_name(enum upstream_keyword word); /* returns NULL if there is no such word */
const char *upstream_protocol_name(uint16_t minor); /* "3.0" for 0, else "3.2" */
extern const char *const upstream_target_names[]; /* names of enum target_session_attrs; NULL-terminated */
struct upstream *upstream_copy(const struct upstream *up); /* returns NULL if there is no memory */
/* Returns the zone of hosts[host]. The text is not terminated; *len is its length, or 0 if the zone is not known. */
const char *upstream_zone(const struct upstream *up, size_t host, size_t *len);
/* Returns true if hosts[host] is in `zone`. Returns false if `zone` is empty. */
bool upstream_is_in_zone(const struct upstream *up, size_t host, const char *zone);
/* Returns a shallow copy of *up with hosts[host] as the only host, TARGET_ANY as its target, and no zones. The copy
 * points into *up, and must not be freed. */
struct upstream upstream_of_host(const struct upstream *up, size_t host);
/* Returns true if a and b have equal fields, passwords included; zones may differ. */
bool upstream_equal(const struct upstream *a, const struct upstream *b);
/* Returns true if a and b have a host and port in common, which means that they are one cluster. Two names of the same
 * machine count as different hosts. */
bool upstream_is_same_cluster(const struct upstream *a, const struct upstream *b);
void upstream_free(struct upstream *up); /* wipes the password; up may be NULL */
/* Returns keywords and values as upstream_parse() reads them, with *** in place of the password. The caller frees the
 * text. If hides_connect_query, *** replaces the SQL of connect_query, too, because it may contain a password. */
char *upstream_text(const struct upstream *up, bool hides_connect_query);

/*
 * --- upstream_template.c: the upstream of a tenant is a template. In its texts, except the password, the placeholders
 * %{tenant}, %{database} and %{user} stand for the client's names, and %% for a percent sign.
 *
 * Hosts and settings may contain only %{tenant}, because a tenant's name has only letters, digits, _ and -. Clients
 * choose the values of the other placeholders freely, so only the user and dbname may contain them, and dbname may not
 * contain %{user} if there is a user.
 *
 * The parameters mean the same in all functions below: `database` is the database that the client asked for
 * ("tenant/database" if it is a tenant's); `user` is the user that the client logged in as ("user.tenant" if it is a
 * tenant's). A function that returns an int returns 0, or -1 with *why set (08001, 28000, 3D000) if a name is too long,
 * `database` has no tenant, `user` is not of this tenant, or the tenant makes an invalid host.
 */
bool upstream_is_tenant_name(const char *name, size_t len); /* returns true for 1 to 63 letters, digits, _ and - */
/* Checks the template of a tenant. Returns -1 if even the shortest names can't be filled in. */
int upstream_check_template(const struct upstream *up, struct fail *why);
bool upstream_has_fixed_hosts(const struct upstream *up); /* returns false if a host depends on the tenant */
/* Returns a copy of *up with all placeholders filled in, or NULL with *why set. `user`: see upstream_compute_user(). */
struct upstream *upstream_fill_in(const struct upstream *up, const char *database, const char *user, struct fail *why);
/* Returns the part of `database` after "tenant/", or `database` if *up is not a tenant's. */
const char *upstream_database(const struct upstream *up, const char *database);
/* Writes the client's user without ".tenant" to out, which has CONFIG_NAME_MAX + 1 bytes. */
int upstream_compute_role(const struct upstream *up, const char *database, const char *user, char *out,
			  struct fail *why);
/* Writes the user that pgweir logs in to PostgreSQL as: the user of *up, or, if that is empty, the role from
 * upstream_compute_role(). out has CONFIG_NAME_MAX + 1 bytes. */
int upstream_compute_user(const struct upstream *up, const char *database, const char *user, char *out,
			  struct fail *why);

/*
 * --- upstream_scan.c: splits the two forms of a connection string into names and values.
 *
 * This file has only the syntax, from libpq's chapter "Connection Strings"; upstream_parse.c has the names' meanings.
 */
#define UPSTREAM_NAME_MAX 63 /* bytes of a name */

/* A callback for each name and value. If it returns nonzero, it must have set *why, and the scan returns -1. */
typedef int (*upstream_on_parameter)(void *arg, const char *name, const char *value, struct fail *why);

/* Scans host=db1 dbname='my db'. Blanks separate pairs, a backslash escapes the next byte, and '' within quotes stands
 * for one quote. Returns 0, or -1 with *why set. */
int upstream_scan_parameters(const char *text, upstream_on_parameter put, void *arg, struct fail *why);
/* Scans postgres://user:password@host:port,[::1]:port/dbname?name=value&... in which %xx stands for a byte. If
 * is_template, %{ begins a placeholder, which is passed on as it is. Returns 0, or -1 with *why set. */
int upstream_scan_uri(const char *text, bool is_template, upstream_on_parameter put, void *arg, struct fail *why);
bool upstream_is_uri(const char *text); /* returns true if text begins like a URI of PostgreSQL */

/* --- passfile.c: libpq's password file. The first line host:port:database:user:password that matches decides. --- */

/* The connection for which a password is looked up. */
struct passfile_query {
	const char *host, *port, *dbname, *user;
};

/* Returns the password for a connection; the caller wipes and frees the password. Returns NULL with an empty why->text
 * if the file does not exist or no line matches. As libpq does, ignores a file that other users may access, or that is
 * not a regular file; returns NULL with the reason in why->text. */
char *passfile_find(const char *path, const struct passfile_query *query, struct fail *why);
/* Returns the password that the content of a file has for a connection, or NULL. Does no I/O. */
char *passfile_match(const char *text, size_t len, const struct passfile_query *query);

struct config; /* config.h */
struct config_scope;
struct scope_settings;
/* In config.c. Returns true if connections to this upstream, with these settings, have a budget (dedicated/fleet.h). */
bool config_has_budget(const struct upstream *up, const struct scope_settings *s);
/* In config.c. Returns the user that pgweir's own queries to this upstream run as, or "" if none is configured. */
const char *config_cluster_user(const struct upstream *up, const struct scope_settings *s);
