#include "policy/policy_keeper.h"
#include "policy/policy_budget_state.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define HELD_US (2 * 1000 * 1000u)
#define ASKED_FOR_MAX 8

void
budget_note_understocked(struct budget_member *m)
{
	struct policy_budget *b = m->budget;

	if (!b->kept.is_binding || b->kept.news.is_pressed || b->kept.news.is_full || m->is_understocked ||
	    m->orders == NULL)
		return;
	m->is_understocked = true;
	b->kept.understocked_count++;
	budget_tell_keeper(b);
}

static void
wake_understocked(struct policy_budget *b)
{
	struct budget_member *m;

	TAILQ_FOREACH(m, &b->members, link) {
		if (!m->is_understocked)
			continue;
		assert(m->orders != NULL && b->kept.understocked_count > 0);
		m->is_understocked = false;
		policy_worker_order(m->orders, ORDER_WAKE);
	}
	b->kept.understocked_count = 0;
}

void
policy_budget_set_keeper(struct policy_budget *b, struct policy_worker *worker, struct policy_worker *keeper,
			 bool is_binding, uint64_t now_us)
{
	policy_worker_lock(worker);
	b->kept.keeper = keeper;
	b->kept.is_binding = is_binding;
	b->limit = b->kept.granted = b->kept.held = 0;
	b->kept.news = (struct budget_news){ .share = UINT32_MAX };
	budget_review_and_unlock(b, worker, now_us);
}

void
policy_budget_grant(struct policy_budget *b, struct policy_worker *worker, uint32_t more,
		    const struct budget_news *news, uint64_t now_us)
{
	policy_worker_lock(worker);
	b->kept.granted += more;
	if (news->questions != b->kept.news.questions)
		b->kept.returned = 0;
	b->kept.news = *news;
	if (more > 0 || news->is_pressed)
		wake_understocked(b);
	if (more > 0 && b->kept.asked_for > 0) {
		b->kept.held += b->kept.asked_for < more ? b->kept.asked_for : more;
		b->kept.asked_for = 0;
		b->kept.held_until_us = now_us + HELD_US;
	}
	budget_review_and_unlock(b, worker, now_us);
}

void
policy_budget_ungrant(struct policy_budget *b, struct policy_worker *worker, uint32_t kept)
{
	policy_worker_lock(worker);
	if (b->kept.granted > kept)
		b->kept.granted = kept;
	if (b->kept.held > b->kept.granted)
		b->kept.held = b->kept.granted;
	budget_update_limit(b);
	policy_worker_unlock(worker);
}

void
policy_budget_abandon_logins(struct policy_budget *b, struct policy_worker *worker, uint64_t now_us)
{
	struct budget_member *m;

	policy_worker_lock(worker);
	TAILQ_FOREACH(m, &b->members, link) {
		if (m->orders == NULL)
			budget_change_opening(m, -m->opening);
		if (m->opening != 0)
			policy_worker_order(m->orders, ORDER_ABANDON);
	}
	policy_worker_unlock_and_act(worker, now_us);
}

struct budget_counts
policy_budget_expire_and_count(struct policy_budget *b, struct policy_worker *worker, uint64_t now_us)
{
	struct budget_counts count;

	policy_worker_lock(worker);
	budget_end_idle_grace(b, now_us);
	if (now_us >= b->kept.held_until_us && b->kept.held + b->kept.asked_for > 0) {
		b->kept.held = b->kept.asked_for = 0;
		budget_wake_best(b);
	}
	count = (struct budget_counts){
		.used = b->used,
		.opening = b->opening,
		.granted = b->kept.granted,
		.short_count = b->short_count + b->kept.understocked_count + b->kept.asked_for + b->kept.held,
		.asked_for = b->kept.asked_for,
		.taken = b->kept.taken,
		.is_in_use = b->kept.asked_for > 0 || (b->is_watched ? b->in_use_count > 0 : b->used > 0)
	};
	policy_worker_tell_others(worker);
	policy_worker_unlock(worker);
	return count;
}

bool
budget_claim_held(struct policy_budget *b, uint64_t now_us)
{
	if (b->kept.held > 0 || (TAILQ_EMPTY(&b->hungry) && budget_has_free_place(b))) {
		b->kept.held -= b->kept.held > 0;
		return true;
	}
	b->kept.asked_for += b->kept.asked_for < ASKED_FOR_MAX;
	b->kept.held_until_us = now_us + HELD_US;
	budget_tell_keeper(b);
	return false;
}

bool
policy_budget_end_login(struct budget_member *m)
{
	bool was_opening;

	policy_worker_lock(m->worker);
	was_opening = m->opening > 0;
	budget_change_opening(m, -m->opening);
	budget_tell_keeper(m->budget);
	policy_worker_tell_others(m->worker);
	policy_worker_unlock(m->worker);
	return was_opening;
}

uint32_t
policy_budget_explain(const struct budget_member *m, struct fail *why)
{
	struct budget_news news;
	char share[64] = "";

	policy_worker_lock(m->worker);
	news = m->budget->kept.news;
	policy_worker_unlock(m->worker);
	fail_set(why, "53300", "all connections that may be opened there are in use");
	if (news.limit == 0) {
		fail_detail(why, "None can be opened under the budget: pgweir's own connection for it does not work, "
				 "or another session holds its lock.");
		fail_hint(why, "pgweir's log and SHOW BUDGET in its console say why.");
		return 0;
	}
	if (news.share != UINT32_MAX)
		snprintf(share, sizeof(share), ", the share here is %" PRIu32, news.share);
	fail_detail(why,
		    "The budget of %" PRIu32 " is used up: PostgreSQL lists %" PRIu32 " (%" PRIu32
		    " not pgweir's), %" PRIu32 " are kept for new processes%s.",
		    news.limit, news.listed, news.others, news.reserved, share);
	fail_hint(why, "See who has them: SHOW FLEET in pgweir's console, and pg_stat_activity for those that are not "
		       "pgweir's. If all of them are at work, raise budget_connections.");
	return news.listed > 0 ? news.listed : 1;
}
