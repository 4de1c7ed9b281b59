/* src/pool/pool_fresh.c - see pool_workers.h. The GUC sets are in no worker's store, so any thread may copy them. */
#include "pool/pool_workers.h"
#include "policy/policy_commons.h"

#include <pthread.h>
#include <stdatomic.h>

struct pool_fresh {
	struct policy_named named;
	pthread_mutex_t lock; /* guards the two GUC sets */
	struct gucs *baseline, *login_parameters;
	_Atomic uint64_t since_us; /* 0 if no shard has reported anything yet */
};

static void
init_fresh(struct policy_commons *all, void *made)
{
	struct pool_fresh *f = made;

	pthread_mutex_init(&f->lock, NULL);
}

struct pool_fresh *
pool_fresh_get_or_create(struct policy_commons *all, const void *key, size_t len)
{
	return policy_named_get_or_create(all, 'f', key, len, sizeof(struct pool_fresh), init_fresh);
}

void
pool_fresh_put(struct policy_commons *all, struct pool_fresh *f)
{
	if (f == NULL || !policy_named_put(all, &f->named))
		return;
	gucs_unref(f->baseline);
	gucs_unref(f->login_parameters);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

/* Copies both GUC sets and returns true, or copies none and returns false. */
static bool
copy_both(const struct gucs *baseline, const struct gucs *login_parameters, struct gucs *out[2])
{
	out[0] = gucs_copy(baseline);
	out[1] = out[0] == NULL ? NULL : gucs_copy(login_parameters);
	if (out[1] != NULL)
		return true;
	gucs_unref(out[0]);
	return false;
}

void
pool_fresh_report(struct pool_fresh *f, const struct gucs *baseline, const struct gucs *login_parameters,
		  uint64_t since_us)
{
	struct gucs *copies[2], *old[2];

	if (!copy_both(baseline, login_parameters, copies))
		return;
	pthread_mutex_lock(&f->lock);
	old[0] = f->baseline;
	old[1] = f->login_parameters;
	f->baseline = copies[0];
	f->login_parameters = copies[1];
	f->since_us = since_us;
	pthread_mutex_unlock(&f->lock);
	gucs_unref(old[0]);
	gucs_unref(old[1]);
}

bool
pool_fresh_take(struct pool_fresh *f, struct guc_store *store, struct gucs **baseline, struct gucs **login_parameters,
		uint64_t *since_us)
{
	struct gucs *copies[2];
	bool has_copies;

	if (atomic_load_explicit(&f->since_us, memory_order_relaxed) <= *since_us)
		return false;
	pthread_mutex_lock(&f->lock);
	has_copies = copy_both(f->baseline, f->login_parameters, copies);
	*since_us = f->since_us;
	pthread_mutex_unlock(&f->lock);
	if (!has_copies)
		return false;
	*baseline = gucs_adopt(store, copies[0]);
	*login_parameters = gucs_adopt(store, copies[1]);
	if (*baseline != NULL && *login_parameters != NULL)
		return true;
	gucs_unref(*baseline);
	gucs_unref(*login_parameters);
	return false;
}
