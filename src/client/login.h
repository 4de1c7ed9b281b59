/*
 * src/client/login.h - what the parts of a login share; nobody else sees it.
 *
 *   client_login.c    STARTUP: the first packets
 *   client_auth.c     AUTHENTICATION: trust, md5 or SCRAM, then the door: console, limits, which pool
 *   client_welcome.c  WELCOME: what the client's startup settings amount to, and its first ReadyForQuery
 *   replication.c     the same for replication clients
 */
#ifndef PGWEIR_CLIENT_LOGIN_H
#define PGWEIR_CLIENT_LOGIN_H

#include "auth/scram.h"
#include "auth/users.h"
#include "client/client.h"
#include "wire/startup.h"

struct client_login {
	struct buf out; /* collected, so that what goes at once leaves at once */
	struct image *raw; /* startup settings as sent */
	struct image *valid; /* those of them that PostgreSQL knows; NULL: all, as far as is known */
	char *user, *database;
	enum startup_replication replication;
	struct server *opening; /* for it alone, its login under way (replication.c) */
	struct scram_server *scram;
	struct scram_keys keys;
	enum login_method method;
	struct user_secret secret;
	struct users *users; /* holds secret's text */
	uint8_t md5_salt[4];
	bool is_known, is_sasl_begun, is_first_due, has_ssl_asked, has_gss_asked;
	bool has_error;
	struct fail error; /* what PostgreSQL said of the settings */
};

/* client_login.c */
void login_flush(struct client *c); /* sends what was collected */
void login_refuse(struct client *c, const struct fail *why, enum login_result result); /* counts, logs, tells, closes */

/* client_auth.c */
void login_authenticate(struct client *c); /* the startup packet is known */
size_t login_password(struct client *c, const uint8_t *bytes, size_t len); /* bytes used; 0: more are needed */

/* client_welcome.c */
void login_welcome(struct client *c); /* authenticated, c->entry is set */
void login_log(struct client *c);
/* Everything is known: ParameterStatus, BackendKeyData, ReadyForQuery, in one write. image: taken. */
void login_finish(struct client *c, struct image *image, const struct image *welcome);

/* replication.c */
const char *replication_database(const struct client *c); /* which of ours it means */
void replication_welcome(struct client *c);

#endif
