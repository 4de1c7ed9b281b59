/*
 * src/policy/policy_caps.c - one pool under several caps: its user's, its database's, that of all. See policy_caps.h.
 *
 * A pool opens a connection when all of its caps allow it, and gives one up when any asks for it. It is hungry at one
 * cap at most, the first that has no place for it: where it could not use a free place anyway, it is in nobody's way.
 * When that cap has a place, the pool looks again, and may then be hungry at the next.
 */
#include "policy/policy_caps.h"

void
caps_set(struct policy_caps *caps, enum policy_cap which, struct policy_budget *b, struct policy *p,
	 const uint32_t counts[static PC_COUNT], bool has_demand)
{
	struct budget_member *m = &caps->by_kind[which];

	if (m->budget == b)
		return;
	budget_set_demand(m, false);
	for (unsigned state = PC_NONE + 1; state < PC_COUNT; state++)
		for (uint32_t i = 0; i < counts[state] && m->budget != NULL; i++)
			budget_moved(m, (enum policy_conn_state)state, PC_NONE);
	budget_leave(m);
	*m = (struct budget_member){ .weight = m->weight, .reserved = m->reserved };
	budget_join(b, m, p);
	for (unsigned state = PC_NONE + 1; state < PC_COUNT; state++)
		for (uint32_t i = 0; i < counts[state] && b != NULL; i++)
			budget_moved(m, PC_NONE, (enum policy_conn_state)state);
	budget_set_demand(m, has_demand);
	for (caps->first = 0; caps->first < POLICY_CAPS && caps->by_kind[caps->first].budget == NULL;)
		caps->first++;
}

void
caps_leave(struct policy_caps *caps)
{
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		budget_leave(&caps->by_kind[i]);
}

void
caps_set_claim(struct policy_caps *caps, uint32_t weight, uint32_t reserved)
{
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		budget_set_claim(&caps->by_kind[i], weight, reserved);
}

void
caps_moved(struct policy_caps *caps, enum policy_conn_state from, enum policy_conn_state to)
{
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		budget_moved(&caps->by_kind[i], from, to);
}

void
caps_set_demand(struct policy_caps *caps, bool has_demand)
{
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		budget_set_demand(&caps->by_kind[i], has_demand);
}

void
caps_report(struct policy_caps *caps, uint32_t short_count, uint64_t now_us)
{
	bool is_told = false;

	for (unsigned i = 0; i < POLICY_CAPS; i++) {
		bool is_here = !is_told && (i == POLICY_CAPS - 1 || !budget_allows(&caps->by_kind[i], now_us));

		budget_report(&caps->by_kind[i], is_here ? short_count : 0, now_us);
		is_told = is_told || is_here;
	}
}

bool
caps_allow(const struct policy_caps *caps, uint64_t now_us)
{
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		if (!budget_allows(&caps->by_kind[i], now_us))
			return false;
	return true;
}

bool
caps_have_spare(const struct policy_caps *caps)
{
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		if (!budget_has_spare(&caps->by_kind[i]))
			return false;
	return true;
}

bool
caps_returned(struct policy_caps *caps, uint64_t opened_us, uint64_t now_us)
{
	bool is_tight = false;

	for (unsigned i = caps->first; i < POLICY_CAPS; i++)
		is_tight |= budget_returned(&caps->by_kind[i], opened_us, now_us);
	return is_tight;
}

bool
caps_ask_back(const struct policy_caps *caps, uint64_t opened_us, uint64_t now_us)
{
	for (unsigned i = caps->first; i < POLICY_CAPS; i++)
		if (budget_asks_back(&caps->by_kind[i], opened_us, now_us))
			return true;
	return false;
}

bool
caps_are_wanted(const struct policy_caps *caps)
{
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		if (caps->by_kind[i].budget != NULL && budget_is_wanted(caps->by_kind[i].budget))
			return true;
	return false;
}

void
caps_review(const struct policy_caps *caps, uint64_t now_us)
{
	for (unsigned i = caps->first; i < POLICY_CAPS; i++)
		budget_review(caps->by_kind[i].budget, now_us);
}

uint64_t
caps_due(const struct policy_caps *caps, uint64_t now_us)
{
	uint64_t due_us = UINT64_MAX;

	for (unsigned i = 0; i < POLICY_CAPS; i++) {
		uint64_t at_us = budget_due(&caps->by_kind[i], now_us);

		due_us = at_us < due_us ? at_us : due_us;
	}
	return due_us;
}

const char *
caps_short_of(const struct policy_caps *caps)
{
	static const char *const settings[POLICY_CAPS] = { "max_user_connections", "max_db_connections",
							   "max_server_connections" };

	for (unsigned i = 0; i < POLICY_CAPS; i++)
		if (caps->by_kind[i].short_count > 0)
			return settings[i];
	return NULL;
}
