/*
 * src/policy/policy_caps.c - one pool under several caps: its user's, its database's, its host's, and the cap over all
 * pools. See policy_caps.h.
 *
 * A pool opens a connection when all of its caps allow that, and gives up a connection when any cap asks for one. The
 * pool is hungry at one cap at most: the first that has no place for the pool. At further caps, the pool competes with
 * no other pool, because it could not use a place there. When the first cap has a place, the pool looks again, and may
 * then be hungry at the next cap.
 */
#include "policy/policy_caps.h"
#include "policy/policy_budget_state.h"

#include <assert.h>
#include <inttypes.h>

static bool
may_take_place(struct budget_member *m, uint64_t now_us)
{
	bool is_allowed;

	if (m->budget == NULL)
		return true;
	policy_worker_lock(m->worker);
	is_allowed = budget_check_place(m, true, now_us);
	policy_worker_unlock(m->worker);
	return is_allowed;
}

void
caps_set(struct policy_caps *caps, enum policy_cap which, struct policy_budget *b,
	 const uint32_t counts[static PC_COUNT], uint64_t now_us)
{
	struct budget_member *m = &caps->by_kind[which];

	policy_worker_lock(caps->orders->worker);
	if (m->budget != NULL)
		budget_leave(m);
	*m = (struct budget_member){
		.weight = m->weight, .reserved = m->reserved, .orders = caps->orders, .worker = caps->orders->worker
	};
	if (b != NULL) {
		budget_join(b, m, caps->groups == NULL ? NULL : &caps->groups[which], counts);
		budget_update_watched(b, m->worker);
	}
	caps->orders->ops->publish(caps->orders->pool);
	policy_worker_unlock_and_act(m->worker, now_us);
}

void
caps_set_groups(struct policy_caps *caps, struct budget_group *groups, const uint32_t counts[static PC_COUNT],
		uint64_t now_us)
{
	caps->groups = groups;
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		caps_set(caps, i, caps->by_kind[i].budget, counts, now_us);
}

/* Returns true if this cap's member is a group by itself, and can join the pool's group now. Takes the lock. */
static bool
may_regroup(const struct policy_caps *caps, unsigned which)
{
	const struct budget_member *m = &caps->by_kind[which];
	const struct budget_group *g;
	bool may;

	if (caps->groups == NULL || m->budget == NULL || m->group != &m->own)
		return false;
	g = &caps->groups[which];
	policy_worker_lock(m->worker);
	may = g->budget == NULL || g->budget == m->budget;
	policy_worker_unlock(m->worker);
	return may;
}

void
caps_regroup(struct policy_caps *caps, const uint32_t counts[static PC_COUNT], uint64_t now_us)
{
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		if (may_regroup(caps, i))
			caps_set(caps, i, caps->by_kind[i].budget, counts, now_us);
}

void
caps_leave(struct policy_caps *caps)
{
	policy_worker_lock(caps->orders->worker);
	for (unsigned i = 0; i < POLICY_CAPS; i++) {
		struct budget_member *m = &caps->by_kind[i];

		assert(m->budget == NULL || (m->used == 0 && m->leaving == m->asked));
		if (m->budget != NULL)
			budget_leave(m);
	}
	policy_worker_tell_others(caps->orders->worker);
	policy_worker_unlock(caps->orders->worker);
}

void
caps_set_claim(struct policy_caps *caps, uint32_t weight, uint32_t reserved)
{
	policy_worker_lock(caps->orders->worker);
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		budget_set_claim(&caps->by_kind[i], weight, reserved);
	policy_worker_unlock(caps->orders->worker);
}

void
caps_publish(struct policy_caps *caps, const struct budget_view *v)
{
	caps->is_watched = false;
	for (unsigned i = 0; i < POLICY_CAPS; i++) {
		struct budget_member *m = &caps->by_kind[i];

		if (m->budget == NULL)
			continue;
		budget_publish(m, v);
		caps->is_watched |= m->is_watched;
	}
}

bool
caps_take_places(struct policy_caps *caps, bool is_for_waiter, uint64_t now_us)
{
	bool may_take = true;

	for (unsigned i = 0; i < POLICY_CAPS && may_take; i++) {
		struct budget_member *m = &caps->by_kind[i];

		may_take = m->budget == NULL || budget_check_place(m, is_for_waiter, now_us);
	}
	for (unsigned i = 0; i < POLICY_CAPS && may_take; i++)
		if (caps->by_kind[i].budget != NULL)
			budget_take_place(&caps->by_kind[i]);
	return may_take;
}

void
caps_note_transferred(struct policy_caps *caps, bool has_left)
{
	assert(caps->groups != NULL);
	policy_worker_lock(caps->orders->worker);
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		budget_note_transferred(&caps->by_kind[i], &caps->groups[i], has_left);
	policy_worker_unlock(caps->orders->worker);
}

void
caps_state_changed(struct policy_caps *caps, enum policy_conn_state from, enum policy_conn_state to)
{
	policy_worker_lock(caps->orders->worker);
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		if (caps->by_kind[i].budget != NULL)
			budget_note_moved(&caps->by_kind[i], from, to);
	policy_worker_tell_others(caps->orders->worker);
	policy_worker_unlock(caps->orders->worker);
}

/* A pool that lacks nothing reports only while caps are watched, because other pools may lack something then. */
void
caps_report(struct policy_caps *caps, uint32_t short_count, uint64_t now_us)
{
	unsigned last = caps->by_kind[CAP_HOST].budget != NULL ? CAP_HOST : CAP_ALL;
	bool has_reported = false;

	if (short_count == 0 && !caps->is_watched)
		return;
	for (unsigned i = 0; i < POLICY_CAPS; i++) {
		struct budget_member *m = &caps->by_kind[i];
		bool reports_here = !has_reported && (i == last || !may_take_place(m, now_us));

		if (m->budget != NULL)
			budget_report(m, reports_here ? short_count : 0, now_us);
		has_reported = has_reported || reports_here;
	}
}

bool
caps_claim_returned(struct policy_caps *caps, uint64_t opened_us, uint64_t now_us)
{
	bool is_asked = false;

	if (!caps->is_watched)
		return false;
	policy_worker_lock(caps->orders->worker);
	caps->orders->ops->publish(caps->orders->pool);
	for (unsigned i = 0; i < POLICY_CAPS && !is_asked; i++)
		is_asked =
		    caps->by_kind[i].budget != NULL && budget_claim_returned(&caps->by_kind[i], opened_us, now_us);
	policy_worker_unlock(caps->orders->worker);
	return is_asked;
}

bool
caps_begin_giving_up(struct policy_caps *caps)
{
	bool is_asked = false;

	policy_worker_lock(caps->orders->worker);
	for (unsigned i = 0; i < POLICY_CAPS; i++) {
		struct budget_member *m = &caps->by_kind[i];

		m->is_giving_up = m->asked > 0;
		is_asked |= m->is_giving_up;
	}
	policy_worker_unlock(caps->orders->worker);
	return is_asked;
}

void
caps_note_none_idle(struct policy_caps *caps)
{
	policy_worker_lock(caps->orders->worker);
	caps->orders->ops->publish(caps->orders->pool); /* first, so that no idle connection is asked for again */
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		if (caps->by_kind[i].is_giving_up)
			budget_clear_asked(&caps->by_kind[i]);
	policy_worker_unlock(caps->orders->worker);
}

bool
caps_is_contended(const struct policy_caps *caps)
{
	bool is_contended = false;

	if (!caps->is_watched)
		return false;
	policy_worker_lock(caps->orders->worker);
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		is_contended |= caps->by_kind[i].budget != NULL && budget_is_contended(caps->by_kind[i].budget);
	policy_worker_unlock(caps->orders->worker);
	return is_contended;
}

bool
caps_lacks_places(const struct policy_caps *caps)
{
	bool lacks_places = false;

	policy_worker_lock(caps->orders->worker);
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		lacks_places |= budget_is_short(&caps->by_kind[i]);
	policy_worker_unlock(caps->orders->worker);
	return lacks_places;
}

void
caps_review(struct policy_caps *caps, uint64_t now_us)
{
	for (unsigned i = 0; i < POLICY_CAPS && caps->is_watched; i++)
		if (caps->by_kind[i].budget != NULL)
			budget_review(&caps->by_kind[i], now_us);
}

uint64_t
caps_due_us(const struct policy_caps *caps, uint64_t now_us)
{
	uint64_t due_us = UINT64_MAX;

	for (unsigned i = 0; i < POLICY_CAPS; i++) {
		const struct budget_member *m = &caps->by_kind[i];
		uint64_t at_us;

		if (m->short_count == 0)
			continue;
		policy_worker_lock(m->worker);
		at_us = budget_due_us(m, now_us);
		policy_worker_unlock(m->worker);
		due_us = at_us < due_us ? at_us : due_us;
	}
	return due_us;
}

static const struct budget_member *
find_short(const struct policy_caps *caps)
{
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		if (caps->by_kind[i].short_count > 0)
			return &caps->by_kind[i];
	return NULL;
}

bool
caps_is_short(const struct policy_caps *caps)
{
	return find_short(caps) != NULL;
}

bool
caps_may_get_place_of(const struct policy_caps *caps, const struct policy_caps *other, bool is_last)
{
	const struct budget_member *m = find_short(caps),
				   *theirs = m == NULL ? NULL : &other->by_kind[m - caps->by_kind];
	bool would_give;

	if (m == NULL || theirs->budget != m->budget || is_last)
		return m != NULL && theirs->budget == m->budget;
	policy_worker_lock(m->worker);
	would_give = budget_has_surplus(theirs);
	policy_worker_unlock(m->worker);
	return would_give;
}

/* Returns how many places under m's cap other pools keep, because they are not above their shares. A pool keeps its
 * share as long as it has one borrower. */
static uint32_t
count_kept_from(const struct budget_member *m)
{
	const struct budget_member *other;
	uint32_t kept = 0;

	TAILQ_FOREACH(other, &m->budget->holding, holding_link)
		kept += other->group != m->group && !budget_has_surplus(other) ? other->used : 0;
	return kept;
}

uint32_t
caps_explain_short(const struct policy_caps *caps, const char **setting, struct fail *why)
{
	static const char *const settings[POLICY_CAPS] = { "max_user_connections", "max_db_connections",
							   "max_server_connections" };
	const struct budget_member *m = find_short(caps);
	uint32_t used, kept;

	*setting = settings[m - caps->by_kind];
	if (m == &caps->by_kind[CAP_HOST])
		return policy_budget_explain(m, why);
	policy_worker_lock(m->worker);
	used = m->budget->used;
	kept = count_kept_from(m);
	policy_worker_unlock(m->worker);
	fail_set(why, "53300", "a limit on server connections is reached");
	fail_detail(why, "%s is used up, by this and other pools.", *setting);
	if (kept > 0)
		fail_detail(why,
			    "%s is used up; other pools have %" PRIu32 " of %" PRIu32
			    " as their share (share_weight, share_min).",
			    *setting, kept, used);
	return used - kept;
}
