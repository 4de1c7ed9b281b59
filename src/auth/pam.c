/* src/auth/pam.c - asks PAM whether a password is right. See proof.h. */
#include "auth/proof.h"

#include "build.h"

#ifdef HAVE_LIBPAM
#include "base/text.h"

#include <security/pam_appl.h>

/* Answers what modules ask: the password, wherever a text is asked for that must not be seen. PAM frees it. */
static int
converse(int count, const struct pam_message **asked, struct pam_response **out, void *password)
{
	struct pam_response *answers;
	bool is_good = true;

	if (count < 1 || count > PAM_MAX_NUM_MSG || (answers = calloc((size_t)count, sizeof(*answers))) == NULL)
		return PAM_CONV_ERR;
	for (int i = 0; i < count && is_good; i++)
		if (asked[i]->msg_style == PAM_PROMPT_ECHO_OFF)
			is_good = (answers[i].resp = strdup(password)) != NULL;
		else
			is_good = asked[i]->msg_style != PAM_PROMPT_ECHO_ON; /* we know nothing else to say */
	if (is_good) {
		*out = answers;
		return PAM_SUCCESS;
	}
	for (int i = 0; i < count; i++)
		secret_free(answers[i].resp);
	free(answers);
	return PAM_CONV_ERR;
}

/* In place of PAM's own pause after a wrong password, which would keep a thread: login_failure_delay is ours. */
static void
do_not_pause(int result, unsigned us, void *password)
{
	(void)result;
	(void)us;
	(void)password;
}

/* Returns true if PAM has not judged the password at all. Modules say PAM_SYSTEM_ERR of wrong ones, too (pam_exec). */
static bool
is_failure(int result)
{
	return result == PAM_OPEN_ERR || result == PAM_SYMBOL_ERR || result == PAM_BUF_ERR || result == PAM_CONV_ERR ||
	       result == PAM_ABORT || result == PAM_AUTHINFO_UNAVAIL || result == PAM_MODULE_UNKNOWN;
}

enum proof
pam_prove(const char *service, const char *user, const char *password, const char *address, struct fail *why)
{
	const struct pam_conv conversation = { converse, (void *)(uintptr_t)password };
	union {
		void (*function)(int result, unsigned us, void *password);
		const void *item;
	} pause = { .function = do_not_pause };
	pam_handle_t *pam = NULL;
	int r = pam_start(service, user, &conversation, &pam);
	enum proof proof;

	if (r == PAM_SUCCESS)
		r = pam_set_item(pam, PAM_RHOST, address);
	if (r == PAM_SUCCESS)
		r = pam_set_item(pam, PAM_FAIL_DELAY, pause.item);
	if (r == PAM_SUCCESS)
		r = pam_authenticate(pam, PAM_SILENT);
	if (r == PAM_SUCCESS)
		r = pam_acct_mgmt(pam, PAM_SILENT);
	proof = r == PAM_SUCCESS ? PROOF_RIGHT : is_failure(r) ? PROOF_FAILED : PROOF_WRONG;
	if (proof != PROOF_RIGHT)
		fail_set(why, proof == PROOF_WRONG ? "28000" : "57P03", "PAM service \"%.64s\": %s", service,
			 pam_strerror(pam, r));
	if (pam != NULL)
		pam_end(pam, r);
	return proof;
}

#else

enum proof
pam_prove(const char *service, const char *user, const char *password, const char *address, struct fail *why)
{
	(void)service;
	(void)user;
	(void)password;
	(void)address;
	fail_set(why, "0A000", "%s", proof_unavailable("pam"));
	return PROOF_FAILED;
}

#endif
