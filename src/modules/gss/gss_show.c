/* src/modules/gss/gss_show.c - authenticates to PostgreSQL by Kerberos: as pgweir, with a ticket of the process, or as
 * pgweir's client, with credentials that the client has delegated. See gss.h. */
#include "modules/gss/gss_context.h"

#include <gssapi/gssapi_krb5.h>
#include <stdio.h>

/* Imports the service's name, and makes it a Kerberos name right away: if the name were only imported, the library
 * would look up the host each time. */
static enum proof_verdict
import_service(const struct auth_server *to, struct gss_context *x, struct fail *why)
{
	char text[512];
	int len = snprintf(text, sizeof(text), "%s@%s", to->service != NULL ? to->service : "postgres", to->host);
	gss_buffer_desc name = { (size_t)len, text };
	gss_name_t given = GSS_C_NO_NAME;
	OM_uint32 ignored, minor, major;

	if (*to->host == '/' || (size_t)len >= sizeof(text)) {
		fail_set(why, "28000", "GSSAPI: %.200s is not the name of a host",
			 *to->host == '/' ? "a Unix socket" : text);
		return PROOF_WRONG;
	}
	major = gss_import_name(&minor, &name, GSS_C_NT_HOSTBASED_SERVICE, &given);
	if (major == GSS_S_COMPLETE)
		major = gss_canonicalize_name(&minor, given, (gss_OID)gss_mech_krb5, &x->service);
	gss_release_name(&ignored, &given);
	return major == GSS_S_COMPLETE ? PROOF_MORE : gss_fail(PROOF_WRONG, "name the service", major, minor, why);
}

static enum proof_verdict
fail_ticket(const struct auth_server *to, OM_uint32 major, OM_uint32 minor, struct fail *why)
{
	enum proof_verdict proof = gss_is_system_error(minor) ? PROOF_FAILED : PROOF_WRONG;
	char doing[128];

	snprintf(doing, sizeof(doing), "get a ticket for %.40s@%.60s", to->service != NULL ? to->service : "postgres",
		 to->host);
	gss_fail(proof, doing, major, minor, why);
	if (to->delegated != NULL)
		fail_detail(why, "It was requested with the ticket that \"%.100s\" has delegated.",
			    to->delegated->principal);
	else if (proof == PROOF_WRONG)
		fail_hint(
		    why,
		    "pgweir needs a key of its own (KRB5_CLIENT_KTNAME) or tickets (KRB5CCNAME) in its environment; "
		    "krbsrvname in upstream is the service's name.");
	return proof;
}

/* Only the first call, which gets the ticket, may ask a KDC. The second call judges PostgreSQL's reply locally, and
 * does not use the credentials, because another thread may have locked them while its KDC hangs. */
static enum proof_verdict
make_next_token(const struct auth_server *to, struct gss_context *x, struct auth_tokens *t, struct fail *why)
{
	gss_buffer_desc in = { t->token_len, (void *)(uintptr_t)t->token }, out = GSS_C_EMPTY_BUFFER;
	gss_cred_id_t credentials = t->token == NULL ? gss_credentials(to->delegated) : GSS_C_NO_CREDENTIAL;
	OM_uint32 ignored, minor, major, flags = 0;

	major = gss_init_sec_context(&minor, credentials, &x->security, x->service, (gss_OID)gss_mech_krb5,
				     GSS_C_MUTUAL_FLAG, 0, GSS_C_NO_CHANNEL_BINDINGS, t->token != NULL ? &in : NULL,
				     NULL, &out, &flags, NULL);
	buf_put(&t->reply, out.value, out.length);
	gss_release_buffer(&ignored, &out);
	if (major == GSS_S_COMPLETE && (flags & GSS_C_MUTUAL_FLAG) != 0)
		return PROOF_RIGHT;
	if (major == GSS_S_CONTINUE_NEEDED && t->token == NULL)
		return PROOF_MORE;
	return t->token == NULL ? fail_ticket(to, major, minor, why)
				: gss_fail(PROOF_WRONG, "accept the server's token", major, minor, why);
}

enum proof_verdict
gss_make_token(const struct auth_server *to, struct auth_tokens *t, struct fail *why)
{
	enum proof_verdict proof = PROOF_MORE;

	if (t->context == NULL) {
		if (!gss_begin(t, why))
			return PROOF_FAILED;
		proof = import_service(to, t->context, why);
	}
	return proof == PROOF_MORE ? make_next_token(to, t->context, t, why) : proof;
}
