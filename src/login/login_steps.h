/*
 * src/login/login_steps.h - what comes before authentication: the first packets, the PROXY header, TLS, names. Then its
 * steps, the secret, the exchanges, and what follows a proof.
 */
#pragma once

#include "login/login_state.h"

/* login_startup.c */
/* Takes one packet; returns the bytes used, 0 if more are needed. */
size_t login_startup(struct client *c, const uint8_t *bytes, size_t len);

/* login_proxy.c */
#define APPLICATION_NAME_MAX 63 /* bytes of application_name, as PostgreSQL's NAMEDATALEN - 1 */
bool login_expects_proxy(const struct client *c); /* returns true if a PROXY header must come first */
/* Takes the header; returns the bytes used, 0 if more are needed. The client may be closed after it. */
size_t login_proxy(struct client *c, const uint8_t *bytes, size_t len);
/* Returns true, and has refused the client, if bytes begin like a header: none is expected. */
bool login_refuses_proxy(struct client *c, const uint8_t *bytes, size_t len);
/* Writes application_name as application_name_add_host makes it; name may be NULL. */
void login_name_with_host(const struct client *c, const char *name, char out[static APPLICATION_NAME_MAX + 1]);

/* login_tls.c */
bool login_has_tls(const struct client *c); /* returns true if TLS is on offer */
void login_tls_begin(struct client *c, const uint8_t *first, size_t first_len); /* first: its bytes, with direct TLS */

/* login_tenant.c */
bool login_is_console(const struct client_login *l); /* the client asked for the console */
/* Sets user, database and sent_user. Returns 0, or -1 with *why set. */
int login_take_names(struct client *c, const struct startup *s, struct fail *why);
/* Returns true if the setting names the tenant: PostgreSQL does not get it. */
bool login_is_tenant_setting(const struct client *c, const char *name);

/*
 * --- tenant.c: finds the tenant that a client means, in the ways that Supabase uses. Pure.
 *
 *   options   reference=acme among the words of "options"
 *   user      postgres.acme: the part after the last dot, if it can be a tenant's name
 *   sni       acme.pooler.example.com, TLS's server name; in lower case
 */

/* The places where a client can name its tenant; NULL or false where that is not enabled. */
struct tenant_question {
	const char *user;
	bool may_be_in_user;
	const char *reference; /* from options */
	const char *server_name;
	const char *domain; /* only server names like TENANT.domain count; empty: the first part of any name does */
};
struct tenant_answer {
	char tenant[CONFIG_NAME_MAX + 1]; /* empty: none was named */
	size_t user_len; /* the length of user without the tenant */
};

/* Returns 0, or -1 with *why set (28000): it can't be a tenant's name, or two different ones are named. Which tenants
 * are configured plays no part. */
int tenant_find(const struct tenant_question *q, struct tenant_answer *a, struct fail *why);

/* login_steps.c */
void login_authenticate(struct client *c); /* call it when the startup packet was read */
size_t login_password(struct client *c, const uint8_t *bytes, size_t len); /* bytes used; 0: more are needed */
void login_secret_found(struct client *c); /* l->secret and l->found are set: the exchange begins */

/* login_proof.c */
void login_authenticated(struct client *c); /* call it when the proof was right */
void login_wrong_password(struct client *c);
/* As with PgBouncer (compat = pgbouncer): the console's user "pgbouncer" over a Unix socket is whoever runs this
 * process, the kernel says so, and needs no password. */
bool login_is_own_user(const struct client *c);

/* login_rule.c: sets l->demand. Returns 0, or -1 with *why set if the client is refused, or 1 as login_await() does:
 * again calls it once more. */
int login_rule(struct client *c, void (*again)(struct client *c, void *unused), struct fail *why);
/* Cuts a user's or database's name to the length that PostgreSQL gives it: a longer one must not evade its rule. */
void login_rule_name(const struct client *c, const char *name, char out[static CONFIG_DATABASE_MAX + 1]);

/* login_certificate.c: checks the client's certificate against the rule and the configuration. Returns 0, or -1 with
 * *why set, or 1 as login_rule does. */
int login_certificate(struct client *c, void (*again)(struct client *c, void *unused), struct fail *why);

/* login_secret.c: calls login_secret_found, at once or later (login_wait). */
void login_find_secret(struct client *c);

/* login_scram.c: puts the first message into l->out, now or later. Returns 0, or -1 with *why set. */
int login_scram_begin(struct client *c, struct fail *why);
void login_scram_check(struct client *c, const uint8_t *body, size_t len);

/* login_password.c: a password in clear text, or hashed with MD5 */
void login_md5_check(struct client *c, const uint8_t *body, size_t len);
void login_cleartext_check(struct client *c, const uint8_t *body, size_t len);

/* login_external.c: a password that somebody else judges, on threads of their own (net/jobs.h) */
void login_external_begin(struct client *c); /* asks the client for its password */
void login_external_check(struct client *c, const char *password);
/* While it waits for the answer; about every 100 ms. Refuses the login if that is late. */
void login_external_tick(struct client *c, uint64_t now_us);

/* login_peer.c: login_authenticated or a refusal follows later (login_wait). Returns 0, or -1 with *why set. */
int login_peer_begin(struct client *c, struct fail *why);
