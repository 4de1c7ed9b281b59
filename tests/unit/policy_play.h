/*
 * tests/unit/policy_play.h - rules of the pool policy as steps in words, played on the fakes of policy_fake.h: what
 * happens, and what is expected then.
 *
 *   { "a returned one goes to the longest waiter", "1+0", "fill 0 1; borrow 1-2 waits; return 0; holds[1]=0 (not 2)" }
 *
 * The second text has the settings: pool_size and max_overflow, then others by name, which alone stand for 1. A step
 * ends with a semicolon; what stands in parentheses behind it is said when it fails, as is the step. Clients and
 * connections have numbers, or ranges of them; with several pools a step begins with the letter of its own: "b borrow
 * 0". A time is "500ms", or "+5s-1" from now on, "next" (when the policy is due) or "mark" (a step: now, or the time
 * behind it) with or without more.
 *
 *   borrow N [lent|waits], borrow_idle N [lent|none], return N, cancel N, fill FROM COUNT
 *   login N, fail N KIND [fatal], health_check_fails N KIND, ping N ok|failed, gone N [down], lose CLIENT [down]
 *   due N (is to be recycled), alive N (a sign of life), explain N (fills what a client would be told)
 *   ahead N CLIENT (N's request is sent to what CLIENT has), take N (it was his), disown N (what was sent to what N
 * has) at TIME (with all ticks up to then), now TIME (without), all TIME (in all pools), mark [TIME] pause, resume,
 * reconnect, distrust, health_check, tick, reload SETTING..., close_all WHY, refuse_all cannot_open [off], cannot_give,
 * slow_to_close NAME=VALUE, NAME[N]=VALUE, NAME[1-3]=VALUE (each of them), also with !=, <= and >=; in quotes what a
 * client was told: detail[N]='...', or with ~ a shard of it
 */
#pragma once

#include "policy_fake.h"

struct rule {
	const char *rule, *pool, *steps;
};

struct play;

/* A world of several pools, with steps and values of its own: each returns false if it does not know the word either.
 */
struct stage {
	struct fake *pools;
	int count;
	bool hears; /* "all" lets policy workers read what they were told */
	bool (*act)(const struct play *play, void *world, struct fake *f, char *const *words); /* behind the last: "" */
	bool (*read)(void *world, struct fake *f, const char *name, uint64_t i, uint64_t *value);
	void *world;
};

uint64_t play_number(const struct play *play, const char *text); /* a number or a time of the step that is played */
const char *play_text(const struct play *play); /* the step itself */
void play_steps(const struct stage *stage, const char *rule, const char *steps);
void play_rules(const struct rule *rules, size_t count); /* each on a pool of its own */
struct policy_settings play_settings(const char *text); /* "2+0 min_idle=1" */

#define PLAY_RULES(rules) play_rules(rules, sizeof(rules) / sizeof((rules)[0]))
