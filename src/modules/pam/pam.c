/*
 * src/modules/pam/pam.c - asks PAM whether a password is right for a service (/etc/pam.d/SERVICE). Blocks for as long
 * as the service's modules take.
 */
#include "auth/auth_module.h"
#include "base/alloc.h"
#include "base/text.h"

#include <security/pam_appl.h>

/* Answers the questions of PAM's modules: if the answer must not be echoed, with the password. PAM frees the
 * answers. */
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
			is_good = asked[i]->msg_style != PAM_PROMPT_ECHO_ON; /* pgweir knows only the password */
	if (is_good) {
		*out = answers;
		return PAM_SUCCESS;
	}
	for (int i = 0; i < count; i++)
		secret_free(answers[i].resp);
	free(answers);
	return PAM_CONV_ERR;
}

/* Replaces PAM's pause after a wrong password, which would block a thread; pgweir has its own: login_failure_delay. */
static void
do_not_pause(int result, unsigned us, void *password)
{
}

/* Returns true if PAM has not judged the password at all. PAM_SYSTEM_ERR counts as a judgement, because some modules
 * (pam_exec) also return it for a wrong password. */
static bool
is_unjudged(int result)
{
	return result == PAM_OPEN_ERR || result == PAM_SYMBOL_ERR || result == PAM_BUF_ERR || result == PAM_CONV_ERR ||
	       result == PAM_ABORT || result == PAM_AUTHINFO_UNAVAIL || result == PAM_MODULE_UNKNOWN;
}

/* Options of a rule. service is NULL if the rule names none. */
struct pam_options {
	char *service;
};

static void *
options_new(void)
{
	return xcalloc(1, sizeof(struct pam_options));
}

static int
take_option(void *options, const char *name, const char *value, struct fail *why)
{
	struct pam_options *o = options;

	if (strcmp(name, "pamservice") != 0)
		return fail_set(why, "F0000", "option \"%.100s\" is not known: with pam, use pamservice", name);
	free(o->service);
	o->service = xstrdup(value);
	return 0;
}

static void
options_free(void *options)
{
	struct pam_options *o = options;

	if (o != NULL)
		free(o->service);
	free(o);
}

static const char *
service_of(const void *options, const char *setting)
{
	const struct pam_options *o = options;

	return o->service != NULL ? o->service : setting;
}

static enum proof_verdict
prove(const struct auth_question *q, struct fail *why)
{
	const struct pam_conv conversation = { converse, (void *)(uintptr_t)q->password };
	union {
		void (*function)(int result, unsigned us, void *password);
		const void *item;
	} pause = { .function = do_not_pause };
	const char *service = service_of(q->options, q->setting);
	pam_handle_t *pam = NULL;
	int r = pam_start(service, q->user, &conversation, &pam);
	enum proof_verdict proof;

	if (r == PAM_SUCCESS)
		r = pam_set_item(pam, PAM_RHOST, q->address);
	if (r == PAM_SUCCESS)
		r = pam_set_item(pam, PAM_FAIL_DELAY, pause.item);
	if (r == PAM_SUCCESS)
		r = pam_authenticate(pam, PAM_SILENT);
	if (r == PAM_SUCCESS)
		r = pam_acct_mgmt(pam, PAM_SILENT);
	proof = r == PAM_SUCCESS ? PROOF_RIGHT : is_unjudged(r) ? PROOF_FAILED : PROOF_WRONG;
	if (proof != PROOF_RIGHT)
		fail_set(why, proof == PROOF_WRONG ? "28000" : "57P03", "PAM service \"%.64s\": %s", service,
			 pam_strerror(pam, r));
	if (pam != NULL)
		pam_end(pam, r);
	return proof;
}

const struct auth_module auth_module_pam = { .title = "PAM",
					     .rule = "pam pamservice=\"%s\"",
					     .options_new = options_new,
					     .option = take_option,
					     .options_free = options_free,
					     .service_name = service_of,
					     .judge_proof = prove };
