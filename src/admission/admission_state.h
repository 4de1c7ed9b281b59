/* src/admission/admission_state.h - structs and functions that only admission*.c use. */
#pragma once

#include "admission/admission.h"
#include "admission/admission_table.h"

TAILQ_HEAD(admission_places, admission_place);
TAILQ_HEAD(admission_holds, admission_hold);

/* The limit on log lines about refusals for one reason. */
struct admission_log_limit {
	uint64_t since_us; /* when the present second of counting began */
	uint32_t written; /* log lines that were written since since_us */
	uint64_t unlogged; /* refusals since since_us that got no line */
};
/* Indexes of log_limits: each enum reject_reason, then ADMISSION_LOG_OTHERS for refusals without a reject_reason. */
enum { ADMISSION_LOG_OTHERS = RJ_COUNT, ADMISSION_LOG_LIMITS };

/* the limit on delayed answers for one address, or for one user in the console or in exempt_addresses */
#define ADMISSION_WAITING_MAX 50u

struct admission {
	struct admission_settings settings;
	struct admission_table *addresses, *users, *databases;
	struct admission_table *wrong_proofs; /* wrong passwords, and logins of console users, by address and user */
	/* connections that are not authenticated, the oldest first */
	struct admission_places queues[ADMISSION_QUEUES];
	struct admission_holds holds; /* delayed answers to wrong proofs */
	uint32_t counts[ADMISSION_QUEUES], held_count; /* counts: lengths of queues; held_count: of holds */
	uint64_t descriptors; /* how many file descriptors the process may have; 0 if not known */
	bool is_memory_full; /* max_memory is reached */
	struct admission_log_limit log_limits[ADMISSION_LOG_LIMITS];
};

static inline const struct config *
admission_config(const struct admission *a)
{
	return *a->settings.config;
}

/* --- admission_queue.c --- */
/* Moves the connection to the end of a queue. */
void admission_queue_join(struct admission *a, struct admission_place *t, enum admission_queue queue);
/* Called before a new connection joins a queue. If too many connections are unauthenticated, closes some of them. */
void admission_queue_make_room(struct admission *a);

/* --- admission_failures.c --- */
/* Returns the entry in `wrong_proofs` for this user at t->address, which must not be NULL. Makes the entry if there is
 * none. Returns NULL if there is no memory. */
struct admission_entry *admission_find_or_add_guess(struct admission *a, const struct admission_place *t,
						    const char *user);

/* --- admission_log.c --- */
void admission_log_tick(struct admission *a, uint64_t now_us);
