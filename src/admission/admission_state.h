/* src/admission/admission_state.h - the structs that admission*.c share; private to them. */
#pragma once

#include "admission/admission.h"
#include "admission/admission_table.h"

TAILQ_HEAD(admission_places, admission_place);
TAILQ_HEAD(admission_holds, admission_hold);

/* The limit on log lines for one reject reason, or for all other refusals. */
struct admission_log_limit {
	uint64_t since_us; /* when the present second began */
	uint32_t written; /* log lines written since then */
	uint64_t unlogged; /* refusals since then that got no line */
};
enum { ADMISSION_LOG_OTHERS = RJ_COUNT, ADMISSION_LOG_LIMITS };

#define ADMISSION_WAITING_MAX 50u /* failed logins of one address, or user, whose answers are delayed */

struct admission {
	struct admission_settings settings;
	struct admission_table *addresses, *users, *databases;
	struct admission_table *guesses; /* wrong passwords by address and user: admission_failures.c */
	/* Connections that are not authenticated, the oldest first. */
	struct admission_places queues[ADMISSION_QUEUES];
	struct admission_holds holds; /* wrong proofs whose answers are delayed */
	uint32_t counts[ADMISSION_QUEUES], held_count;
	uint64_t descriptors; /* how many file descriptors the process may have; 0 if not known */
	bool is_memory_full;
	struct admission_log_limit log_limits[ADMISSION_LOG_LIMITS];
};

static inline const struct config *
admission_config(const struct admission *a)
{
	return *a->settings.config;
}

/* --- admission_queue.c --- */
/* Moves the place to the end of a queue. */
void admission_queue_join(struct admission *a, struct admission_place *t, enum admission_queue queue);
/* Closes other connections, if necessary, to make room for a new one. */
void admission_queue_make_room(struct admission *a);

/* --- admission_failures.c --- */
/* Returns the entry of t's address (t must have one) and this user, made if need be; NULL without memory. */
struct admission_entry *admission_guess_entry(struct admission *a, const struct admission_place *t, const char *user);

/* --- admission_log.c --- */
void admission_log_tick(struct admission *a, uint64_t now_us);
