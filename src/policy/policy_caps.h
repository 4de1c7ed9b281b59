/* src/policy/policy_caps.h - one pool under several caps at once: its user's, its database's, its host's, and the cap
 * over all pools. Most functions do for all caps of a pool what the function budget_... of the same name
 * (policy_budget.h) does for one cap. Functions take the lock of the commons unless their comments say otherwise.
 * Included by src/policy/ only. */
#pragma once

#include "policy/policy_budget.h"

/* The caps of a pool, in the order in which the pool asks them for a place. */
struct policy_caps {
	struct budget_member by_kind[POLICY_CAPS];
	struct policy_orders *orders; /* the orders of other threads to the pool: policy_commons.h */
	struct budget_group *groups; /* the groups of the pool's shards, by kind of cap; NULL if it has no shards */
	/* true while a cap is tight, or was lately; caps_publish() must then follow each change of the view */
	bool is_watched;
	/* as in struct budget_view, for the next view that is published */
	uint64_t idle_grace_end_us, turn_end_us;
};

/* Sets one cap. counts: the pool's connections by state. The caller then calls policy_replenish(). */
void caps_set(struct policy_caps *caps, enum policy_cap which, struct policy_budget *b,
	      const uint32_t counts[static PC_COUNT], uint64_t now_us);
/* Sets caps->groups; `groups` must stay valid until the next call or caps_leave(). counts: as for caps_set(). */
void caps_set_groups(struct policy_caps *caps, struct budget_group *groups, const uint32_t counts[static PC_COUNT],
		     uint64_t now_us);
/* Moves this shard's members into the pool's groups. Needed because a shard that comes under a cap before the pool's
 * other shards do has a group of its own at first. */
void caps_regroup(struct policy_caps *caps, const uint32_t counts[static PC_COUNT], uint64_t now_us);
void caps_leave(struct policy_caps *caps); /* no connection may be left */
void caps_set_claim(struct policy_caps *caps, uint32_t weight, uint32_t reserved);
/* Call this under the lock. Publishes v to all caps, and updates is_watched. */
void caps_publish(struct policy_caps *caps, const struct budget_view *v);
/* Call this under the lock. Takes a place under each cap for a connection that is to be opened, and returns true; or
 * takes no place, and returns false. is_for_waiter: false if the connection is for min_idle. */
bool caps_take_places(struct policy_caps *caps, bool is_for_waiter, uint64_t now_us);
/* Call when a connection has left for another shard of the pool (has_left), or has come from another shard. The
 * connection keeps its places. */
void caps_note_transferred(struct policy_caps *caps, bool has_left);
/* Call when a connection that has places is gone (`to` is PC_NONE), begins to close (PC_CLOSING), or has logged in. */
void caps_state_changed(struct policy_caps *caps, enum policy_conn_state from, enum policy_conn_state to);
/* short_count: how many connections the pool would open now if its caps allowed that. Makes the pool hungry at the
 * first cap without a place for the pool, else at the last cap. */
void caps_report(struct policy_caps *caps, uint32_t short_count, uint64_t now_us);
/* Returns true if caps_state_changed() is due after each login, because the host's cap counts logins. Takes no lock. */
static inline bool
caps_counts_logins(const struct policy_caps *caps)
{
	return caps->by_kind[CAP_HOST].budget != NULL;
}
/* Returns true if the connection that was just returned must be closed for another pool. */
bool caps_claim_returned(struct policy_caps *caps, uint64_t opened_us, uint64_t now_us);
/* Returns true if some caps have asked the pool for connections. The next connection that the pool closes then counts
 * as given up under each of these caps. */
bool caps_begin_giving_up(struct policy_caps *caps);
/* Tells the caps that the pool has no idle connection left to give up. The caller then calls caps_review(). */
void caps_note_none_idle(struct policy_caps *caps);
/* Returns true if all places of some cap are taken while some pool would open a connection. */
bool caps_is_contended(const struct policy_caps *caps);
/* Returns true if, under some cap, the pool's shards lack more places than their leaving connections will free. */
bool caps_lacks_places(const struct policy_caps *caps);
/* Gives free places to other pools, and makes this pool give up idle connections that other pools should have. */
void caps_review(struct policy_caps *caps, uint64_t now_us);
/* Returns when a review is due even if nothing happens before; UINT64_MAX if never. */
uint64_t caps_due_us(const struct policy_caps *caps, uint64_t now_us);
/* Returns true if some cap keeps the pool from opening connections that it needs. Takes no lock. */
bool caps_is_short(const struct policy_caps *caps);
/* Sets *why; its detail names the cap that keeps the pool short. Sets *setting to the name of the setting to raise, or
 * to NULL if *why has a hint instead. Returns how many places of that cap are taken, without places that other pools
 * keep as their shares; 0 if the pool can't open a connection even if places become free. */
uint32_t caps_explain_short(const struct policy_caps *caps, const char **setting, struct fail *why);
/* Returns true if the pool of `caps` may get a place when a borrower of the pool of `other` ends: the cap that keeps
 * `caps` short is also a cap of `other`, and either the pool of `other` has more than its share, or that borrower is
 * its last (is_last). */
bool caps_may_get_place_of(const struct policy_caps *caps, const struct policy_caps *other, bool is_last);

/* Call this when a connection is returned. Takes no lock. If caps->is_watched, which is rare, the caller also calls
 * caps_claim_returned() and caps_review(). */
static inline void
caps_note_returned(struct policy_caps *caps, uint64_t opened_us, uint64_t now_us)
{
	caps->idle_grace_end_us = now_us + BUDGET_TURN_US;
	caps->turn_end_us = opened_us + BUDGET_TURN_US;
}
