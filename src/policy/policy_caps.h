/*
 * src/policy/policy_caps.h - one pool under several caps at once: its user's, its database's, that of all. The
 * functions do what those of policy_budget.h do, for all of them. Only src/policy/ includes it.
 */
#ifndef PGWEIR_POLICY_POLICY_CAPS_H
#define PGWEIR_POLICY_POLICY_CAPS_H

#include "policy/policy_budget.h"

/* In the order in which a pool asks them. */
struct policy_caps {
	struct budget_member by_kind[POLICY_CAPS];
	unsigned first; /* the first that is set, so that a return asks no others */
};

/* counts: the pool's connections by state; has_demand: as budget_set_demand. */
void caps_set(struct policy_caps *caps, enum policy_cap which, struct policy_budget *b, struct policy *p,
	      const uint32_t counts[static PC_COUNT], bool has_demand);
void caps_leave(struct policy_caps *caps);
void caps_set_claim(struct policy_caps *caps, uint32_t weight, uint32_t reserved);
void caps_moved(struct policy_caps *caps, enum policy_conn_state from, enum policy_conn_state to);
void caps_set_demand(struct policy_caps *caps, bool has_demand);
void caps_report(struct policy_caps *caps, uint32_t short_count, uint64_t now_us);
/* Return what budget_allows() and its like do: for all caps together. */
bool caps_allow(const struct policy_caps *caps, uint64_t now_us);
bool caps_have_spare(const struct policy_caps *caps);
bool caps_returned(struct policy_caps *caps, uint64_t opened_us, uint64_t now_us);
bool caps_ask_back(const struct policy_caps *caps, uint64_t opened_us,
		   uint64_t now_us); /* one that was just returned */
bool caps_are_wanted(const struct policy_caps *caps);
void caps_review(const struct policy_caps *caps, uint64_t now_us);
uint64_t caps_due(const struct policy_caps *caps, uint64_t now_us);
const char *caps_short_of(const struct policy_caps *caps); /* the setting that keeps it short; NULL: none does */

#endif
