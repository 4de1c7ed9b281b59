/*
 * src/login/login_steps.h - authentication: its steps, the secret, the exchanges, and what follows a proof.
 */
#pragma once

#include "login/login_state.h"

/* login_steps.c */
void login_authenticate(struct client *c); /* call it when the startup packet was read */
size_t login_password(struct client *c, const uint8_t *bytes, size_t len); /* bytes used; 0: more are needed */
void login_secret_found(struct client *c); /* l->secret and l->found are set: the exchange begins */

/* login_proof.c */
void login_authenticated(struct client *c); /* call it when the proof was right */
void login_wrong_password(struct client *c);
/*
 * As with PgBouncer (compat = pgbouncer): the console's user "pgbouncer" over a Unix socket is whoever runs this
 * process, the kernel says so, and needs no password.
 */
bool login_is_own_user(const struct client *c);

/* login_rule.c: sets l->demand. Returns 0, or -1 with *why set if the client is refused. */
int login_rule(struct client *c, struct fail *why);

/* login_certificate.c: checks the client's certificate against the rule and the configuration. Returns 0, or -1 with
 * *why set. */
int login_certificate(struct client *c, struct fail *why);

/* login_secret.c: calls login_secret_found, at once or later (login_wait). */
void login_find_secret(struct client *c);

/* login_md5.c, login_scram.c: put the first message into l->out, now or later. Return 0, or -1 with *why set. */
int login_md5_begin(struct client *c, struct fail *why);
void login_md5_check(struct client *c, const uint8_t *body, size_t len);
int login_scram_begin(struct client *c, struct fail *why);
void login_scram_check(struct client *c, const uint8_t *body, size_t len);

/* login_password.c: a password in clear text */
int login_cleartext_begin(struct client *c, struct fail *why);
void login_cleartext_check(struct client *c, const uint8_t *body, size_t len);

/* login_peer.c: login_authenticated or a refusal follows later (login_wait). Returns 0, or -1 with *why set. */
int login_peer_begin(struct client *c, struct fail *why);
