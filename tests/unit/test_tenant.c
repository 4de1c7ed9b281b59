/* tests/unit/test_tenant.c - how a client names its tenant, and what a tenant's upstream becomes. */
#include "login/login_steps.h"
#include "config/upstream.h"
#include "unit.h"

static const struct {
	const char *rule;
	struct tenant_question q;
	const char *tenant; /* NULL: refused */
	size_t user_len;
	const char *why;
} rows[] = {
	{ "no way is switched on", { "postgres.acme", false, NULL, NULL, "" }, "", 13, "" },
	{ "behind the dot of the user", { "postgres.acme", true, NULL, NULL, "" }, "acme", 8, "" },
	{ "behind the last one", { "jane.doe.acme", true, NULL, NULL, "" }, "acme", 8, "" },
	{ "no dot: no tenant", { "postgres", true, NULL, NULL, "" }, "", 8, "" },
	{ "nothing before the dot", { ".acme", true, NULL, NULL, "" }, "", 5, "" },
	{ "nothing behind it", { "postgres.", true, NULL, NULL, "" }, "", 9, "" },
	{ "what could be no tenant", { "jane.o'hara", true, NULL, NULL, "" }, "", 11, "" },
	{ "an address is no tenant", { "jane.a/b", true, NULL, NULL, "" }, "", 8, "" },
	{ "options", { "postgres", true, "acme", NULL, "" }, "acme", 8, "" },
	{ "options, and a user whose dot means nothing", { "a.b", false, "acme", NULL, "" }, "acme", 3, "" },
	{ "both, the same", { "postgres.acme", true, "acme", NULL, "" }, "acme", 8, "" },
	{ "both, another",
	  { "postgres.acme", true, "other", NULL, "" },
	  NULL,
	  0,
	  "options names tenant \"other\", but" },
	{ "their case counts", { "postgres.acme", true, "Acme", NULL, "" }, NULL, 0, "but the user name names" },
	{ "options of nothing",
	  { "postgres", true, "", NULL, "" },
	  NULL,
	  0,
	  "options names a tenant that cannot exist" },
	{ "a host's name in options", { "u", true, "a.b", NULL, "" }, NULL, 0, "a tenant that cannot exist" },
	{ "a path in options", { "u", true, "../x", NULL, "" }, NULL, 0, "a tenant that cannot exist" },
	{ "a template in options", { "u", true, "%{user}", NULL, "" }, NULL, 0, "a tenant that cannot exist" },
	{ "63 bytes",
	  { "u", true, "123456789_123456789_123456789_123456789_123456789_123456789_123", NULL, "" },
	  "123456789_123456789_123456789_123456789_123456789_123456789_123",
	  1,
	  "" },
	{ "64 bytes",
	  { "u", true, "123456789_123456789_123456789_123456789_123456789_123456789_1234", NULL, "" },
	  NULL,
	  0,
	  "cannot exist" },
	{ "the server name", { "u", false, NULL, "acme.db.example.com", "db.example.com" }, "acme", 1, "" },
	{ "its case does not count", { "u", false, NULL, "Acme.DB.Example.com", "db.example.com" }, "acme", 1, "" },
	{ "a dot before the domain is all right", { "u", false, NULL, "acme.x.y", ".x.y" }, "acme", 1, "" },
	{ "another domain", { "u", false, NULL, "acme.example.org", "db.example.com" }, "", 1, "" },
	{ "the domain itself", { "u", false, NULL, "db.example.com", "db.example.com" }, "", 1, "" },
	{ "no dot before the domain", { "u", false, NULL, "acmedb.example.com", "db.example.com" }, "", 1, "" },
	{ "a dot and no tenant", { "u", false, NULL, ".db.example.com", "db.example.com" }, "", 1, "" },
	{ "two parts", { "u", false, NULL, "a.b.db.example.com", "db.example.com" }, NULL, 0, "the server name names" },
	{ "no domain: the first part", { "u", false, NULL, "acme.whatever.org", "" }, "acme", 1, "" },
	{ "all three", { "u.acme", true, "acme", "acme.x", "x" }, "acme", 1, "" },
	{ "server name and user disagree", { "u.acme", true, NULL, "b.x", "x" }, NULL, 0, "but the server name names" },
};

Test(tenant, rules)
{
	EACH(row, rows) {
		struct tenant_answer a = { "?", 99 };
		struct fail why = { 0 };
		int r = tenant_find(&row->q, &a, &why);

		cr_expect_eq(r, row->tenant != NULL ? 0 : -1, "%s: %s", row->rule, why.text);
		if (r == 0) {
			cr_expect_str_eq(a.tenant, row->tenant, "%s", row->rule);
			cr_expect_eq(a.user_len, row->user_len, "%s", row->rule);
		} else {
			cr_expect_str_eq(why.sqlstate, "28000", "%s", row->rule);
			cr_expect_not_null(strstr(why.text, row->why), "%s: %s", row->rule, why.text);
		}
	}
}

static const struct {
	const char *rule, *upstream, *database, *role, *want; /* want: NULL: refused, and why: */
	const char *why;
} made[] = {
	{ "a fixed upstream", "host=h", "acme/app", "u", "host=h port=5432", "" },
	{ "the tenant's host", "host=%{tenant}.db.internal", "acme/app", "u", "host=acme.db.internal port=5432", "" },
	{ "hosts", "host=%{tenant}-a,%{tenant}-b port=1,2", "x/app", "u", "host=x-a,x-b port=1,2", "" },
	{ "a directory", "host=/run/%{tenant}", "x/app", "u", "host=/run/x port=5432", "" },
	{ "the database", "host=h dbname=%{tenant}_%{database}", "acme/app", "u", "host=h port=5432 dbname=acme_app",
	  "" },
	{ "the user", "host=h user=%{user}_%{tenant}", "acme/app", "u", "host=h port=5432 user=u_acme", "" },
	{ "the user as a database", "host=h dbname=%{user}", "acme/app", "u", "host=h port=5432 dbname=u", "" },
	{ "a setting", "host=h options='-c search_path=%{tenant}'", "acme/app", "u",
	  "host=h port=5432 options='-c search_path=acme'", "" },
	{ "a percent sign", "host=h dbname=100%%", "acme/app", "u", "host=h port=5432 dbname=100%", "" },
	{ "a password is taken as it is", "host=h password=%{tenant}%", "a/b", "u", "host=h port=5432 password=***",
	  "" },
	{ "a database with a slash", "host=h dbname=%{database}", "acme/a/b", "u", "host=h port=5432 dbname=a/b", "" },
	{ "what a name holds is not looked into", "host=h dbname=%{database}", "acme/%{tenant}", "u",
	  "host=h port=5432 dbname=%{tenant}", "" },
	{ "a URI", "postgres://%{user}@%{tenant}.db:6000/%{database}?application_name=%{tenant}", "acme/app", "u",
	  "host=acme.db port=6000 dbname=app user=u application_name=acme", "" },
	{ "a URI's own percent", "postgres://h/%61%25%25", "acme/app", "u", "host=h port=5432 dbname=a%", "" },

	{ "the database is no host", "host=%{database}", "a/b", "u", NULL, "%{database} cannot be in host" },
	{ "nor is the user", "host=%{user}.x", "a/b", "u", NULL, "%{user} cannot be in host" },
	{ "nor does it belong into a setting", "host=h options=%{database}", "a/b", "u", NULL, "cannot be in options" },
	{ "an unknown name", "host=%{tenants}", "a/b", "u", NULL, "a % in host of a tenant is followed by {tenant}" },
	{ "a percent alone", "host=h dbname=100%", "a/b", "u", NULL, "{database}, {user}, or by another %" },
	{ "the user, where it does not tell pools apart", "host=h user=app dbname=%{user}", "a/b", "u", NULL,
	  "%{user} cannot be in dbname" },
	{ "a name too long", "host=h dbname=%{tenant}%{tenant}", "123456789_123456789_123456789_123456789/b", "u", NULL,
	  "dbname of tenant \"123456789_123456789_123456789_123456789\" would be longer than 63 bytes" },
	{ "a tenant that is an address", "host=%{tenant}", "2130706433/b", "u", NULL, "make an address of the host" },
	{ "or a part of one", "host=10.0.0.%{tenant}", "1/b", "u", NULL, "make an address of the host" },
	{ "in hexadecimal digits", "host=%{tenant}", "0x7f000001/b", "u", NULL, "make an address of the host" },
	{ "no tenant at all", "host=h", "app", "u", NULL, "names no tenant" },
	{ "a tenant that can't be", "host=%{tenant}.x", "a.b/app", "u", NULL, "names no tenant" },
};

Test(tenant, upstreams)
{
	EACH(row, made) {
		struct fail why = { 0 };
		struct upstream *up = upstream_parse(row->upstream, true, &why), *one = NULL;
		char *text = NULL;

		if (up != NULL && (one = upstream_fill_in(up, row->database, row->role, &why)) != NULL)
			text = upstream_text(one, false);
		if (row->want != NULL)
			cr_expect_str_eq(text != NULL ? text : why.text, row->want, "%s", row->rule);
		else {
			cr_expect_null(one, "%s: %s", row->rule, text != NULL ? text : "");
			cr_expect_not_null(strstr(why.text, row->why), "%s: %s", row->rule, why.text);
		}
		free(text);
		upstream_free(one);
		upstream_free(up);
	}
}

static const struct {
	const char *rule, *upstream, *database, *user, *want; /* whom servers log in as; NULL: refused */
} users[] = {
	{ "the client's, without its tenant", "host=h", "acme/app", "postgres.acme", "postgres" },
	{ "dots within it stay", "host=h", "acme/app", "a.b.acme", "a.b" },
	{ "the upstream's own", "host=h user=app", "acme/app", "postgres.acme", "app" },
	{ "made of both", "host=h user=%{user}@%{tenant}", "acme/app", "postgres.acme", "postgres@acme" },
	{ "another tenant's", "host=h", "acme/app", "postgres.other", NULL },
	{ "one of no tenant", "host=h", "acme/app", "postgres", NULL },
	{ "one whose name ends alike", "host=h", "acme/app", "postgresacme", NULL },
	{ "nobody", "host=h", "acme/app", ".acme", NULL },
	{ "63 bytes", "host=h", "a/b", "123456789_123456789_123456789_123456789_123456789_123456789_123.a",
	  "123456789_123456789_123456789_123456789_123456789_123456789_123" },
	{ "64 bytes", "host=h", "a/b", "123456789_123456789_123456789_123456789_123456789_123456789_1234.a", NULL },
};

Test(tenant, whom_servers_log_in_as)
{
	EACH(row, users) {
		struct upstream *up = upstream_parse(row->upstream, true, NULL);
		char out[CONFIG_NAME_MAX + 1] = "";
		struct fail why = { 0 };
		int r = upstream_compute_user(up, row->database, row->user, out, &why);

		cr_expect_eq(r, row->want != NULL ? 0 : -1, "%s: %s", row->rule, out);
		if (r == 0 && row->want != NULL)
			cr_expect_str_eq(out, row->want, "%s", row->rule);
		upstream_free(up);
	}
}

Test(tenant, an_upstream_of_no_tenant_is_taken_as_it_is)
{
	struct upstream *up = upstream_parse("host=h dbname=%{database} user=%{user}", false, NULL), *one;
	char out[CONFIG_NAME_MAX + 1];

	cr_assert_not_null(up);
	one = upstream_fill_in(up, "acme/app", "u", NULL);
	cr_assert_not_null(one);
	cr_expect_str_eq(one->dbname, "%{database}");
	cr_expect_eq(upstream_compute_user(up, "acme/app", "u", out, NULL), 0);
	cr_expect_str_eq(out, "%{user}");
	cr_expect_str_eq(upstream_database(up, "acme/app"), "acme/app");
	upstream_free(one);
	upstream_free(up);
	cr_expect_null(upstream_parse("host=%{tenant}", false, NULL), "a brace is in no host's name");
}
