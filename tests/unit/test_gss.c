/* tests/unit/test_gss.c - the options of GSSAPI authentication, and which name a principal logs in by. */
#include "modules/gss/gss.h"
#include "unit.h"

#define LONG                                                                                                           \
	"ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss" \
	"ss"                                                                                                           \
	"ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss"

extern const struct auth_module auth_module_gss;

/* Takes options with bars between. Returns NULL with *why set if one is refused. */
static struct gss_options *
options_of(const char *options, struct fail *why)
{
	struct gss_options *o = auth_module_gss.options_new();
	char *text = strdup(options), *rest = text, *option;
	int r = 0;

	cr_assert_not_null(text);
	while (r == 0 && (option = strsep(&rest, "|")) != NULL && *option != '\0') {
		char *value = strchr(option, '=');

		*value++ = '\0';
		r = auth_module_gss.option(o, option, value, why);
	}
	free(text);
	if (r == 0)
		return o;
	auth_module_gss.options_free(o);
	return NULL;
}

#define BARE "include_realm=0"
#define OURS "krb_realm=EXAMPLE.NET"

static const struct {
	const char *rule, *options, *principal, *name;
} rows[] = {
	{ "the whole principal", "", "web@EXAMPLE.NET", "web@EXAMPLE.NET" },
	{ "PostgreSQL's own word for that", "include_realm=1", "web@EXAMPLE.NET", "web@EXAMPLE.NET" },
	{ "without its realm", BARE, "web@EXAMPLE.NET", "web" },
	{ "the later of two", "include_realm=0|include_realm=1", "web@EXAMPLE.NET", "web@EXAMPLE.NET" },
	{ "of the realm", OURS, "web@EXAMPLE.NET", "web@EXAMPLE.NET" },
	{ "of the realm, without it", BARE "|" OURS, "web@EXAMPLE.NET", "web" },
	{ "of another", BARE "|" OURS, "web@EXAMPLE.ORG", NULL },
	{ "of one that begins so", BARE "|" OURS, "web@EXAMPLE.NET.ORG", NULL },
	{ "of one that ends so", BARE "|" OURS, "web@AN.EXAMPLE.NET", NULL },
	{ "in other letters", OURS, "web@example.net", NULL },
	{ "of none", OURS, "web", NULL },
	{ "of an empty one", OURS, "web@", NULL },
	{ "no realm is required", BARE, "web", "web" },
	{ "no realm is required any more", OURS "|krb_realm=", "web@EXAMPLE.ORG", "web@EXAMPLE.ORG" },
	{ "an instance is a part of the name", BARE, "web/admin@EXAMPLE.NET", "web/admin" },
	{ "an @ within the name", BARE "|" OURS, "web\\@EXAMPLE.NET@EXAMPLE.ORG", NULL },
	{ "an @ within the name, of the realm", BARE "|" OURS, "a\\@EXAMPLE.ORG@EXAMPLE.NET", "a\\@EXAMPLE.ORG" },
	{ "a backslash before the @", BARE "|" OURS, "a\\\\@EXAMPLE.NET", "a\\\\" },
	{ "a backslash at the end", BARE, "a\\", "a\\" },
	{ "nobody", BARE, "@EXAMPLE.NET", "" },
};

Test(gss, names)
{
	EACH(row, rows) {
		char principal[64];
		struct fail why;
		struct gss_options *o = options_of(row->options, &why);
		const char *name;

		cr_assert_not_null(o, "%s", row->rule);
		snprintf(principal, sizeof(principal), "%s", row->principal);
		name = gss_name(o, principal, &why);
		if (row->name == NULL)
			cr_expect(name == NULL && strcmp(why.sqlstate, "28000") == 0, "%s", row->rule);
		else
			cr_expect(name != NULL && strcmp(name, row->name) == 0, "%s: %s", row->rule, name);
		auth_module_gss.options_free(o);
	}
}

static const struct {
	const char *options, *said;
} wrong[] = {
	{ "include_realm=yes", "include_realm=yes: use 0 or 1" },
	{ "include_realm=", "include_realm=: use 0 or 1" },
	{ "krb5_realm=A",
	  "option \"krb5_realm\" is not known: with gss, use include_realm, krb_realm, map or krb_server_keyfile" },
	{ "compat_realm=1", "option \"compat_realm\" is not known" },
};

Test(gss, wrong_options)
{
	EACH(row, wrong) {
		struct fail why;

		cr_assert_null(options_of(row->options, &why), "%s", row->options);
		cr_expect_eq(strncmp(why.text, row->said, strlen(row->said)), 0, "%s", why.text);
	}
}

static void
note(void *to, const char *text)
{
	snprintf(to, 200, "%s", text);
}

static const struct {
	const char *options, *said; /* NULL: nothing */
} doubted[] = {
	{ "", NULL },
	{ OURS, NULL },
	{ BARE "|" OURS, NULL },
	{ BARE, "include_realm=0 without krb_realm" },
	{ "krb_server_keyfile=/dev/null", NULL },
	{ "krb_server_keyfile=/dev/null/x", "krb_server_keyfile=/dev/null/x: Not a directory" },
	{ "krb_server_keyfile=FILE:/nowhere/x", "krb_server_keyfile=/nowhere/x: No such file" },
	{ "krb_server_keyfile=WRFILE:/nowhere/x", "krb_server_keyfile=/nowhere/x: No such file" },
	{ "krb_server_keyfile=MEMORY:x", NULL },
	{ "krb_server_keyfile=/nowhere/a:b", "krb_server_keyfile=/nowhere/a:b: No such file" },
};

Test(gss, doubts)
{
	EACH(row, doubted) {
		char said[200] = "";
		struct fail why;
		struct gss_options *o = options_of(row->options, &why);

		cr_assert_not_null(o, "%s", row->options);
		auth_module_gss.warn(o, note, said);
		if (row->said == NULL)
			cr_expect_str_empty(said, "%s: %s", row->options, said);
		else
			cr_expect_eq(strncmp(said, row->said, strlen(row->said)), 0, "%s", said);
		auth_module_gss.options_free(o);
	}
}

Test(gss, a_keytab_is_a_place)
{
	struct fail why;
	struct gss_options *one = options_of("krb_server_keyfile=/a", &why), *none = options_of("", &why);

	cr_expect_str_eq(auth_module_gss.service_name(one, ""), "/a");
	cr_expect_str_eq(auth_module_gss.service_name(none, ""), "the default keytab");
	auth_module_gss.options_free(one);
	auth_module_gss.options_free(none);
	auth_module_gss.options_free(NULL);
	gss_context_free(NULL);
}

/* What is no token is refused without a keytab that is good, or with one. */
Test(gss, no_keytab)
{
	struct fail why = { 0 };
	struct gss_options *o = options_of("krb_server_keyfile=/nowhere/keytab", &why);
	struct auth_tokens tokens = { .token = (const uint8_t *)"x", .token_len = 1 };
	struct auth_question q = { .options = o, .setting = "", .user = "u", .tokens = &tokens };

	cr_expect_eq(gss_judge(&q, &why), PROOF_FAILED);
	cr_expect_str_eq(why.sqlstate, "57P03");
	cr_expect_not_null(strstr(why.text, "/nowhere/keytab"), "%s", why.text);
	gss_context_free(tokens.context);
	buf_fini(&tokens.reply);
	auth_module_gss.options_free(o);
}

static const struct {
	struct auth_server to;
	const char *said; /* in the middle */
} no_tickets[] = {
	{ { .host = "/run/postgresql" }, "GSSAPI: a Unix socket is not the name of a host" },
	{ { .host = "db1", .service = LONG LONG LONG }, "is not the name of a host" },
	{ { .host = "127.0.0.1" }, "GSSAPI: could not get a ticket for postgres@127.0.0.1: " },
	{ { .host = "127.0.0.1", .service = "db" }, "GSSAPI: could not get a ticket for db@127.0.0.1: " },
};

Test(gss, no_ticket)
{
	setenv("KRB5_CONFIG", "/dev/null", 1);
	setenv("KRB5CCNAME", "FILE:/nowhere/tickets", 1);
	setenv("KRB5_CLIENT_KTNAME", "/nowhere/keytab", 1);
	for (size_t i = 0; i < COUNT(no_tickets); i++) {
		struct fail why = { 0 };
		struct auth_tokens tokens = { 0 };

		cr_expect_eq(gss_make_token(&no_tickets[i].to, &tokens, &why), PROOF_WRONG, "%zu", i);
		cr_expect_str_eq(why.sqlstate, "28000");
		cr_expect_not_null(strstr(why.text, no_tickets[i].said), "%s", why.text);
		cr_expect_eq(tokens.reply.len, 0);
		gss_context_free(tokens.context);
		buf_fini(&tokens.reply);
	}
}
