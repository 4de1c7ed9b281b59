/*
 * src/modules/gss/gss_context.h - declarations that gss_accept.c, gss_show.c and gss_delegate.c share (see gss.h).
 */
#pragma once

#include "modules/gss/gss.h"

#include <gssapi/gssapi.h>

/* The state that is kept from one token to the next. */
struct gss_context {
	gss_ctx_id_t security;
	/* the key of pgweir, as the service to which the client logs in; GSS_C_NO_CREDENTIAL if pgweir logs in */
	gss_cred_id_t key;
	/* the Kerberos name of the service to which pgweir logs in; GSS_C_NO_NAME if a client logs in */
	gss_name_t service;
};

/* --- gss_accept.c --- */
/* Called at the first token: makes t->context. Returns false with *why set if there is no memory. */
bool gss_begin(struct auth_tokens *t, struct fail *why);
/* Sets *why to the failure of the step `doing` ("read the client's name"), with the library's texts for the status
 * codes major and minor. Returns `proof`. Called on the thread on which the library has returned these codes. */
enum proof_verdict gss_fail(enum proof_verdict proof, const char *doing, OM_uint32 major, OM_uint32 minor,
			    struct fail *why);
/* Writes a Kerberos name, of at most AUTH_NAME_MAX bytes, and a terminator. Returns PROOF_WRONG if the name is longer,
 * or is not a Kerberos name, as with an anonymous client. */
enum proof_verdict gss_take_name(gss_name_t client, char *name, struct fail *why);
/* Returns true if the system, the KDC or the replay cache is at fault, not the other side. */
bool gss_is_system_error(OM_uint32 minor);

/* --- gss_delegate.c --- */
/* Called after the client t->name has authenticated. Sets *t->delegated to a new object. If the client has delegated
 * credentials, moves *credentials into the object. Returns PROOF_WRONG for credentials of another user. */
enum proof_verdict gss_take_delegated(gss_cred_id_t *credentials, struct auth_tokens *t, struct fail *why);
gss_cred_id_t gss_credentials(const struct delegated *d); /* returns pgweir's own credentials if d is NULL */
