/*
 * src/login/login_steps.h - the steps of a login, from the first packets to the step after the client's proof (a
 * password, or what authentication uses instead).
 *
 * Borrows: all texts of struct tenant_question.
 */
#pragma once

#include "login/login_state.h"

/* login_startup.c */
/* Takes one packet. Returns the number of bytes used, or 0 if the packet is not complete. */
size_t login_take_startup(struct client *c, const uint8_t *bytes, size_t len);

/* login_proxy.c */
#define APPLICATION_NAME_MAX 63 /* bytes of application_name, as PostgreSQL's NAMEDATALEN - 1 */
/* Returns true if connections from the client's address begin with a PROXY header. */
bool login_is_proxy_expected(const struct client *c);
/* Takes the PROXY header. Returns the number of bytes used, or 0 if the header is not complete. May close c. */
size_t login_take_proxy_header(struct client *c, const uint8_t *bytes, size_t len);
/* Called if no PROXY header is expected. Refuses the client and returns true if the bytes begin like such a header. */
bool login_refuse_if_proxy(struct client *c, const uint8_t *bytes, size_t len);
/* Writes to `out` the application_name with the client's address, for application_name_add_host. `name` is the client's
 * own application_name, or NULL. */
void login_write_application_name(const struct client *c, const char *name, char out[static APPLICATION_NAME_MAX + 1]);

/* login_tls.c */
bool login_may_use_tls(const struct client *c); /* returns true if the client may use TLS */
/* Begins the TLS handshake. `first` has the bytes that the client has already sent; first_len is 0 after SSLRequest. */
void login_tls_begin(struct client *c, const uint8_t *first, size_t first_len);

/* login_tenant.c */
bool login_is_console(const struct client_login *l); /* returns true if the client logs in to pgweir's console */
/* Sets user, database and sent_user of c->login. Returns 0, or -1 with *why set. */
int login_take_names(struct client *c, const struct startup *s, struct fail *why);
/* Returns true if the startup setting `name` names the tenant, and so must not be sent to PostgreSQL. */
bool login_is_tenant_setting(const struct client *c, const char *name);

/*
 * --- tenant.c: finds the tenant that a client names, in one of the three ways that Supabase uses. Does no I/O.
 *
 *   options   reference=acme among the words of "options"
 *   user      postgres.acme: the part after the last dot, if that part can be a tenant's name
 *   sni       acme.pooler.example.com, the server name that the client sends in TLS; made lower case
 */

/* The names that a client has sent. reference and server_name are NULL if not sent, or if they can't name tenants. */
struct tenant_question {
	const char *user; /* never NULL */
	bool may_be_in_user; /* `user` may contain the tenant's name */
	const char *reference; /* the value of reference= in options */
	const char *server_name; /* from SNI */
	/* the setting tenant_domain: a server name counts only if it has the form TENANT.domain. If domain is empty,
	 * the first part of any server name is the tenant */
	const char *domain;
};
struct tenant_answer {
	char tenant[CONFIG_NAME_MAX + 1]; /* empty if the client names no tenant */
	size_t user_len; /* the length of the user's name without the tenant */
};

/* Returns 0, or -1 with *why set (28000) if the text in `reference` or server_name can't be a tenant's name, or if the
 * client names two different tenants. Does not check that the tenant is configured. */
int tenant_find(const struct tenant_question *q, struct tenant_answer *a, struct fail *why);

/* login_steps.c */
void login_authenticate(struct client *c); /* begins authentication; called when the startup packet was read */
/* Takes a message, and checks the proof in it. Returns the number of bytes used, or 0 if it is not complete. */
size_t login_take_proof(struct client *c, const uint8_t *bytes, size_t len);
/* Called after l->secret and l->found were set. Begins the authentication exchange, or ends it at once with trust. */
void login_begin_proof(struct client *c);

/* login_proof.c */
/* Called when the proof is right, or none is needed. Admits the client to the console or its pool, or refuses it. */
void login_on_authenticated(struct client *c);
void login_refuse_wrong_password(struct client *c); /* called when the proof is wrong; calls login_refuse_late() */
/* Returns true if, with compat = pgbouncer, the client logs in to the console as "pgbouncer" over a Unix socket, and is
 * run by the same system user as this process. Such a client needs no password. */
bool login_is_run_by_same_user(const struct client *c);

/* login_rule.c */
/* Finds the rule for the client, and sets l->rule and l->rule_method. Returns 0, or -1 with *why set if the client is
 * refused. Returns 1 if the login waits for a lookup (login_repeat_later()); again() is called after the lookup, and
 * must call login_find_rule() once more. */
int login_find_rule(struct client *c, void (*again)(struct client *c, void *unused), struct fail *why);
/* Copies the user's or database's name to `out`, cut as PostgreSQL cuts long names, so that no client can evade a rule
 * with a longer name. Does not cut a tenant's names, which are refused later if they are too long. */
void login_cut_name(const struct client *c, const char *name, char out[static CONFIG_DATABASE_MAX + 1]);

/* login_certificate.c */
/* Checks the client's certificate against the rule and the configuration. Returns what login_find_rule() returns. */
int login_check_certificate(struct client *c, void (*again)(struct client *c, void *unused), struct fail *why);

/* login_secret.c */
/* Finds the user's secret, at once or after login_wait(), and then calls login_begin_proof(), or refuses the login. */
void login_find_secret(struct client *c);

/* login_scram.c */
/* Begins a SCRAM exchange: puts the offer into l->out, now or after login_wait(). Returns 0, or -1 with *why set. */
int login_scram_begin(struct client *c, struct fail *why);
void login_scram_check(struct client *c, const uint8_t *body, size_t len); /* takes the body of a SASL message */

/* login_password.c: checks a password, hashed with MD5 or in clear text. body: the body of a PasswordMessage */
void login_md5_check(struct client *c, const uint8_t *body, size_t len);
void login_cleartext_check(struct client *c, const uint8_t *body, size_t len);

/* login_external.c: a proof that a module judges, on threads of net/jobs.h */
void login_external_begin(struct client *c); /* asks the client for its password or its first token */
void login_external_check(struct client *c, const char *password); /* passes the password to the module */
/* Called about every 100 ms while the login waits for the module. Refuses the login after external_timeout. */
void login_external_tick(struct client *c, uint64_t now_us);

/* login_peer.c */
/* Makes the login wait for a lookup of the operating system's user, after which login_on_authenticated() is called or
 * the client is refused. Returns 0, or -1 with *why set. */
int login_peer_begin(struct client *c, struct fail *why);
