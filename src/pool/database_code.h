/*
 * src/pool/database_code.h - which kinds of session state the code of one database could touch: its functions,
 * triggers, views, rules, policies, defaults, checks, operators and casts.
 *
 * PostgreSQL's catalogs are asked on an idle connection: soon after the first use, when DDL was seen, and again when
 * the answer has grown old, as long as the database is in use. Until there is an answer, and when it has expired, the
 * code could touch everything.
 *
 * Owns:   the answer. Pure: no I/O, no clock.
 * Always: an answer that was asked for before the last DDL is not believed.
 */
#ifndef PGWEIR_POOL_DATABASE_CODE_H
#define PGWEIR_POOL_DATABASE_CODE_H

#include "session/seal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CODE_NAMES_MAX 200u /* custom settings */
#define CODE_CULPRITS_MAX 64u

/* Some of the code that could touch the same parts. */
struct code_culprits {
	unsigned parts; /* enum state_part */
	uint64_t count;
	char *names; /* the first few, comma-separated; owned */
};

struct code_answer {
	unsigned parts; /* enum state_part */
	unsigned name_count, culprit_count;
	bool has_no_sequence; /* the database */
	char *names[CODE_NAMES_MAX]; /* of custom settings that the code sets; owned */
	char fdw_schema[SEAL_SCHEMA_MAX]; /* where postgres_fdw is; "": it isn't, or nobody knows */
	struct code_culprits culprits[CODE_CULPRITS_MAX];
};

/* Zeroed: nothing is known. */
struct database_code {
	struct code_answer *answer; /* NULL: none yet */
	struct code_answer *coming; /* NULL: it is not being asked for */
	bool is_of_several; /* the name is that of several databases, by user: no answer is of all of them */
	uint32_t round; /* which one that is: what servers answer that were asked in an earlier one is not for it */
	bool is_broken; /* what is coming: a row could not be kept */
	uint64_t answered_us, asked_us, used_us, cost_us; /* cost_us: how long the last answer took */
	uint64_t believed_until_us; /* 0: there is no answer, or DDL was seen since it was asked for */
	uint64_t changed, changed_asked; /* how often DDL was seen: now, and when it was asked */
	uint64_t made; /* changed, when DDL last made functions */
	uint64_t changed_answered;
	uint64_t failed_us; /* 0, or when it was last asked in vain */
};

void database_code_fini(struct database_code *code);
static inline bool
database_code_is_known(const struct database_code *code, uint64_t now_us)
{
	return now_us < code->believed_until_us;
}
unsigned database_code_feared(const struct database_code *code); /* of an answer that is not believed any more */
/* enum state_part: those it could touch. */
static inline unsigned
database_code_parts(const struct database_code *code, uint64_t now_us)
{
	return database_code_is_known(code, now_us) ? code->answer->parts : database_code_feared(code);
}
/* False if the catalogs show none, temporary ones of all sessions included. */
static inline bool
database_code_has_sequences(const struct database_code *code, uint64_t now_us)
{
	return !database_code_is_known(code, now_us) || !code->answer->has_no_sequence;
}
/* Is it time to ask on a connection that is idle? */
bool database_code_is_due(const struct database_code *code, uint64_t now_us);
/* It never was asked, or no connection was idle for long: it is to be asked even if somebody must wait for it. */
bool database_code_is_overdue(const struct database_code *code, uint64_t now_us);
/* DDL was seen; is_made: it made functions. */
void database_code_changed(struct database_code *code, bool is_made);
/* It is asked now, in code->round: what to send. */
const char *database_code_ask(struct database_code *code, uint64_t now_us);
void database_code_row(struct database_code *code, const uint8_t *body, size_t len, bool is_whole);
/* The answer is complete (ok), or there is none. True: it is another one than before, or the first. */
bool database_code_answered(struct database_code *code, bool ok, uint64_t now_us);

#endif
