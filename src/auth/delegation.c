/* src/auth/delegation.c - decides which clients may use a pool whose servers log in with delegated credentials. See
 * delegation.h. */
#include "auth/delegation.h"

#include <stdlib.h>
#include <string.h>

struct delegated *
delegated_ref(struct delegated *d)
{
	atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
	return d;
}

void
delegated_unref(struct delegated *d)
{
	if (d != NULL && atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) == 1)
		d->free(d);
}

struct delegator *
delegator_new(void)
{
	struct delegator *d = calloc(1, sizeof(*d));

	if (d != NULL)
		atomic_init(&d->refs, 1);
	return d;
}

struct delegator *
delegator_ref(struct delegator *d)
{
	atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
	return d;
}

void
delegator_unref(struct delegator *d)
{
	if (d == NULL || atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) > 1)
		return;
	delegated_unref(d->owner_credentials);
	free(d);
}

static int
refuse(struct fail *why, const char *text, const char *hint)
{
	fail_set(why, "28000", "%s", text);
	fail_detail(why,
		    "With gss_accept_delegation = on, pgweir logs in to PostgreSQL by its clients' tickets alone.");
	return fail_hint(why, "%s", hint);
}

int
delegated_check(const struct delegated *d, uint64_t now_us, struct fail *why)
{
	if (d != NULL && d->until_us > now_us)
		return 0;
	return refuse(why,
		      d == NULL			      ? "no client has delegated a ticket"
		      : d->until_us == DELEGATED_NONE ? "the client has not delegated its ticket"
						      : "the delegated ticket has expired",
		      "Get a forwardable ticket (kinit -f), and connect anew with gssdelegation=1.");
}

int
delegator_admit_client(struct delegator *of, struct delegated *d, bool has_no_other_client, uint64_t now_us,
		       struct fail *why)
{
	if (d == NULL)
		return refuse(why, "the client has logged in without a ticket",
			      "Let its rule in hba_file ask for gss, or set gss_accept_delegation = off.");
	if (of->owner_credentials == NULL && !has_no_other_client)
		return refuse(why, "the pool still has clients from before gss_accept_delegation was switched on",
			      "It takes delegated tickets once they have left, or after a restart of pgweir.");
	if (of->owner_credentials != NULL && strcmp(of->owner_credentials->principal, d->principal) != 0) {
		fail_set(why, "28000", "the server connections of this user belong to another principal");
		fail_detail(why, "They were opened with the ticket of \"%.60s\", and this client is \"%.60s\".",
			    of->owner_credentials->principal, d->principal);
		return fail_hint(
		    why, "Give each principal a user of its own in PostgreSQL, or set gss_accept_delegation = off.");
	}
	if (d->until_us == DELEGATED_NONE && of->owner_credentials != NULL)
		return delegated_check(of->owner_credentials, now_us, why);
	if (delegated_check(d, now_us, why) < 0)
		return -1;
	delegated_unref(of->owner_credentials);
	of->owner_credentials = delegated_ref(d);
	return 0;
}
