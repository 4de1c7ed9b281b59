/*
 * src/login/login_steps.h - the steps of a login: before authentication (first packets, PROXY header, TLS, names),
 * authentication itself, the secret, the exchanges, and what follows a proof. Borrows: all texts of struct
 * tenant_question.
 */
#pragma once

#include "login/login_state.h"

/* login_startup.c */
/* Takes one packet; returns bytes used, or 0 if more are needed. */
size_t login_startup(struct client *c, const uint8_t *bytes, size_t len);

/* login_proxy.c */
#define APPLICATION_NAME_MAX 63 /* bytes of application_name, as PostgreSQL's NAMEDATALEN - 1 */
bool login_expects_proxy(const struct client *c); /* returns true if a PROXY header must come first */
/* Takes the header; returns the bytes used, or 0 if more are needed. The client may be closed afterwards. */
size_t login_proxy(struct client *c, const uint8_t *bytes, size_t len);
/* Refuses the client and returns true if bytes begin like a header although none is expected. */
bool login_refuse_proxy(struct client *c, const uint8_t *bytes, size_t len);
/* Writes the application_name that application_name_add_host makes of `name`, which may be NULL, to `out`. */
void login_name_with_host(const struct client *c, const char *name, char out[static APPLICATION_NAME_MAX + 1]);

/* login_tls.c */
bool login_offers_tls(const struct client *c); /* returns true if TLS is on offer */
/* Begins the handshake. With direct TLS, `first` has the client's first bytes; else first_len is 0. */
void login_tls_begin(struct client *c, const uint8_t *first, size_t first_len);

/* login_tenant.c */
bool login_is_console(const struct client_login *l); /* returns true if the client asked for the console */
/* Sets user, database and sent_user of c->login. Returns 0, or -1 with *why set. */
int login_take_names(struct client *c, const struct startup *s, struct fail *why);
/* Returns true if the setting `name` names the tenant; it is not sent to PostgreSQL then. */
bool login_is_tenant_setting(const struct client *c, const char *name);

/*
 * --- tenant.c: finds the tenant that a client means, in the ways that Supabase uses. Pure.
 *
 *   options   reference=acme among the words of "options"
 *   user      postgres.acme: the part after the last dot, if that can be a tenant's name
 *   sni       acme.pooler.example.com, TLS's server name; in lower case
 */

/* The places where a client can name its tenant. A place that is not enabled is NULL or false. */
struct tenant_question {
	const char *user;
	bool may_be_in_user;
	const char *reference; /* from options */
	const char *server_name;
	/* only server names of the form TENANT.domain count; if `domain` is empty, the first part of any server name
	 * counts */
	const char *domain;
};
struct tenant_answer {
	char tenant[CONFIG_NAME_MAX + 1]; /* empty if no tenant was named */
	size_t user_len; /* the length of user without the tenant */
};

/* Returns 0, or -1 with *why set (28000) if the name can't be a tenant's, or if two different tenants are named. The
 * configured tenants play no part. */
int tenant_find(const struct tenant_question *q, struct tenant_answer *a, struct fail *why);

/* login_steps.c */
void login_authenticate(struct client *c); /* call this when the startup packet was read */
/* returns the bytes used, or 0 if more are needed */
size_t login_password(struct client *c, const uint8_t *bytes, size_t len);
void login_secret_found(struct client *c); /* begins the exchange; l->secret and l->found must be set */

/* login_proof.c */
void login_authenticated(struct client *c); /* call this when the proof was right */
void login_wrong_password(struct client *c);
/* Returns true if the client logs in to the console as "pgbouncer" over a Unix socket and, according to the kernel, is
 * run by the user that runs this process. With compat = pgbouncer such a client needs no password. */
bool login_is_own_user(const struct client *c);

/* login_rule.c: sets l->demand. Returns 0; or -1 with *why set if the client is refused; or 1 if the login waits for an
 * answer (login_repeat_later()): then `again` is called later, and must call login_rule() once more. */
int login_rule(struct client *c, void (*again)(struct client *c, void *unused), struct fail *why);
/* Writes to `out` the user's or database's name, cut to the length to which PostgreSQL cuts it. Otherwise a client
 * could evade a rule by making the name longer. */
void login_cut_name(const struct client *c, const char *name, char out[static CONFIG_DATABASE_MAX + 1]);

/* login_certificate.c: checks the client's certificate against the rule and the configuration. Returns 0, -1 with *why
 * set, or 1, as login_rule() does. */
int login_certificate(struct client *c, void (*again)(struct client *c, void *unused), struct fail *why);

/* login_secret.c: finds the secret, then calls login_secret_found(), at once or after login_wait(). */
void login_find_secret(struct client *c);

/* login_scram.c: puts the first message into l->out, at once or after login_wait(). Returns 0, or -1 with *why set. */
int login_scram_begin(struct client *c, struct fail *why);
void login_scram_check(struct client *c, const uint8_t *body, size_t len);

/* login_password.c: a password in clear text, or hashed with MD5 */
void login_md5_check(struct client *c, const uint8_t *body, size_t len);
void login_cleartext_check(struct client *c, const uint8_t *body, size_t len);

/* login_external.c: a password that a module judges, on threads of the module's own (net/jobs.h) */
void login_external_begin(struct client *c); /* asks the client for its password */
void login_external_check(struct client *c, const char *password);
/* Called about every 100 ms while the login waits for the answer. Refuses the login if the answer is late. */
void login_external_tick(struct client *c, uint64_t now_us);

/* login_peer.c: begins login_wait(); login_authenticated() or a refusal follows. Returns 0, or -1 with *why set. */
int login_peer_begin(struct client *c, struct fail *why);
