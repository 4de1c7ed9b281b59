/* src/modules/gss/gss_delegate.c - credentials that a client has delegated: a ticket with which pgweir gets other
 * tickets in the client's name. The ticket is only in the library's memory. See gss.h, and README.md. */
#include "modules/gss/gss_context.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

struct gss_delegated {
	struct delegated d; /* must be first */
	gss_cred_id_t credentials;
};

static void
delegated_free(struct delegated *d)
{
	OM_uint32 minor;

	gss_release_cred(&minor, &((struct gss_delegated *)d)->credentials);
	free(d);
}

gss_cred_id_t
gss_credentials(const struct delegated *d)
{
	return d == NULL ? GSS_C_NO_CREDENTIAL : ((const struct gss_delegated *)d)->credentials;
}

/* Checks that the delegated ticket is the client's own: the client chooses what it sends, and may have tickets of other
 * users. Sets *until_us to the time at which the ticket expires. */
static enum proof_verdict
check_credentials(gss_cred_id_t credentials, const char *client, uint64_t *until_us, struct fail *why)
{
	OM_uint32 ignored, minor, left = 0;
	gss_name_t name = GSS_C_NO_NAME;
	OM_uint32 major = gss_inquire_cred(&minor, credentials, NULL, &left, NULL, NULL);
	char text[AUTH_NAME_MAX + 1];
	enum proof_verdict proof;

	*until_us = clock_now_us() + left * US_PER_S;
	if (major == GSS_S_CREDENTIALS_EXPIRED) /* an expired ticket is useless; reading its name would leak memory */
		return PROOF_RIGHT;
	if (major == GSS_S_COMPLETE)
		major = gss_inquire_cred(&minor, credentials, &name, NULL, NULL, NULL);
	if (major != GSS_S_COMPLETE)
		return gss_fail(PROOF_WRONG, "read the delegated ticket", major, minor, why);
	proof = gss_take_name(name, text, why);
	if (proof == PROOF_RIGHT && strcmp(text, client) != 0) {
		fail_set(why, "28000", "GSSAPI: \"%.80s\" delegated a ticket of \"%.80s\"", client, text);
		proof = PROOF_WRONG;
	}
	gss_release_name(&ignored, &name);
	return proof;
}

enum proof_verdict
gss_take_delegated(gss_cred_id_t *credentials, struct auth_tokens *t, struct fail *why)
{
	uint64_t until_us = DELEGATED_NONE;
	struct gss_delegated *made;
	enum proof_verdict proof = PROOF_RIGHT;

	if (*credentials != GSS_C_NO_CREDENTIAL)
		proof = check_credentials(*credentials, t->name, &until_us, why);
	if (proof != PROOF_RIGHT)
		return proof;
	made = calloc(1, sizeof(*made));
	if (made == NULL) {
		fail_memory(why, "a delegated ticket");
		return PROOF_FAILED;
	}
	atomic_init(&made->d.refs, 1);
	made->d.free = delegated_free;
	made->d.until_us = until_us;
	memcpy(made->d.principal, t->name, sizeof(made->d.principal));
	made->credentials = *credentials;
	*credentials = GSS_C_NO_CREDENTIAL;
	*t->delegated = &made->d;
	return PROOF_RIGHT;
}
