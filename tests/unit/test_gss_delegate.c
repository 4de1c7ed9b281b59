/* tests/unit/test_gss_delegate.c - what a client delegates must be its own. No KDC: tickets are made up. */
#include "modules/gss/gss_context.h"

#include "base/clock.h"
#include "unit.h"

#include <gssapi/gssapi_krb5.h>
#include <krb5.h>
#include <time.h>
#include <unistd.h>

static void
set_up(void)
{
	char path[] = "/tmp/pgweir-test-krb5-XXXXXX";
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	dprintf(fd, "[libdefaults]\ndefault_realm = EXAMPLE.NET\n");
	setenv("KRB5_CONFIG", path, 1);
	close(fd);
}

static void
tear_down(void)
{
	remove(getenv("KRB5_CONFIG"));
}

/* Returns credentials of a client with a first ticket that lasts from an hour ago for so many seconds from now. */
static gss_cred_id_t
credentials_of(const char *client, int seconds)
{
	char garbage[] = "ticket", key[16] = "";
	gss_cred_id_t made = GSS_C_NO_CREDENTIAL;
	krb5_creds ticket = { .ticket = { .length = sizeof(garbage), .data = garbage },
			      .keyblock = { .enctype = ENCTYPE_AES128_CTS_HMAC_SHA1_96,
					    .length = sizeof(key),
					    .contents = (krb5_octet *)key } };
	krb5_context context;
	krb5_ccache cache;
	OM_uint32 minor;

	cr_assert_eq(krb5_init_context(&context), 0);
	cr_assert_eq(krb5_parse_name(context, client, &ticket.client), 0);
	cr_assert_eq(krb5_parse_name(context, "krbtgt/EXAMPLE.NET@EXAMPLE.NET", &ticket.server), 0);
	ticket.times.starttime = (krb5_timestamp)(time(NULL) - 3600);
	ticket.times.endtime = (krb5_timestamp)(time(NULL) + seconds);
	cr_assert_eq(krb5_cc_new_unique(context, "MEMORY", NULL, &cache), 0);
	cr_assert_eq(krb5_cc_initialize(context, cache, ticket.client), 0);
	cr_assert_eq(krb5_cc_store_cred(context, cache, &ticket), 0);
	cr_assert_eq(gss_krb5_import_cred(&minor, cache, NULL, NULL, &made), GSS_S_COMPLETE);
	krb5_cc_close(context, cache); /* the credentials have one of their own */
	krb5_free_principal(context, ticket.client);
	krb5_free_principal(context, ticket.server);
	krb5_free_context(context);
	return made;
}

/* Returns what comes of them where "web@EXAMPLE.NET" has proved who it is. */
static enum proof_verdict
taken(gss_cred_id_t credentials, struct delegated **out, struct fail *why)
{
	struct auth_tokens *t = calloc(1, sizeof(*t));
	enum proof_verdict proof;
	OM_uint32 minor;

	cr_assert_not_null(t);
	snprintf(t->name, sizeof(t->name), "web@EXAMPLE.NET");
	t->delegated = out;
	*out = NULL;
	proof = gss_take_delegated(&credentials, t, why);
	gss_release_cred(&minor, &credentials);
	free(t);
	return proof;
}

TestSuite(gss_delegate, .init = set_up, .fini = tear_down);

Test(gss_delegate, its_own)
{
	uint64_t before_us = clock_now_us();
	struct delegated *d;
	struct fail why;

	cr_assert_eq(taken(credentials_of("web@EXAMPLE.NET", 3600), &d, &why), PROOF_RIGHT);
	cr_expect_str_eq(d->principal, "web@EXAMPLE.NET");
	cr_expect_gt(d->until_us, before_us + 1800 * US_PER_S, "the hour, however slow this machine is");
	cr_expect_leq(d->until_us, clock_now_us() + 3600 * US_PER_S);
	cr_expect_neq(gss_credentials(d), GSS_C_NO_CREDENTIAL);
	delegated_unref(d);
}

Test(gss_delegate, somebody_else_s)
{
	static const char *const others[] = { "reporting@EXAMPLE.NET", "web@EXAMPLE.ORG", "web/admin@EXAMPLE.NET",
					      "Web@EXAMPLE.NET" };

	for (size_t i = 0; i < COUNT(others); i++) {
		struct delegated *d;
		struct fail why;

		cr_expect_eq(taken(credentials_of(others[i], 3600), &d, &why), PROOF_WRONG, "%s", others[i]);
		cr_expect_null(d, "%s", others[i]);
		cr_expect(strstr(why.text, "\"web@EXAMPLE.NET\" delegated a ticket of \"") != NULL, "%s", why.text);
	}
}

Test(gss_delegate, expired_ones_and_none)
{
	struct delegated *d;
	struct fail why;

	cr_assert_eq(taken(credentials_of("web@EXAMPLE.NET", -60), &d, &why), PROOF_RIGHT);
	cr_expect_eq(delegated_check(d, clock_now_us(), &why), -1);
	cr_expect_str_eq(why.text, "the delegated ticket has expired");
	delegated_unref(d);
	cr_assert_eq(taken(GSS_C_NO_CREDENTIAL, &d, &why), PROOF_RIGHT);
	cr_expect_eq(delegated_check(d, clock_now_us(), &why), -1);
	cr_expect_str_eq(why.text, "the client has not delegated its ticket");
	delegated_unref(d);
	cr_expect_eq(gss_credentials(NULL), GSS_C_NO_CREDENTIAL);
}
