/*
 * src/seal/database_code.h - finds out which session state the code of one database (functions, triggers, views, rules,
 * policies, defaults, checks, operators, casts) could change, and the names by which SQL reaches such code
 * (risk_names.h).
 *
 * pgweir queries PostgreSQL's catalogs on an idle connection. Below, this query is called the question, and its rows
 * the answer. While clients use the database, pgweir asks soon after the first use, after DDL, and again when the
 * answer is old. Without a valid answer, all SQL has every risk (database_code_assumed_risk()). It may take a second to
 * read all code, so pgweir first asks a cheap question of a few milliseconds. As long as no code was found, the cheap
 * question is: does the database have any code? Later, the cheap question is: has the code changed since the last
 * answer? One server is asked at a time.
 *
 * DDL that pgweir sees makes the answers of all event loops invalid at once. Changes that no command tag shows (by
 * another program, or within a function) are noticed when the code's version differs from the last answer's. After SQL
 * that may make such a change (RISK_CODE), all state is washed off the server.
 *
 *   database_code.c  asks, and keeps the answer
 *   code_registry.c  lists the structs database_code of all loops; when one loop sees DDL, notes the DDL in all structs of
 *                    the same database
 *
 * The answer also has the versions of the settings with which sessions begin (role_settings.h).
 *
 * Owns:   the answer. The functions do no I/O and read no clock.
 * Always: other loops write the atomic members and ddl_at_own_words, under the registry's lock, and use in_registry and
 *         database; all other members are used only by the struct's own loop. An answer that was asked for before the
 *         last DDL is not valid.
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

struct code_registry; /* the structs database_code of all loops, and their lock; code_registry.c */

#define CODE_DATABASE_MAX 256u
#define CODE_SETTINGS_MAX 200u /* the most custom settings of an answer */
#define CODE_VERSION_MAX 64u
/* A server that its client returns may be asked when the answer has at most this long left until it expires. */
#define CODE_AHEAD_US UINT64_C(500000)
#define CODE_ANSWER_US UINT64_C(3000000) /* the statement_timeout of each question (database_code_settings.sql) */

struct code_answer {
	struct risk_names *risks; /* owned */
	unsigned setting_count;
	bool has_no_sequence; /* the database has no sequences */
	char *settings[CODE_SETTINGS_MAX]; /* setting_count custom settings that the code may set; owned */
	char fdw_schema[SEAL_SCHEMA_MAX]; /* for seal_put(): the schema of postgres_fdw, or "" */
	char version[CODE_VERSION_MAX]; /* the version of the code; "" if unknown */
	struct role_settings roles; /* owned */
};

/* The last report of a host about the settings with which sessions begin there (pool/pool_defaults.h). */
struct code_host {
	uint64_t host_hash; /* a hash of the host's address */
	uint64_t settings_hash; /* role_settings_hash() of these settings; 0 if unknown */
	uint64_t answered_us; /* when the host last reported its settings */
	uint64_t changed_us; /* when the host first reported these settings */
	/* a server whose settings are not known, and that logged in at most this long before changed_us, is taken to
	 * have these settings, too */
	uint64_t grace_us;
};

enum code_question {
	CODE_ANY, /* asks if there is any code; if there is none, the answer is complete */
	CODE_VERSION, /* asks if the code is still that of the last answer */
	CODE_ALL /* asks for everything that the answer has */
};

/* Code that may leave state that nothing resets. Servers that have run this code were closed. */
#define CODE_BLAMED_MAX 8u
struct code_blame {
	uint32_t closes;
	char why[160]; /* a reason of risk_names_blame(), cut */
};

/* DATABASE_TEMPLATE: a template, or a database that refuses new connections. */
enum database_kind { DATABASE_PLAIN, DATABASE_TEMPLATE };

/* The knowledge that one event loop has about the code of one database. Zeroed at first. */
struct database_code {
	struct code_answer *answer; /* NULL if there is none yet */
	struct code_answer *incoming; /* the answer that is being received, or NULL */
	struct code_blame blamed[CODE_BLAMED_MAX]; /* the last entry counts all other code */
	uint32_t closes; /* servers closed since told_us; if 0, blamed[] is about the time before told_us */
	uint64_t told_us; /* when blamed[] was last logged; 0 if never */
	uint32_t number; /* the answer's number, which no other answer of any database has; 0 without an answer */
	uint32_t question_number; /* the number of the last question; answers to earlier questions are ignored */
	bool is_broken; /* incoming lacks a row, which was too long or for which there was no memory */
	uint8_t kind; /* enum database_kind */
	bool has_code; /* the database has had code at some time, so CODE_ANY is not asked any more */
	enum code_question asked; /* the last question */
	/* when ALTER ROLE or ALTER DATABASE last changed the settings with which sessions begin; 0 if a question was
	 * asked since */
	uint64_t altered_us;
	bool is_outdated; /* the code's version has changed since the answer; that change was counted as DDL */
	uint64_t answer_asked_us; /* when the question of the last answer was asked */
	uint64_t asked_us; /* when the last question was asked */
	uint64_t used_us; /* when a pool last used the code */
	uint64_t cost_us; /* the shortest time of a cheap question since the last full answer; 0 if none was asked */
	uint64_t read_asked_us, read_cost_us; /* when the last full answer was asked for, and how long it took */
	/* until when the answer is valid; 0 if there is no answer, or if DDL was seen after its question was asked */
	_Atomic uint64_t believed_until_us;
	_Atomic uint64_t ddl_count; /* how often DDL was seen; the ddl_at_* fields are earlier values of ddl_count */
	_Atomic uint64_t ddl_at_risk_keeps; /* ddl_count at the last DDL with RISK_KEEPS */
	/* ddl_count at the last DDL with RISK_KEEPS, RISK_OWN_WORDS or RISK_ASSUMED; set back to ddl_at_own_words by an
	 * answer which shows that DDL with RISK_ASSUMED has made no code that reaches functions which keep state */
	_Atomic uint64_t ddl_at_assumed;
	/* ddl_count at the last DDL with RISK_KEEPS or RISK_OWN_WORDS; guarded by the lock */
	uint64_t ddl_at_own_words;
	uint64_t full_answer_us; /* when the last full answer came */
	/* when a full answer last gave STATE_BACKEND to names that did not have STATE_BACKEND before */
	uint64_t new_keepers_us;
	struct code_host *hosts; /* owned; for pool_defaults.c */
	unsigned host_count;
	uint64_t answered_by; /* code_host.host_hash of the last answer; 0 if there is none */
	/* the declarations of harmless_code, as value_harmless_code() writes them; NULL or "" if there are none */
	const char *harmless;
	struct buf question; /* the text of the last question, if it has the declarations of harmless */
	struct code_registry *registry; /* NULL if no other loop exists */
	LIST_ENTRY(database_code) in_registry; /* guarded by the lock */
	char database[CODE_DATABASE_MAX]; /* the database's name in PostgreSQL; cut if it is too long for any name */
	uint64_t ddl_at_question; /* ddl_count at the last question */
	uint64_t ddl_at_answer; /* ddl_count at the question of the last full answer */
	bool is_settled; /* no DDL was seen between the last answer and its question */
	/* when a wash that found neither dblink nor postgres_fdw last began, and ddl_count at that time; 0 if there was
	 * no such wash since the last full answer */
	uint64_t no_remote_us, no_remote_ddl;
	uint64_t refused_until_us; /* if the last question has failed: until when nothing is asked; else 0 */
	unsigned earlier_risks; /* STATE_BACKEND and RISK_CONTEXT of earlier answers; a standby may have that code */
	/* Bits of pool_code_known_leftovers() that were not known on the workers from which servers were transferred to
	 * this one. If the first answer here has such a bit, that bit counts as new. */
	unsigned unknown_elsewhere;
};

void database_code_fini(struct database_code *code);
/* Returns true if the last answer is still valid. */
static inline bool
database_code_is_known(const struct database_code *code, uint64_t now_us)
{
	return now_us < atomic_load_explicit(&code->believed_until_us, memory_order_relaxed);
}
/* Returns the risk (enum state_part, enum code_risk) that any SQL has while no answer is valid. */
unsigned database_code_assumed_risk(const struct database_code *code);
/* Returns what database_code_assumed_risk() returns, but without STATE_REMOTE if a wash that began less than a second
 * ago has found neither dblink nor postgres_fdw, and no DDL was seen since. */
unsigned database_code_assumed_risk_now(const struct database_code *code, uint64_t now_us);
/* Returns the risk of this SQL; sql is NULL if the SQL is not known. If kept is not NULL, and the SQL is not opaque,
 * sets *kept to the risk that the SQL has because of its names and types. types: see risk_names_of_types(); or NULL. */
unsigned database_code_find_risk(const struct database_code *code, uint64_t now_us, struct sql_risk *kept,
				 const char *sql, size_t len, const uint8_t *types, size_t types_len);
/* Sets *risk to the risk in *kept, and returns true. Returns false if *kept is outdated, or if kept is NULL; in that
 * case database_code_find_risk() finds the risk. */
static inline bool
database_code_get_kept_risk(const struct database_code *code, uint64_t now_us, const struct sql_risk *kept,
			    unsigned *risk)
{
	*risk = 0;
	if (kept == NULL || kept->number != code->number || !database_code_is_known(code, now_us))
		return false;
	*risk = kept->parts;
	return true;
}

/* Returns the risk of this SQL, from *kept if possible; else what database_code_find_risk() returns. */
static inline unsigned
database_code_risk(const struct database_code *code, uint64_t now_us, struct sql_risk *kept, const char *sql,
		   size_t len, const uint8_t *types, size_t types_len)
{
	unsigned risk;

	return database_code_get_kept_risk(code, now_us, kept, &risk)
		   ? risk
		   : database_code_find_risk(code, now_us, kept, sql, len, types, types_len);
}
/* Returns true if this SQL is certainly a single read that may run twice without a visible effect: a SELECT, VALUES or
 * TABLE whose names reach only code that reads. Such SQL changes no session state, but may make plans. */
bool database_code_is_repeatable(const struct database_code *code, uint64_t now_us, struct sql_risk *kept,
				 const char *sql, size_t len, const uint8_t *types, size_t types_len);
/* Returns false if the database certainly has no sequences, except temporary ones. */
static inline bool
database_code_has_sequences(const struct database_code *code, uint64_t now_us)
{
	return !database_code_is_known(code, now_us) || !code->answer->has_no_sequence;
}
/* Returns RISK_CONTEXT if any SQL may have that risk; else 0. Uses the last answer even if it has expired: if the next
 * answer has RISK_CONTEXT and the last one did not, pool_code.c closes all servers. */
static inline unsigned
database_code_context_risk(const struct database_code *code)
{
	if (code->answer == NULL)
		return RISK_CONTEXT;
	return (risk_names_of_opaque(code->answer->risks) & RISK_CONTEXT) |
	       (code->ddl_at_answer != code->ddl_count ? RISK_CONTEXT : 0u);
}
/* Returns true if a question is due, to be asked on an idle connection. */
bool database_code_is_due(const struct database_code *code, uint64_t now_us);
/* Returns true if there is an answer to a question asked after the DDL that set code->ddl_at_risk_keeps to this. */
static inline bool
database_code_has_answer(const struct database_code *code, uint64_t ddl_at_risk_keeps)
{
	return code->answer != NULL && code->ddl_at_answer >= ddl_at_risk_keeps;
}
enum code_decision {
	CODE_GO, /* lend the server again at once */
	CODE_ASK, /* ask on this server, and lend it again after the answer */
	CODE_WAIT /* hold the server until an answer comes that is new enough, or until this server may be asked */
};
/* Returns what to do with a server that its client has returned. ddl_at_risk_keeps: the value of
 * code->ddl_at_risk_keeps at that time. Earlier DDL may have made functions whose state nothing resets, and the server
 * may have run them; so the server must not be lent until an answer shows such functions. needs_no_hold: the server has
 * run nothing, or will be closed in any case, so the server need not be held, but may be asked. */
enum code_decision database_code_decide(const struct database_code *code, uint64_t ddl_at_risk_keeps,
					bool needs_no_hold, uint64_t now_us);
/* Call this after ALTER ROLE or ALTER DATABASE. The next server that a client returns is asked; no client waits for the
 * answer. */
void database_code_altered(struct database_code *code, uint64_t now_us);
/* Call this when DDL was seen. risk: bits of the DDL's risk. RISK_KEEPS: the DDL may have made functions whose state
 * nothing resets. RISK_OWN_WORDS: by its words, the DDL may have made code that reaches such functions. RISK_ASSUMED:
 * the DDL is taken to have made such code, but only because there is no valid answer. */
void database_code_changed(struct database_code *code, unsigned risk);
/* Begins another question. Returns the query to send, valid until the next call. Drops an answer that is being
 * received.
 */
const char *database_code_ask(struct database_code *code, uint64_t now_us);
/* Drops the answer that is being received, because the server that was asked has gone. */
void database_code_lost(struct database_code *code);
/* Handles a row of the answer. is_whole: false if the row was too long, and body is only its beginning. */
void database_code_row(struct database_code *code, const uint8_t *body, size_t len, bool is_whole);
/* Call at the end of an answer. ok: true if the question did not fail. number: becomes code->number if the answer is a
 * full one. Returns true if code->answer is a new one. */
bool database_code_answered(struct database_code *code, bool ok, uint32_t number, uint64_t now_us);
/* Returns true if the last question was CODE_ANY, and has found code, which must now be read. */
static inline bool
database_code_is_unread(const struct database_code *code)
{
	return code->asked == CODE_ANY && code->has_code;
}

/* --- code_registry.c --- */
struct code_registry *code_registry_new(void); /* for all loops of a process */
/* Call this when no struct is in the registry any more. registry may be NULL. */
void code_registry_free(struct code_registry *registry);
/* Adds a zeroed struct to the registry. database: the name of the database in PostgreSQL. */
void database_code_join(struct database_code *code, struct code_registry *registry, const char *database);
void database_code_leave(struct database_code *code); /* does nothing if code is in no registry */
/* Does what database_code_changed() does, in all loops' structs for databases that have this name in PostgreSQL; in all
 * structs if database is NULL. */
void code_registry_changed(struct code_registry *registry, const char *database, unsigned risk);
void database_code_lock(const struct database_code *code); /* takes the registry's lock, if there is a registry */
void database_code_unlock(const struct database_code *code);

/* A store has the structs database_code of one loop. Pools that connect to the same database of PostgreSQL, under
 * whatever names and users, and have the same harmless_code share one struct. Each struct lives as long as there are
 * references to it. */
struct pool;
struct stored_code; /* code_registry.c */
TAILQ_HEAD(stored_codes, stored_code);
struct code_store {
	struct code_registry *registry; /* NULL if there is no other loop */
	uint64_t seed; /* for the hash table; random, because names come from clients */
	struct stored_code *table;
	/* the structs that pools have used since their last question; code_store_tick() visits them */
	struct stored_codes watched;
};

void code_store_init(struct code_store *all, uint64_t seed, struct code_registry *registry);
/* Returns a new reference to the struct with this key. Makes the struct if there is none; returns NULL if there is no
 * memory. The key is two strings, each with a terminator: pool_target_database_key(), and database_code.harmless.
 * database: the name of the database in PostgreSQL. */
struct database_code *code_store_get(struct code_store *all, const void *key, size_t len, const char *database);
struct database_code *code_store_ref(struct database_code *code);
void code_store_unref(struct code_store *all, struct database_code *code); /* code may be NULL */
/* Notes that the pool `by` uses the code, so one of its servers may be asked about the code. */
void code_store_used(struct code_store *all, struct database_code *code, struct pool *by, uint64_t now_us);
/* Call when the pool ends, or uses another struct now. code may be NULL. */
void code_store_forget_pool(struct database_code *code, const struct pool *pool);
/* For each struct whose question is due (database_code_is_due()), calls ask() with the pool that used the code last. */
void code_store_tick(struct code_store *all, void (*ask)(struct pool *pool, uint64_t now_us), uint64_t now_us);
