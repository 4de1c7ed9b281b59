/*
 * src/login/login_startup.h - what comes before authentication: the first packets, the PROXY header, TLS, names.
 */
#pragma once

#include "login/login_state.h"

/* login_startup.c */
/* Takes one packet; returns the bytes used, 0 if more are needed. */
size_t login_startup(struct client *c, const uint8_t *bytes, size_t len);

/* login_proxy.c */
#define LOGIN_NAME_MAX 63 /* bytes of application_name, as PostgreSQL's NAMEDATALEN - 1 */
bool login_expects_proxy(const struct client *c); /* returns true if a PROXY header must come first */
/* Takes the header; returns the bytes used, 0 if more are needed. The client may be closed after it. */
size_t login_proxy(struct client *c, const uint8_t *bytes, size_t len);
/* Returns true, and has refused the client, if bytes begin like a header: none is expected. */
bool login_refuses_proxy(struct client *c, const uint8_t *bytes, size_t len);
/* Writes application_name as application_name_add_host makes it; name may be NULL. */
void login_name_with_host(const struct client *c, const char *name, char out[static LOGIN_NAME_MAX + 1]);

/* login_tls.c */
bool login_has_tls(const struct client *c); /* returns true if TLS is on offer */
void login_tls_begin(struct client *c, const uint8_t *first, size_t first_len); /* first: its bytes, with direct TLS */
/* Returns true if the connection is encrypted as far as the configuration demands, or false with *why set. */
bool login_tls_suffices(const struct client *c, struct fail *why);

/* login_tenant.c */
bool login_is_console_name(const char *database); /* a name of the console, which no database can have */
bool login_is_console(const struct client_login *l); /* the client asked for the console */
/* Sets user, database and sent_user. Returns 0, or -1 with *why set. */
int login_take_names(struct client *c, const struct startup *s, struct fail *why);
/* Returns true if the setting names the tenant: PostgreSQL does not get it. */
bool login_is_tenant_setting(const struct client *c, const char *name);
