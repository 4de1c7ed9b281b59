/* tests/unit/test_delegation.c - whose a pool's connections are, and who may use them. */
#include "auth/delegation.h"
#include "unit.h"

#define NOW 1000u

static void
made_free(struct delegated *d)
{
	free(d);
}

static struct delegated *
made(const char *principal, uint64_t until_us)
{
	struct delegated *d = calloc(1, sizeof(*d));

	cr_assert_not_null(d);
	atomic_init(&d->refs, 1);
	d->free = made_free;
	d->until_us = until_us;
	snprintf(d->principal, sizeof(d->principal), "%s", principal);
	return d;
}

static const struct {
	const char *rule, *owner;
	uint64_t owner_until_us;
	const char *client; /* NULL: without a ticket */
	uint64_t client_until_us;
	bool is_free;
	const char *refusal; /* how it begins; NULL: the client comes in */
	const char *owner_then;
	uint64_t until_then_us;
} rows[] = {
	{ "the first that delegates is the owner", NULL, 0, "a@R", NOW + 1, true, NULL, "a@R", NOW + 1 },
	{ "not while somebody else is there", NULL, 0, "a@R", NOW + 1, false, "the pool still has", NULL, 0 },
	{ "nor if it has delegated nothing", NULL, 0, "a@R", DELEGATED_NONE, true, "the client has not", NULL, 0 },
	{ "nor what has expired", NULL, 0, "a@R", NOW, true, "the delegated ticket has", NULL, 0 },
	{ "without a ticket nobody is", NULL, 0, NULL, 0, true, "the client has logged in without", NULL, 0 },
	{ "nor comes in", "a@R", NOW + 1, NULL, 0, true, "the client has logged in without", "a@R", NOW + 1 },
	{ "the newest takes its place", "a@R", NOW + 9, "a@R", NOW + 5, false, NULL, "a@R", NOW + 5 },
	{ "also of one that has expired", "a@R", NOW, "a@R", NOW + 5, false, NULL, "a@R", NOW + 5 },
	{ "but not what has expired itself", "a@R", NOW + 9, "a@R", NOW, true, "the delegated ticket has", "a@R",
	  NOW + 9 },
	{ "the owner need not delegate again", "a@R", NOW + 1, "a@R", DELEGATED_NONE, false, NULL, "a@R", NOW + 1 },
	{ "until it has expired", "a@R", NOW, "a@R", DELEGATED_NONE, true, "the delegated ticket has", "a@R", NOW },
	{ "another one is not the owner", "a@R", NOW + 1, "b@R", NOW + 9, true, "the server connections", "a@R",
	  NOW + 1 },
	{ "nor when that has expired", "a@R", NOW, "b@R", NOW + 9, true, "the server connections", "a@R", NOW },
	{ "nor by delegating nothing", "a@R", NOW + 1, "b@R", DELEGATED_NONE, true, "the server connections", "a@R",
	  NOW + 1 },
	{ "a realm is a part of the name", "a@R", NOW + 1, "a@S", NOW + 9, true, "the server connections", "a@R",
	  NOW + 1 },
	{ "so is its case", "a@R", NOW + 1, "A@R", NOW + 9, true, "the server connections", "a@R", NOW + 1 },
};

Test(delegation, rules)
{
	EACH(row, rows) {
		struct delegator *of = delegator_new();
		struct delegated *client = row->client != NULL ? made(row->client, row->client_until_us) : NULL;
		struct fail why = { 0 };
		int r;

		cr_assert_not_null(of);
		if (row->owner != NULL)
			of->owner_credentials = made(row->owner, row->owner_until_us);
		r = delegator_admit_client(of, client, row->is_free, NOW, &why);
		delegated_unref(client); /* what was taken has a reference of its own */
		cr_expect_eq(r, row->refusal == NULL ? 0 : -1, "%s", row->rule);
		if (row->refusal != NULL)
			cr_expect(strncmp(why.text, row->refusal, strlen(row->refusal)) == 0 &&
				      strcmp(why.sqlstate, "28000") == 0 && *why.detail != '\0' && *why.hint != '\0',
				  "%s: %s", row->rule, why.text);
		cr_expect_eq(of->owner_credentials == NULL, row->owner_then == NULL, "%s", row->rule);
		if (of->owner_credentials != NULL && row->owner_then != NULL) {
			cr_expect_str_eq(of->owner_credentials->principal, row->owner_then, "%s", row->rule);
			cr_expect_eq(of->owner_credentials->until_us, row->until_then_us, "%s", row->rule);
		}
		delegator_unref(of);
	}
}

Test(delegation, what_was_delegated_outlives_its_pool)
{
	struct delegator *of = delegator_new();
	struct delegated *d = made("a@R", NOW + 1);
	struct fail why;

	cr_assert_not_null(of);
	cr_expect_eq(delegator_admit_client(delegator_ref(of), d, true, NOW, &why), 0);
	delegator_unref(of);
	delegator_unref(of);
	cr_expect_eq(delegated_check(d, NOW, &why), 0);
	cr_expect_eq(delegated_check(d, NOW + 1, &why), -1);
	cr_expect_eq(delegated_check(NULL, NOW, &why), -1);
	delegated_unref(d);
	delegated_unref(NULL);
	delegator_unref(NULL);
}
