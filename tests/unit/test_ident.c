/* tests/unit/test_ident.c - maps of names. Links auth and base alone. */
#include "auth/hba.h"
#include "unit.h"

struct problems {
	size_t error_count;
	char first[1024];
};

static void
note(bool is_error, const char *path, unsigned line, const char *text, void *arg)
{
	struct problems *p = arg;

	cr_expect(is_error);
	if (p->error_count++ == 0)
		snprintf(p->first, sizeof(p->first), "%s:%u: %s", path, line, text);
}

static struct ident *
parse(const char *text, struct problems *p)
{
	size_t len = strlen(text);
	char *exact = malloc(len + 1);
	struct ident *ident;

	memset(p, 0, sizeof(*p));
	memcpy(exact + 1, text, len);
	ident = ident_load(exact + 1, len, "ident", note, p);
	free(exact);
	return ident;
}

static const struct {
	const char *rule, *text, *map, *name, *user;
	bool is_allowed;
} rows[] = {
	{ "a line", "m alice web\n", "m", "alice", "web", true },
	{ "another name", "m alice web\n", "m", "bob", "web", false },
	{ "another user", "m alice web\n", "m", "alice", "app", false },
	{ "the same name is not allowed by itself", "m alice web\n", "m", "web", "web", false },
	{ "another map", "m alice web\n", "n", "alice", "web", false },
	{ "a later line", "m alice web\nm alice app\n", "m", "alice", "app", true },
	{ "no map: the same name", "m alice web\n", NULL, "alice", "alice", true },
	{ "no map: another", "m alice web\n", NULL, "alice", "web", false },
	{ "an empty map is none", "m alice web\n", "", "alice", "alice", true },
	{ "capitals of the name", "m alice web\n", "m", "Alice", "web", false },
	{ "capitals of the user", "m alice web\n", "m", "alice", "Web", false },
	{ "capitals of the map", "m alice web\n", "M", "alice", "web", false },
	{ "quotes", "\"my map\" \"Alice A.\" \"web user\"\n", "my map", "Alice A.", "web user", true },
	{ "comments and continued lines", "# x\nm \\\nalice web # y\n", "m", "alice", "web", true },
	{ "all", "m alice all\n", "m", "alice", "anyone", true },
	{ "a quoted all is a name", "m alice \"all\"\n", "m", "alice", "anyone", false },
	{ "all of a name is a name", "m all web\n", "m", "alice", "web", false },
	{ "an expression", "m /^a.*e$ web\n", "m", "alice", "web", true },
	{ "it does not fit", "m /^a.*e$ web\n", "m", "bob", "web", false },
	{ "it is found anywhere", "m /lic web\n", "m", "alice", "web", true },
	{ "its first parentheses", "m /^(.*)@acme\\.com$ \\1\n", "m", "bob@acme.com", "bob", true },
	{ "are not another name", "m /^(.*)@acme\\.com$ \\1\n", "m", "bob@acme.com", "alice", false },
	{ "nor half of it", "m /^(.*)@acme\\.com$ \\1\n", "m", "bob@acme.com", "bo", false },
	{ "nor more", "m /^(.*)@acme\\.com$ \\1\n", "m", "bob@acme.com", "bobby", false },
	{ "a domain like it", "m /^(.*)@acme\\.com$ \\1\n", "m", "bob@acmexcom", "bob", false },
	{ "with something around", "m /^([a-z]+)@ app_\\1_ro\n", "m", "bob@x", "app_bob_ro", true },
	{ "with something else around", "m /^([a-z]+)@ app_\\1_ro\n", "m", "bob@x", "app_bob_rw", false },
	{ "the second \\1 is not replaced", "m /^(a) \\1\\1\n", "m", "a", "a\\1", true },
	{ "parentheses that took no part", "m /^a(b)?c$ \\1\n", "m", "ac", "", false },
	{ "what they matched is no keyword", "m /^(.*)$ \\1\n", "m", "all", "anyone", false },
	{ "nor an expression", "m /^(.*)$ \\1\n", "m", "/x", "x", false },
	{ "\\1 without an expression is text", "m alice \\1\n", "m", "alice", "\\1", true },
	{ "an expression of users", "m alice /^web_\n", "m", "alice", "web_1", true },
	{ "other users", "m alice /^web_\n", "m", "alice", "app_1", false },
	{ "both", "m /^admin /^web_\n", "m", "admin1", "web_1", true },
	{ "a member", "m alice +staff\n", "m", "alice", "web", true },
	{ "not a member", "m alice +others\n", "m", "alice", "web", false },
	{ "a member in a later line", "m alice +others\nm alice +staff\n", "m", "alice", "web", true },
	{ "another name of a member", "m bob +staff\n", "m", "alice", "web", false },
	{ "of an expression", "m /^al +staff\n", "m", "alice", "web", true },
	{ "a quoted plus is a name", "m alice \"+staff\"\n", "m", "alice", "+staff", true },
	{ "and no role", "m alice \"+staff\"\n", "m", "alice", "web", false },
	{ "what is replaced in is no role", "m /^(al) +\\1\n", "m", "alice", "+al", true },
	{ "a map called include", "include alice web\n", "include", "alice", "web", true },
};

static enum hba_fit
is_member(const char *role, void *unused)
{
	cr_expect_neq(role[0], '+');
	return strcmp(role, "staff") == 0 ? HBA_YES : strcmp(role, "later") == 0 ? HBA_LATER : HBA_NO;
}

Test(ident, a_role_is_asked_where_the_line_is_reached)
{
	struct problems p;
	struct ident *ident = parse("m alice web\nm alice +later\nm alice reporting\nm bob +staff\n", &p);

	cr_assert_not_null(ident, "%s", p.first);
	cr_expect(ident_has_roles(ident));
	cr_expect_eq(ident_allows(ident, "m", "alice", "web", is_member, NULL), HBA_YES);
	cr_expect_eq(ident_allows(ident, "m", "alice", "reporting", is_member, NULL), HBA_LATER);
	cr_expect_eq(ident_allows(ident, "m", "alice", "reporting", NULL, NULL), HBA_YES);
	cr_expect_eq(ident_allows(ident, "m", "bob", "reporting", NULL, NULL), HBA_NO);
	ident_unref(ident);
	ident = parse("m alice \"+staff\"\nm /^(a) +\\1\n", &p);
	cr_expect_not(ident_has_roles(ident));
	ident_unref(ident);
}

Test(ident, who_is_allowed)
{
	EACH(row, rows) {
		struct problems p;
		struct ident *ident = parse(row->text, &p);

		cr_assert_not_null(ident, "%s: %s", row->rule, p.first);
		cr_expect_eq(ident_allows(ident, row->map, row->name, row->user, is_member, NULL),
			     row->is_allowed ? HBA_YES : HBA_NO, "%s", row->rule);
		ident_unref(ident);
	}
}

Test(ident, without_a_file)
{
	cr_expect_eq(ident_allows(NULL, NULL, "a", "a", NULL, NULL), HBA_YES);
	cr_expect_eq(ident_allows(NULL, NULL, "a", "b", NULL, NULL), HBA_NO);
	cr_expect_eq(ident_allows(NULL, "m", "a", "a", NULL, NULL), HBA_NO);
	cr_expect_not(ident_has_roles(NULL));
	cr_expect_not(ident_has_map(NULL, "m"));
	ident_unref(NULL);
}

static const struct {
	const char *rule, *text, *problem;
} bad[] = {
	{ "two words", "m alice\n",
	  "ident:1: a line must have three fields: map name, system user name and database user name" },
	{ "four words", "\nm alice web app\n", "ident:2: a line must have three fields" },
	{ "a list", "m alice,bob web\n", "ident:1: a line must have three fields" },
	{ "a plus alone", "m alice +\n", "ident:1: \"+\" names no role" },
	{ "nothing to replace with", "m /^a \\1\n",
	  "ident:1: \"/^a\" has no parentheses that the \\1 in \"\\1\" could" },
	{ "a bad expression", "m /( web\n", "ident:1: regular expression \"(\": " },
	{ "one of users", "m a /\\w\n", "ident:1: regular expression \"\\w\": a backslash before a letter" },
	{ "an open quote", "m \"a web\n", "ident:1: a quote is not closed on its line" },
};

Test(ident, what_is_refused_and_why)
{
	EACH(row, bad) {
		struct problems p;

		cr_expect_null(parse(row->text, &p), "%s", row->rule);
		cr_expect_eq(p.error_count, 1, "%s", row->rule);
		cr_expect(strncmp(p.first, row->problem, strlen(row->problem)) == 0, "%s: got %s", row->rule, p.first);
	}
}

Test(ident, maps_are_known_by_name)
{
	struct problems p;
	struct ident *ident = parse("# none yet\n", &p);

	cr_assert_not_null(ident, "an empty file is fine");
	cr_expect_not(ident_has_map(ident, "m"));
	ident_unref(ident);
	ident = parse("m a b\n", &p);
	cr_expect(ident_has_map(ident, "m"));
	cr_expect_not(ident_has_map(ident, "a"));
	ident_unref(ident_ref(ident));
	ident_unref(ident);
}
