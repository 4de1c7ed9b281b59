/*
 * src/pool/database_code.h - which kinds of session state the code of one database could touch: its functions,
 * triggers, views, rules, policies, defaults, checks, operators and casts.
 *
 * PostgreSQL's catalogs are queried on an idle connection: soon after the first use, when DDL was seen, and again when
 * the answer has grown old, while the database is in use. As long as there is no answer, or it has expired, the code is
 * assumed to touch everything. To read all code may take a second; whether it is still that of the last answer costs a
 * few milliseconds, so this is asked first.
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
#define CODE_VERSION_MAX 64u

/* Examples of code that could touch the same parts. */
struct code_culprits {
	unsigned parts; /* enum state_part */
	uint64_t count;
	char *names; /* the first few, comma-separated; owned */
};

struct code_answer {
	unsigned parts; /* enum state_part */
	unsigned name_count, culprit_count;
	bool has_no_sequence; /* the database has none */
	char *names[CODE_NAMES_MAX]; /* the custom settings that the code sets; owned */
	char fdw_schema[SEAL_SCHEMA_MAX]; /* the schema of postgres_fdw; "": not installed, or unknown */
	char version[CODE_VERSION_MAX]; /* of the code; "": unknown */
	struct code_culprits culprits[CODE_CULPRITS_MAX];
};

/* Zeroed: nothing is known. */
struct database_code {
	struct code_answer *answer; /* NULL: none yet */
	struct code_answer *coming; /* an answer under way, or NULL */
	bool is_of_several; /* the name means several databases, by user, so no answer holds for all of them */
	uint32_t round; /* the number of coming: answers to questions of earlier rounds are ignored */
	bool is_broken; /* coming lacks a row that could not be kept */
	bool is_version_asked; /* coming is to have the version alone */
	bool is_outdated; /* the version was another one than the answer's */
	uint64_t answered_us, asked_us, used_us, cost_us; /* cost_us: how long the last answer took */
	uint64_t read_asked_us, read_cost_us; /* the same of the last answer that was more than a version */
	uint64_t believed_until_us; /* 0: there is no answer, or DDL was seen since it was asked for */
	uint64_t changed, changed_asked; /* how often DDL was seen: up to now, and up to the question */
	uint64_t made; /* the value of changed when DDL last made functions */
	uint64_t changed_answered;
	uint64_t failed_us; /* 0, or when a question last failed */
};

void database_code_fini(struct database_code *code);
static inline bool
database_code_is_known(const struct database_code *code, uint64_t now_us)
{
	return now_us < code->believed_until_us;
}
unsigned database_code_feared(const struct database_code *code); /* the parts when no answer is valid */
/* Returns the parts (enum state_part) that the code could touch. */
static inline unsigned
database_code_parts(const struct database_code *code, uint64_t now_us)
{
	return database_code_is_known(code, now_us) ? code->answer->parts & ~(unsigned)STATE_COMPILED
						    : database_code_feared(code);
}
/*
 * Returns which of STATE_COMPILED the code gives cause for. An answer that has grown old counts until there is another;
 * when this one finds more, all servers are closed (pool_code.c).
 */
static inline unsigned
database_code_compiled(const struct database_code *code)
{
	if (code->answer == NULL || code->is_of_several)
		return STATE_TYPES | STATE_SHADOWED;
	return code->answer->parts & STATE_COMPILED;
}
/* A type or table that is made may be one more of a name that functions declare. */
bool database_code_minds_types(const struct database_code *code);
/* Returns false if the catalogs have none; temporary sequences of all sessions count. */
static inline bool
database_code_has_sequences(const struct database_code *code, uint64_t now_us)
{
	return !database_code_is_known(code, now_us) || !code->answer->has_no_sequence;
}
/* Returns whether it is time to ask on an idle connection. */
bool database_code_is_due(const struct database_code *code, uint64_t now_us);
/* Returns whether there was no answer for so long that it should be asked even if somebody must wait for that. */
bool database_code_is_overdue(const struct database_code *code, uint64_t now_us);
/* Call it when DDL was seen; is_made: it made functions, or types that these may name. */
void database_code_changed(struct database_code *code, bool is_made);
/* Begins code->round and returns the query to send. */
const char *database_code_ask(struct database_code *code, uint64_t now_us);
void database_code_row(struct database_code *code, const uint8_t *body, size_t len, bool is_whole);
/* The answer is complete (ok), or there is none. Returns true if it is the first or differs from the last one. */
bool database_code_answered(struct database_code *code, bool ok, uint64_t now_us);

#endif
