/* src/modules/gss/gss.c - the options of GSSAPI authentication, and its struct auth_module. See gss.h. */
#include "modules/gss/gss.h"
#include "base/alloc.h"

#include <errno.h>

#define AUTHENTICATION_GSS 7u

static void *
options_new(void)
{
	return xcalloc(1, sizeof(struct gss_options));
}

static void
options_free(void *options)
{
	struct gss_options *o = options;

	if (o != NULL) {
		free(o->realm);
		free(o->keytab);
	}
	free(o);
}

static void
replace(char **text, const char *value)
{
	free(*text);
	*text = *value != '\0' ? xstrdup(value) : NULL;
}

static int
take_option(void *options, const char *name, const char *value, struct fail *why)
{
	struct gss_options *o = options;

	if (strcmp(name, "krb_realm") == 0)
		replace(&o->realm, value);
	else if (strcmp(name, "krb_server_keyfile") == 0)
		replace(&o->keytab, value);
	else if (strcmp(name, "include_realm") != 0)
		return fail_set(why, "F0000",
				"option \"%.100s\" is not known: with gss, use include_realm, krb_realm, map or "
				"krb_server_keyfile",
				name);
	else if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
		return fail_set(why, "F0000", "include_realm=%.100s: use 0 or 1", value);
	else
		o->form = *value == '0' ? REALM_LEFT_OUT : REALM_INCLUDED;
	return 0;
}

/* Returns the path of the keytab, or NULL if the keytab is not a file, or the rule names no keytab. */
static const char *
path_of(const struct gss_options *o)
{
	const char *colon = o->keytab != NULL ? strchr(o->keytab, ':') : NULL;

	if (colon == NULL || o->keytab[0] == '/')
		return o->keytab;
	return strncmp(o->keytab, "FILE:", 5) == 0 || strncmp(o->keytab, "WRFILE:", 7) == 0 ? colon + 1 : NULL;
}

static void
warn(const void *options, void (*say)(void *arg, const char *text), void *arg)
{
	const struct gss_options *o = options;
	const char *path = path_of(o);
	char *text;

	if (o->form == REALM_LEFT_OUT && o->realm == NULL)
		say(arg,
		    "include_realm=0 without krb_realm: users of any realm that this one trusts log in as those of "
		    "the same name here");
	if (path == NULL || access(path, R_OK) == 0)
		return;
	text = xasprintf("krb_server_keyfile=%.150s: %s", path, strerror(errno));
	say(arg, text);
	free(text);
}

static const char *
service_name(const void *options, const char *setting)
{
	const struct gss_options *o = options;

	return o->keytab != NULL ? o->keytab : "the default keytab";
}

const char *
gss_name(const struct gss_options *o, char *principal, struct fail *why)
{
	char *at = principal;

	/* A backslash escapes the next character, which may be an @ that belongs to the name. */
	while (*at != '\0' && *at != '@')
		at += *at == '\\' && at[1] != '\0' ? 2 : 1;
	if (o->realm != NULL && (*at == '\0' || strcmp(at + 1, o->realm) != 0)) {
		fail_set(why, "28000", "GSSAPI: \"%.100s\" is not of the realm \"%.60s\" (krb_realm)", principal,
			 o->realm);
		return NULL;
	}
	if (o->form == REALM_LEFT_OUT)
		*at = '\0';
	return principal;
}

const struct auth_module auth_module_gss = { .title = "GSSAPI",
					     .wrong_reason = "ticket refused",
					     .rule = "gss %s",
					     .token_request = AUTHENTICATION_GSS,
					     .options_new = options_new,
					     .option = take_option,
					     .warn = warn,
					     .options_free = options_free,
					     .service_name = service_name,
					     .judge_proof = gss_judge,
					     .make_token = gss_make_token,
					     .context_free = gss_context_free };
