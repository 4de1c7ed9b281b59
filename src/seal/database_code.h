/*
 * src/seal/database_code.h - what the code of one database could do to the session of a client that uses it: its
 * functions, triggers, views, rules, policies, defaults, checks, operators and casts, by the names that reach it.
 *
 * PostgreSQL's catalogs are queried on an idle connection: soon after the first use, when DDL was seen, and again when
 * the answer has grown old, while the database is in use. As long as there is no answer, or it has expired, all SQL is
 * as risky as can be. To read all code may take a second. So it is asked first whether there is any (as long as there
 * was none), or whether it is still that of the last answer, which costs a few milliseconds. An answer is believed for
 * as long as it takes to ask that again; SQL of clients that come later is as risky as can be. One server is asked at a
 * time.
 *
 * Code counts from when DDL is seen, on all loops at once; what changes it where no tag tells (another program, a
 * function) counts when the version is another one. SQL that may do so (RISK_CODE) has all washed off its own server.
 *
 *   database_code.c       asks, and keeps the answer
 *   database_code_news.c  those of all databases; DDL that one loop sees counts on all
 *
 * The answer also has the version of the settings that each role's sessions begin with.
 *
 * Owns:   the answer. Pure: no I/O, no clock.
 * Always: other loops write what is atomic here, and read what the lock guards; all else is its own loop's. An answer
 * that was asked for before the last DDL is not believed.
 */
#pragma once

#include "seal/risk_names.h"
#include "seal/role_settings.h"
#include "seal/seal.h"
#include "sql/scan.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct code_news; /* database_code_news.c: the databases of all loops, and their lock */

#define CODE_DATABASE_MAX 256u
#define CODE_NAMES_MAX 200u /* custom settings */
#define CODE_VERSION_MAX 64u
#define CODE_AHEAD_US UINT64_C(500000) /* so long before an answer expires a returned server may be asked again */
#define CODE_ANSWER_US UINT64_C(3000000) /* the statement_timeout of each question (database_code_settings.sql) */

struct code_answer {
	struct risk_names *risks; /* owned */
	unsigned name_count;
	bool has_no_sequence; /* the database has none */
	char *names[CODE_NAMES_MAX]; /* the custom settings that the code sets; owned */
	char fdw_schema[SEAL_SCHEMA_MAX]; /* the schema of postgres_fdw; "": not installed, or unknown */
	char version[CODE_VERSION_MAX]; /* of the code; "": unknown */
	struct role_settings roles; /* owned */
};

/* A host's last word on the settings that sessions begin with there. */
struct code_host {
	uint64_t host; /* a hash of its address */
	uint64_t settings; /* role_settings_hash(); 0: unknown */
	uint64_t answered_us; /* the last time */
	uint64_t changed_us,
	    grace_us; /* when it first said these; it has had them for so long, if nothing else is known */
};

enum code_question {
	CODE_ANY, /* is there any? If not, that is the answer */
	CODE_VERSION, /* is it that of the last answer? */
	CODE_ALL
};

/* Code that may have left something, by which so many servers are closed. */
#define CODE_BLAMED_MAX 8u
struct code_blame {
	uint32_t closes;
	char why[160]; /* as risk_names_blame() has it, cut */
};

/* DATABASE_TEMPLATE: or it refuses new connections. */
enum database_kind { DATABASE_PLAIN, DATABASE_TEMPLATE };

/* Zeroed as long as nothing is known. */
struct database_code {
	struct code_answer *answer; /* NULL if there is none yet */
	struct code_answer *coming; /* an answer under way, or NULL */
	struct code_blame blamed[CODE_BLAMED_MAX]; /* of so many closes; the last is all others */
	uint32_t closes; /* of all of them; 0: what is there is of an earlier time, and was logged */
	uint64_t told_us; /* when it was logged last; 0: never */
	uint32_t number; /* of the answer: no other one of any database has it; 0: there is none */
	uint32_t round; /* the number of coming: answers to questions of earlier rounds are ignored */
	bool is_broken; /* coming lacks a row that could not be kept */
	uint8_t kind; /* enum database_kind */
	bool has_code; /* there was some once: from then on the first is not asked */
	enum code_question asked; /* for coming */
	uint64_t altered_us; /* when settings that sessions begin with were last altered; 0: it was asked for since */
	bool is_outdated; /* the version was another one than the answer's, which has counted as DDL */
	uint64_t answered_us, asked_us, used_us;
	uint64_t cost_us; /* how long a question about the version took, at least; 0: there was none since the answer */
	uint64_t read_asked_us, read_cost_us; /* when the answer was asked for, and how long it took */
	_Atomic uint64_t believed_until_us; /* 0: there is no answer, or DDL was seen since it was asked for */
	_Atomic uint64_t changed; /* how often DDL was seen */
	_Atomic uint64_t made; /* the value of changed when DDL last made functions that may keep something */
	_Atomic uint64_t reached; /* the value of changed when DDL last may have given such code another name */
	uint64_t named; /* the value of changed when DDL last made code that does so by its own words; guarded */
	uint64_t replaced_us; /* when there was another answer than before */
	uint64_t reaches_us; /* when there was one that may tell of that */
	struct code_host *hosts; /* owned: pool_defaults.c */
	unsigned host_count;
	uint64_t answered_by; /* code_host.host of the last answer; 0: there is none */
	const char *harmless; /* declared, as value_code() writes it; NULL, "": nothing is */
	struct buf question; /* the last one, if something is */
	struct code_news *news; /* NULL if no other loop is concerned */
	LIST_ENTRY(database_code) in_news; /* guarded */
	char database[CODE_DATABASE_MAX]; /* PostgreSQL's name of it; what is longer than any name can be is cut */
	uint64_t changed_asked, changed_answered; /* the values of changed when it was asked, and of the answer */
	bool is_settled; /* no DDL was seen while the last answer was under way */
	uint64_t refused_until_us; /* 0, or until when it is not asked again, as it has failed */
	unsigned gone; /* what earlier answers told of that no reset removes: a standby may have that code still */
	/* Lasting parts (pool_code.c) that servers have come without, so the first answer counts as news of them. */
	unsigned unheeded;
};

void database_code_fini(struct database_code *code);
/* Returns true if the last answer is still believed. */
static inline bool
database_code_is_known(const struct database_code *code, uint64_t now_us)
{
	return now_us < atomic_load_explicit(&code->believed_until_us, memory_order_relaxed);
}
/* The parts (enum state_part) that any SQL could touch while no answer is valid. */
unsigned database_code_feared(const struct database_code *code);
/*
 * Returns the parts (enum state_part) that this SQL could touch, and sets *kept, if kept is not NULL, to what its names
 * make of it where that was looked up and its words show what it runs. types: see risk_names_of_types(), or NULL.
 */
unsigned database_code_look_up(const struct database_code *code, uint64_t now_us, struct sql_risk *kept,
			       const char *sql, size_t len, const uint8_t *types, size_t types_len);
/* Sets *risk to the parts (enum state_part) that SQL could touch; false: database_code_look_up() must tell. */
static inline bool
database_code_knows_risk(const struct database_code *code, uint64_t now_us, const struct sql_risk *kept, unsigned *risk)
{
	*risk = 0;
	if (kept == NULL || kept->number != code->number || !database_code_is_known(code, now_us))
		return false;
	*risk = kept->parts;
	return true;
}

/* Returns the parts that this SQL could touch; sql is NULL for SQL that is not known. */
static inline unsigned
database_code_risk(const struct database_code *code, uint64_t now_us, struct sql_risk *kept, const char *sql,
		   size_t len, const uint8_t *types, size_t types_len)
{
	unsigned risk;

	return database_code_knows_risk(code, now_us, kept, &risk)
		   ? risk
		   : database_code_look_up(code, now_us, kept, sql, len, types, types_len);
}
/*
 * Returns true if this SQL is one read that may be run twice without a visible effect, as far as is known now: a
 * SELECT, VALUES or TABLE, no name of which reaches more than reading. Such SQL touches no session state, but may make
 * plans.
 */
bool database_code_is_repeatable(const struct database_code *code, uint64_t now_us, struct sql_risk *kept,
				 const char *sql, size_t len, const uint8_t *types, size_t types_len);
/* Returns false if the catalogs have none but temporary ones. */
static inline bool
database_code_has_sequences(const struct database_code *code, uint64_t now_us)
{
	return !database_code_is_known(code, now_us) || !code->answer->has_no_sequence;
}
/*
 * Returns RISK_CONTEXT if any SQL may have that. An answer that has grown old counts until there is another, which
 * closes all servers if it finds more (pool_code.c).
 */
static inline unsigned
database_code_compiled(const struct database_code *code)
{
	if (code->answer == NULL)
		return RISK_CONTEXT;
	return (risk_names_all(code->answer->risks) & RISK_CONTEXT) |
	       (code->changed_answered != code->changed ? RISK_CONTEXT : 0u);
}
/* Returns true if it is time to ask on an idle connection. */
bool database_code_is_due(const struct database_code *code, uint64_t now_us);
/* Returns true if the answer tells of what was made until then (a value of code->made). */
static inline bool
database_code_has_answer(const struct database_code *code, uint64_t made)
{
	return code->answer != NULL && code->changed_answered >= made;
}
enum code_turn {
	CODE_GO,
	CODE_ASK, /* it goes on when there is an answer */
	CODE_WAIT /* until there is one that tells of what was made, or it is time to ask itself */
};
/*
 * Returns what is to be done with a server that has come back when code->made was this. It may have run what had been
 * made, and that may leave what nothing resets, so it is not lent before there is an answer that tells. is_free: it has
 * run nothing, or is closed in any case, so it waits for nothing, and asks for others.
 */
enum code_turn database_code_turn(const struct database_code *code, uint64_t made, bool is_free, uint64_t now_us);
/* Called when ALTER ROLE or ALTER DATABASE was seen: the next server that comes back asks, and no client waits for the
 * answer. */
void database_code_altered(struct database_code *code, uint64_t now_us);
/*
 * Call it when DDL was seen. risk: with RISK_KEEPS it may have made functions that keep what nothing resets, with
 * RISK_REACHES only what reaches such; with RISK_FEARED it was seen while that was feared of any SQL.
 */
void database_code_changed(struct database_code *code, unsigned risk);
/* Begins code->round and returns the query to send, valid until the next. There must be no other one under way. */
const char *database_code_ask(struct database_code *code, uint64_t now_us);
/* called when the server that was asked has gone without an answer */
void database_code_lost(struct database_code *code);
void database_code_row(struct database_code *code, const uint8_t *body, size_t len, bool is_whole);
/* The answer is complete (ok), or there is none; number: for code->number. Returns true if it is another one. */
bool database_code_answered(struct database_code *code, bool ok, uint32_t number, uint64_t now_us);
/* Returns true if all that is known is that there is code, which must be read at once. */
static inline bool
database_code_is_unread(const struct database_code *code)
{
	return code->asked == CODE_ANY && code->has_code;
}

/* --- database_code_news.c --- */
struct code_news *code_news_new(void); /* for all loops of a process */
void code_news_free(struct code_news *news); /* after the last database has left; NULL is fine */
/* code: zeroed, this loop's. database: PostgreSQL's name of it. */
void database_code_join(struct database_code *code, struct code_news *news, const char *database);
void database_code_leave(struct database_code *code); /* fine if it has not joined */
/* Called when DDL was seen in a database of this name (PostgreSQL's), or in any if it is NULL: the databases of that
 * name are told, on all loops. */
void code_news_changed(struct code_news *news, const char *database, unsigned risk);
/* Between these nothing changes that the lock guards. */
void database_code_hold(const struct database_code *code);
void database_code_let_go(const struct database_code *code);

/*
 * Holds what is known of the code of each database of PostgreSQL's that pools of one loop lead to: it belongs to that
 * database, however many names and users it has here. Owns each as long as there are references.
 */
struct pool;
struct stored_code; /* database_code_news.c */
TAILQ_HEAD(stored_codes, stored_code);
struct code_store {
	struct code_news *news; /* database_code.h; NULL if no other loop is concerned */
	uint64_t seed; /* random: names come from clients */
	struct stored_code *table;
	struct stored_codes in_use; /* those that may be due */
};

void code_store_init(struct code_store *all, uint64_t seed, struct code_news *news);
/*
 * key: two strings: one equal for the same database on the same hosts (pool_target_home), and database_code.harmless.
 * Returns a reference; NULL without memory.
 */
struct database_code *code_store_get(struct code_store *all, const void *key, size_t len, const char *database);
struct database_code *code_store_ref(struct database_code *code);
void code_store_put(struct code_store *all, struct database_code *code); /* NULL is fine */
/* The pool uses code, and has a server that may be asked about it. */
void code_store_used(struct code_store *all, struct database_code *code, struct pool *by, uint64_t now_us);
void code_store_forget(struct database_code *code,
		       const struct pool *pool); /* the pool ends, or has other code now; code: NULL is fine */
/* Calls ask for each database that is due, with the pool that used it last. Skips databases that no pool has used
 * since. */
void code_store_tick(struct code_store *all, void (*ask)(struct pool *pool, uint64_t now_us), uint64_t now_us);
