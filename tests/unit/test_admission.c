/* tests/unit/test_admission.c - clients count in their database, those of a tenant's databases together. */
#include "admission/admission.h"
#include "load/load_state.h"
#include "unit.h"

#define LIMIT 2
#define CLIENTS 5
#define DATABASES "[database *]\nupstream = host=h\n"
#define TENANTS "[pgweir]\ntenants = user\n[tenant *]\nupstream = host=h\n"

struct main_worker {
	struct admission *admission;
	struct config *config;
	struct event_base *base;
	uint64_t now_us;
	struct admission_place places[CLIENTS];
};

/* So much for the reason; the owner is not closed by it. */
static void
on_refuse(struct admission_place *t, const struct fail *why, enum reject_reason reason)
{
	cr_expect_str_eq(why->sqlstate, "53300");
	cr_expect_eq(reason, RJ_MAX_DATABASE);
}

static void
on_out_of_memory(struct admission_place *t)
{
	cr_assert_fail("out of memory");
}

static const struct admission_ops ops = { .refuse = on_refuse, .out_of_memory = on_out_of_memory };

static void
main_worker_init(struct main_worker *d, const char *sections)
{
	char text[256];
	struct config_problems problems = { 0 };
	struct fail why;

	snprintf(text, sizeof(text), "[auth]\nmethod = trust\n[limits]\nmax_db_client_connections = %d\n%s", LIMIT,
		 sections);
	memset(d, 0, sizeof(*d));
	d->now_us = 1;
	d->base = event_base_new();
	d->config = load_text(text, strlen(text), "pgweir.ini", NULL, 0, &problems);
	cr_assert_not_null(d->config, "%s", problems.count > 0 ? problems.list[0].text : "");
	config_problems_fini(&problems);
	d->admission = admission_new(&(struct admission_settings){ d->base, NULL, &d->now_us, &d->config, &ops }, &why);
	cr_assert_not_null(d->admission);
}

static void
main_worker_fini(struct main_worker *d)
{
	for (int i = 0; i < CLIENTS; i++)
		admission_leave(d->admission, &d->places[i]);
	admission_free(d->admission);
	config_unref(d->config);
	event_base_free(d->base);
}

static bool
admit(struct main_worker *d, int client, const char *database)
{
	return admission_admit(d->admission, &d->places[client], "u", database);
}

Test(admission, clients_count_in_their_database_until_they_leave)
{
	struct main_worker d;

	main_worker_init(&d, DATABASES);
	cr_expect(admit(&d, 0, "one") && admit(&d, 1, "one"));
	cr_expect_not(admit(&d, 2, "one"), "one more than the limit");
	cr_expect(admit(&d, 2, "two"), "another database has room");
	admission_leave(d.admission, &d.places[0]);
	admission_leave(d.admission, &d.places[0]);
	cr_expect(admit(&d, 0, "one"), "there is room again, once");
	cr_expect_not(admit(&d, 3, "one"));
	cr_expect_eq(admission_user_clients(d.admission, "u"), 3);
	main_worker_fini(&d);
}

Test(admission, clients_of_a_tenants_databases_count_together)
{
	struct main_worker d;

	main_worker_init(&d, DATABASES TENANTS);
	cr_expect(admit(&d, 0, "acme/one") && admit(&d, 1, "acme/two"));
	cr_expect_not(admit(&d, 2, "acme/three"));
	cr_expect(admit(&d, 2, "acme2/one"), "of another tenant");
	cr_expect(admit(&d, 3, "acme"), "a database with the tenant's name is none of its own");
	admission_leave(d.admission, &d.places[1]);
	cr_expect(admit(&d, 1, "acme/three"));
	main_worker_fini(&d);
}

Test(admission, whom_another_process_has_let_in_counts_and_is_not_refused)
{
	struct main_worker d;

	main_worker_init(&d, DATABASES);
	for (int i = 0; i < LIMIT + 1; i++)
		cr_expect_eq(admission_restore(d.admission, &d.places[i], NULL, "u", "one"), 0);
	admission_leave(d.admission, &d.places[0]);
	cr_expect_not(admit(&d, 0, "one"), "as many as the limit are still here");
	admission_leave(d.admission, &d.places[1]);
	cr_expect(admit(&d, 0, "one"));
	main_worker_fini(&d);
}
