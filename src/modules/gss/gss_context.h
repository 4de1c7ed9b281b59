/*
 * src/modules/gss/gss_context.h - what the two directions of a login share: gss_accept.c, by which clients log in here,
 * and gss_show.c, by which pgweir logs in to PostgreSQL.
 */
#pragma once

#include "modules/gss/gss.h"

#include <gssapi/gssapi.h>

/* From one token to the next. */
struct gss_context {
	gss_ctx_id_t security;
	gss_cred_id_t key; /* the service's that clients log in to; else none */
	gss_name_t service; /* that pgweir logs in to, as Kerberos has it; else none */
};

/* --- gss_accept.c --- */
/* At the first token, makes t's context. Returns false with *why set: no memory. */
bool gss_begin(struct auth_tokens *t, struct fail *why);
/* Says in *why what could not be done. Returns proof. On the thread that had the two from the library. */
enum proof gss_failed(enum proof proof, const char *doing, OM_uint32 major, OM_uint32 minor, struct fail *why);
/* Writes who it is, AUTH_NAME_MAX bytes at most. An anonymous client has a name of another type: PROOF_WRONG. */
enum proof gss_take_name(gss_name_t client, char *name, struct fail *why);
/* Returns true if the other side is not to blame: the system, the KDC, or the cache of what was shown already. */
bool gss_is_failure(OM_uint32 minor);

/* --- gss_delegate.c --- */
/* The client t->name has proved who it is: puts that, and what it has delegated (which may be none), in *t->delegated.
 * Takes the credentials. */
enum proof gss_take_delegated(gss_cred_id_t *credentials, struct auth_tokens *t, struct fail *why);
gss_cred_id_t gss_credentials(const struct delegated *d); /* NULL: pgweir's own */
