/* src/modules/gss/gss_accept.c - takes a client's tokens, and finds out the client's name. See gss.h. */
#include "modules/gss/gss_context.h"

#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
gss_context_free(void *context)
{
	struct gss_context *x = context;
	OM_uint32 minor;

	if (x != NULL) {
		gss_delete_sec_context(&minor, &x->security, GSS_C_NO_BUFFER);
		gss_release_cred(&minor, &x->key);
		gss_release_name(&minor, &x->service);
	}
	free(x);
}

bool
gss_begin(struct auth_tokens *t, struct fail *why)
{
	t->context = calloc(1, sizeof(struct gss_context));
	if (t->context == NULL)
		fail_memory(why, "a login");
	return t->context != NULL;
}

/* --- Failures. --- */

static void
add_text(OM_uint32 status, int kind, char *text, size_t size)
{
	gss_buffer_desc part = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor, more = 0;
	size_t len = strlen(text);

	if (gss_display_status(&minor, status, kind, GSS_C_NO_OID, &more, &part) == GSS_S_COMPLETE)
		snprintf(text + len, size - len, "%s%.*s", len > 0 ? ": " : "", (int)part.length, (char *)part.value);
	gss_release_buffer(&minor, &part);
}

bool
gss_is_system_error(OM_uint32 minor)
{
	krb5_error_code code = (krb5_error_code)minor;

	return (code > 0 && code < 256) || (code >= KRB5_RC_TYPE_EXISTS && code <= KRB5_RC_REQUIRED) ||
	       code == KRB5_RC_IO_SPACE || code == KRB5_RCACHE_BADVNO || code == KRB5_KT_IOERR ||
	       code == KRB5_KDC_UNREACH;
}

enum proof_verdict
gss_fail(enum proof_verdict proof, const char *doing, OM_uint32 major, OM_uint32 minor, struct fail *why)
{
	char text[200] = "";

	if (minor == 0 || GSS_ROUTINE_ERROR(major) != GSS_S_FAILURE) /* GSS_S_FAILURE says only that something failed */
		add_text(major, GSS_C_GSS_CODE, text, sizeof(text));
	if (minor != 0)
		add_text(minor, GSS_C_MECH_CODE, text, sizeof(text));
	fail_set(why, proof == PROOF_WRONG ? "28000" : "57P03", "GSSAPI: could not %s: %s", doing, text);
	return proof;
}

/* --- A login. --- */

/* Gets the service's key from the keytab, for Kerberos, also within SPNEGO: other mechanisms may prove less. */
static enum proof_verdict
get_key(const struct gss_options *o, struct gss_context *x, struct fail *why)
{
	gss_OID_desc mechs[] = { *gss_mech_krb5, { 6, (void *)"\x2b\x06\x01\x05\x05\x02" /* SPNEGO */ } };
	gss_OID_set_desc wanted = { 2, mechs }, within = { 1, mechs };
	gss_key_value_element_desc keytab = { "keytab", o->keytab };
	const gss_key_value_set_desc store = { 1, &keytab };
	OM_uint32 minor, major = gss_acquire_cred_from(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, &wanted, GSS_C_ACCEPT,
						       o->keytab != NULL ? &store : NULL, &x->key, NULL, NULL);

	if (major == GSS_S_COMPLETE)
		major = gss_set_neg_mechs(&minor, x->key, &within);
	return major == GSS_S_COMPLETE ? PROOF_RIGHT : gss_fail(PROOF_FAILED, "use the keytab", major, minor, why);
}

enum proof_verdict
gss_take_name(gss_name_t client, char *name, struct fail *why)
{
	gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
	gss_OID type = GSS_C_NO_OID;
	OM_uint32 ignored, minor, major = gss_display_name(&minor, client, &text, &type);
	enum proof_verdict proof = PROOF_RIGHT;

	if (major != GSS_S_COMPLETE)
		proof = gss_fail(PROOF_WRONG, "read the client's name", major, minor, why);
	else if (!gss_oid_equal(type, GSS_KRB5_NT_PRINCIPAL_NAME) || text.length > AUTH_NAME_MAX ||
		 memchr(text.value, 0, text.length) != NULL) {
		fail_set(why, "28000", "GSSAPI: the client's name is missing or too long");
		proof = PROOF_WRONG;
	} else {
		memcpy(name, text.value, text.length);
		name[text.length] = '\0';
	}
	gss_release_buffer(&ignored, &text);
	return proof;
}

static enum proof_verdict
take_token(struct gss_context *x, struct auth_tokens *t, struct fail *why)
{
	gss_buffer_desc in = { t->token_len, (void *)(uintptr_t)t->token }, out = GSS_C_EMPTY_BUFFER;
	gss_cred_id_t delegated = GSS_C_NO_CREDENTIAL;
	gss_name_t client = GSS_C_NO_NAME;
	enum proof_verdict proof;
	OM_uint32 ignored, minor, major;

	major = gss_accept_sec_context(&minor, &x->security, x->key, &in, GSS_C_NO_CHANNEL_BINDINGS, &client, NULL,
				       &out, NULL, NULL, t->delegated != NULL ? &delegated : NULL);
	buf_put(&t->reply, out.value, out.length);
	gss_release_buffer(&ignored, &out);
	if (major == GSS_S_COMPLETE)
		proof = gss_take_name(client, t->name, why);
	else if (major == GSS_S_CONTINUE_NEEDED && t->reply.len > 0) /* no reply means a token of another mechanism */
		proof = PROOF_MORE;
	else
		proof = gss_fail(gss_is_system_error(minor) ? PROOF_FAILED : PROOF_WRONG, "accept the client's token",
				 major, minor, why);
	gss_release_name(&ignored, &client);
	if (proof == PROOF_RIGHT && t->delegated != NULL)
		proof = gss_take_delegated(&delegated, t, why);
	gss_release_cred(&ignored, &delegated);
	return proof;
}

enum proof_verdict
gss_judge(const struct auth_question *q, struct fail *why)
{
	struct auth_tokens *t = q->tokens;
	enum proof_verdict proof = PROOF_RIGHT;
	const char *name;

	if (t->context == NULL) {
		if (!gss_begin(t, why))
			return PROOF_FAILED;
		proof = get_key(q->options, t->context, why);
	}
	if (proof == PROOF_RIGHT)
		proof = take_token(t->context, t, why);
	if (proof != PROOF_RIGHT)
		return proof;
	name = gss_name(q->options, t->name, why);
	return name != NULL ? PROOF_RIGHT : PROOF_WRONG;
}
