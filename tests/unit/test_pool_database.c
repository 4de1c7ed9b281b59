/* tests/unit/test_pool_database.c - databases found by their names, and forgotten. */
#include "config/config_origin.h"
#include "pool/pool_database.h"
#include "load/load_state.h"
#include "unit.h"

static struct config *
config_of(const char *text)
{
	struct config_problems problems = { 0 };
	struct config *c = load_text(text, strlen(text), "pgweir.ini", NULL, 0, &problems);

	cr_assert_not_null(c, "%s", problems.count > 0 ? problems.list[0].text : "");
	config_problems_fini(&problems);
	return c;
}

#define TENANTS                                                                                                        \
	"[auth]\nmethod = trust\n[pgweir]\ntenants = user\n[tenant *]\nupstream = host=h\n"                            \
	"[database listed]\nupstream = host=h\n[database *]\nupstream = host=h\n"
#define NO_TENANTS "[auth]\nmethod = trust\n[database *]\nupstream = host=h\n"

static size_t
count(const struct pool_databases *all)
{
	size_t n = 0;

	for (const struct pool_database *d = all->first; d != NULL; d = d->next)
		n++;
	return n;
}

Test(pool_database, is_found_by_its_name)
{
	struct config *c = config_of(TENANTS);
	struct pool_databases all = { 0 };
	struct pool_database *tenant = pool_database_get_or_create(&all, c, "acme/one"),
			     *listed = pool_database_get_or_create(&all, c, "listed");

	cr_expect_eq(pool_database_find(&all, "acme/one"), tenant);
	cr_expect_eq(pool_database_find(&all, "listed"), listed);
	cr_expect_null(pool_database_find(&all, "acme"));
	cr_expect_null(pool_database_find(&all, ""));
	pool_databases_fini(&all);
	config_unref(c);
}

Test(pool_database, those_with_a_section_and_paused_ones_stay)
{
	struct config *c = config_of(TENANTS);
	struct pool_databases all = { 0 };
	struct pool_database *listed = pool_database_get_or_create(&all, c, "listed"),
			     *any = pool_database_get_or_create(&all, c, "any"),
			     *paused = pool_database_get_or_create(&all, c, "acme/paused");

	paused->is_paused = true;
	pool_database_forget_if_unneeded(&all, c, listed);
	pool_database_forget_if_unneeded(&all, c, paused);
	cr_expect_eq(count(&all), 3);
	pool_database_forget_if_unneeded(&all, c, any);
	cr_expect_eq(count(&all), 2);
	pool_databases_fini(&all);
	config_unref(c);
}

Test(pool_database, a_name_with_a_slash_is_another_once_there_are_tenants)
{
	struct config *before = config_of(NO_TENANTS), *after = config_of(TENANTS);
	struct pool_databases all = { 0 };
	struct pool_database *plain = pool_database_get_or_create(&all, before, "acme/one"),
			     *tenant = pool_database_get_or_create(&all, after, "acme/one");

	cr_expect_neq(plain, tenant);
	cr_expect(!plain->is_of_tenant && tenant->is_of_tenant);
	pool_databases_fini(&all);
	config_unref(before);
	config_unref(after);
}
