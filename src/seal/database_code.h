/*
 * src/seal/database_code.h - finds out which session state the code of one database (functions, triggers, views, rules,
 * policies, defaults, checks, operators, casts) may change, and by which names SQL reaches the code (risk_names.h).
 *
 * pgweir queries PostgreSQL's catalogs on an idle connection. Below, this query is called the question, and its rows
 * the answer. While clients use the database, pgweir asks soon after the first use, after DDL, and again when the
 * answer is old. Without a valid answer, pgweir assumes that all SQL changes all state that can be washed
 * (database_code_assumed_risk()). Reading all code may take a second, so where possible pgweir asks a cheap question,
 * which takes a few milliseconds. If no DDL was seen since the last answer, the cheap question is: has the code
 * changed? Else, if no code was ever found: is there any code? Each loop asks one server at a time.
 *
 * DDL that pgweir sees makes the answers of all event loops invalid at once. pgweir notices all other changes (made by
 * another program, or within a function) when the code's version differs from that of the last answer. After SQL that
 * may change the code unseen (RISK_CODE), all washable state but STATE_REMOTE is washed off the server.
 *
 *   database_code.c  asks, and keeps the answer
 *   code_registry.c  lists the structs database_code of all loops; tells all structs of a database about its DDL
 *
 * The answer also has the versions of the settings with which sessions begin (role_settings.h).
 *
 * Owns:   the answers and hosts. The functions do no I/O and read no clock.
 * Always: other loops that hold the registry's lock may write the atomic members and last_own_words_ddl, read
 *         `database`, and change in_registry. Only the struct's own loop uses the other members. An answer is not valid
 *         if its question was asked before the last DDL.
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
/* When the answer expires within this time, the next question may be asked on any server that a client returns. */
#define CODE_AHEAD_US UINT64_C(500000)
#define CODE_ANSWER_US UINT64_C(3000000) /* each question's statement_timeout, as in database_code_settings.sql */

struct code_answer {
	struct risk_names *risks; /* owned */
	unsigned setting_count;
	bool has_no_sequence; /* the database has no sequences */
	char *settings[CODE_SETTINGS_MAX]; /* setting_count custom settings that the code may set; owned */
	char fdw_schema[SEAL_SCHEMA_MAX]; /* the parameter fdw_schema of seal_put() */
	char version[CODE_VERSION_MAX]; /* the version of the code; "" if unknown */
	struct role_settings roles; /* owned */
};

/* The settings with which sessions begin on a host, as the host last reported (pool/pool_defaults.h). */
struct code_host {
	uint64_t host_hash; /* hash of the host's address */
	uint64_t settings_hash; /* role_settings_hash() of these settings; 0 if unknown */
	uint64_t answered_us; /* when the host last reported its settings */
	uint64_t changed_us; /* when the host first reported these settings */
	/* a server of unknown settings is assumed to have these settings if it logged in after changed_us - grace_us */
	uint64_t grace_us;
};

enum code_question {
	CODE_ANY, /* asks if there is any code; without code, the answer to this question is a full answer */
	CODE_VERSION, /* asks if the code is still that of the last answer */
	CODE_ALL /* asks for everything that the answer has */
};

/* A reason for closing servers: code that may leave state that nothing resets. */
#define CODE_BLAMED_MAX 8u
struct code_blame {
	uint32_t closes; /* how many servers were closed for this reason */
	char why[160]; /* a reason of risk_names_blame(), cut */
};

/* DATABASE_TEMPLATE means a template, or a database that refuses new connections. */
enum database_kind { DATABASE_PLAIN, DATABASE_TEMPLATE };

/* All that one event loop knows about the code of one database. Zeroed at first. */
struct database_code {
	struct code_answer *answer; /* NULL if there is none yet */
	struct code_answer *incoming; /* the answer that is being received, or NULL */
	struct code_blame blamed[CODE_BLAMED_MAX]; /* the last entry is for all code without an entry of its own */
	uint32_t closes; /* how many servers were closed since blamed[] was last logged */
	uint64_t blame_logged_us; /* when blamed[] was last logged; 0 if never */
	uint32_t number; /* the answer's number, which no other answer of any database has; 0 without an answer */
	uint32_t question_number; /* the number of the last question; answers to earlier questions are ignored */
	bool is_broken; /* `incoming` is incomplete, because a row was too long or there was no memory */
	uint8_t kind; /* enum database_kind */
	bool has_code; /* some answer has shown code, so CODE_ANY is not asked any more */
	enum code_question asked; /* the last question */
	uint64_t role_altered_us; /* when ALTER ROLE or ALTER DATABASE was last seen; 0 if a question was asked since */
	bool is_outdated; /* a cheap question has shown that the code has changed since the last full answer */
	uint64_t answer_asked_us; /* when the question was asked that led to the last accepted answer */
	uint64_t asked_us; /* when the last question was asked */
	uint64_t used_us; /* when a pool last used the code */
	/* the shortest time that a cheap question took since the last full answer; 0 if none was asked */
	uint64_t cheap_cost_us;
	uint64_t full_asked_us, full_cost_us; /* when the last full answer was asked for; how long that answer took */
	/* when the answer expires; 0 if there is no answer, or if DDL was seen after the answer's question was asked */
	_Atomic uint64_t answer_expires_us;
	_Atomic uint64_t ddl_count; /* how often DDL was seen; the fields ddl_at_* and last_*_ddl have earlier values */
	_Atomic uint64_t last_keeping_ddl; /* ddl_count at the last DDL with RISK_KEEPS */
	/* ddl_count at the last DDL with RISK_KEEPS, RISK_OWN_WORDS or RISK_ASSUMED; set back to last_own_words_ddl if
	 * a full answer shows that only the same names as before have STATE_BACKEND */
	_Atomic uint64_t last_assumed_ddl;
	/* ddl_count at the last DDL with RISK_KEEPS or RISK_OWN_WORDS; guarded by the registry's lock */
	uint64_t last_own_words_ddl;
	uint64_t full_answer_us; /* when the last full answer came */
	/* when a full answer last came with which names may have got STATE_BACKEND that had not had it before */
	uint64_t new_backend_names_us;
	struct code_host *hosts; /* owned; for pool_defaults.c */
	unsigned host_count;
	uint64_t answered_by; /* code_host.host_hash of the host that gave the last answer; 0 without an answer */
	/* the setting harmless_code, as value_read_harmless_code() writes it; NULL or "" if it is not set */
	const char *harmless;
	struct buf question; /* the text of the last question, if it contains `harmless` */
	struct code_registry *registry; /* NULL if no other loop exists */
	LIST_ENTRY(database_code) in_registry; /* guarded by the registry's lock */
	char database[CODE_DATABASE_MAX]; /* the database's name in PostgreSQL, cut if it is too long */
	uint64_t ddl_at_question; /* ddl_count at the last question */
	uint64_t ddl_at_full_question; /* ddl_count at the question of the last full answer */
	bool had_no_ddl_since_question; /* no DDL was seen between the last question and its answer */
	/* when the last wash began that found neither dblink nor postgres_fdw, and ddl_count at that time; both are 0
	 * if there was no such wash since the last full answer */
	uint64_t no_remote_us, no_remote_ddl;
	/* If the last question has failed: until when no other is asked, and how long that pause is; else both are 0.
	 * The pause is as long as the question took, but at least 1 s, and doubles at each failure up to 60 s. */
	uint64_t refused_until_us, refused_pause_us;
	/* STATE_BACKEND and RISK_CONTEXT of earlier answers, because a standby may still have that code */
	unsigned earlier_risks;
	/* the bits of this worker's pool_code_known_leftovers() that other workers did not know when they transferred
	 * servers to this worker; if the first answer on this worker has such a bit, that bit counts as new */
	unsigned unknown_elsewhere;
};

void database_code_fini(struct database_code *code);
/* Returns true if the last answer is still valid. */
static inline bool
database_code_is_known(const struct database_code *code, uint64_t now_us)
{
	return now_us < atomic_load_explicit(&code->answer_expires_us, memory_order_relaxed);
}
/* Returns the risk (enum state_part, enum code_risk) that any SQL has while no answer is valid. */
unsigned database_code_assumed_risk(const struct database_code *code);
/* Like database_code_assumed_risk(), but without STATE_REMOTE if, in the last second, a wash has begun that found
 * neither dblink nor postgres_fdw, and no DDL was seen since. */
unsigned database_code_assumed_risk_after_wash(const struct database_code *code, uint64_t now_us);
/* Returns the risk of this SQL, or of unknown SQL if sql is NULL. If kept is not NULL, sets *kept to the risk of the
 * SQL's names and types, unless there is no answer or the SQL is opaque (RISK_OPAQUE). types: see
 * risk_of_parameter_types(); NULL if the SQL is a Query. */
unsigned database_code_compute_risk(const struct database_code *code, uint64_t now_us, struct sql_risk *kept,
				    const char *sql, size_t len, const uint8_t *types, size_t types_len);
/* Sets *risk to the risk in *kept, and returns true. Returns false if kept is NULL or outdated, or without a valid
 * answer. */
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

/* Returns what database_code_compute_risk() does, but takes the risk from *kept if possible. */
static inline unsigned
database_code_risk(const struct database_code *code, uint64_t now_us, struct sql_risk *kept, const char *sql,
		   size_t len, const uint8_t *types, size_t types_len)
{
	unsigned risk;

	return database_code_get_kept_risk(code, now_us, kept, &risk)
		   ? risk
		   : database_code_compute_risk(code, now_us, kept, sql, len, types, types_len);
}
/* Returns true if this SQL is certainly a single read that may run twice without a visible effect: SELECT, VALUES,
 * TABLE or WITH whose names reach only code that reads. Such SQL changes no session state, but may make plans. */
bool database_code_is_sql_repeatable(const struct database_code *code, uint64_t now_us, struct sql_risk *kept,
				     const char *sql, size_t len, const uint8_t *types, size_t types_len);
/* Returns false if the database certainly has no sequences, except temporary ones. */
static inline bool
database_code_has_sequences(const struct database_code *code, uint64_t now_us)
{
	return !database_code_is_known(code, now_us) || !code->answer->has_no_sequence;
}
/* Returns RISK_CONTEXT if there may be SQL with that risk, else 0. Uses the last answer even if it has expired. (If the
 * next answer is the first to have RISK_CONTEXT, pool_code.c closes all servers.) */
static inline unsigned
database_code_context_risk(const struct database_code *code)
{
	if (code->answer == NULL)
		return RISK_CONTEXT;
	return (risk_of_opaque_sql(code->answer->risks) & RISK_CONTEXT) |
	       (code->ddl_at_full_question != code->ddl_count ? RISK_CONTEXT : 0u);
}
/* Returns true if a question must now be asked on an idle connection. */
bool database_code_is_due(const struct database_code *code, uint64_t now_us);
/* Returns true if there is an answer whose question was asked after DDL number last_keeping_ddl. */
static inline bool
database_code_has_answer_after(const struct database_code *code, uint64_t last_keeping_ddl)
{
	return code->answer != NULL && code->ddl_at_full_question >= last_keeping_ddl;
}
enum code_decision {
	CODE_GO, /* lend the server again at once */
	CODE_ASK, /* ask on this server, and lend it again after the answer */
	/* hold the server until there is an answer that is new enough, or a question may be asked on this server */
	CODE_WAIT
};
/* Returns what to do with a server that its client has returned. last_keeping_ddl: code->last_keeping_ddl when the
 * server was returned. That DDL may have made functions whose state nothing resets, and the server may have run these;
 * so the server must not be lent until a later answer has shown which such functions there are. needs_no_hold: true if
 * the server has run nothing, or will be closed in any case; CODE_WAIT is then never returned. */
enum code_decision database_code_decide(const struct database_code *code, uint64_t last_keeping_ddl, bool needs_no_hold,
					uint64_t now_us);
/* Call this after ALTER ROLE or ALTER DATABASE. A question is then asked on the next server that a client returns; no
 * client waits for the answer. */
void database_code_note_alter_role(struct database_code *code, uint64_t now_us);
/* Call this when DDL was seen. risk: the DDL's risk, of which three bits count. RISK_KEEPS: the DDL may have made
 * functions whose state nothing resets. RISK_OWN_WORDS: by its words, the DDL may have made code that reaches such
 * functions. RISK_ASSUMED: the DDL may have made such code, but only for lack of a valid answer. */
void database_code_note_ddl(struct database_code *code, unsigned risk);
/* Begins another question, and drops `incoming`. Returns the query to send, valid until the next call. */
const char *database_code_begin_question(struct database_code *code, uint64_t now_us);
/* Drops the answer that is being received, because the server that was asked has gone. */
void database_code_drop_incoming(struct database_code *code);
/* Handles a row of the answer. is_whole: false if the row was too long, so body has only the row's beginning. */
void database_code_take_row(struct database_code *code, const uint8_t *body, size_t len, bool is_whole);
/* Call at the end of an answer. ok: false if the question failed. number: becomes code->number if the answer is full.
 * Returns true if code->answer was replaced, as by each full answer. */
bool database_code_end_answer(struct database_code *code, bool ok, uint32_t number, uint64_t now_us);
/* Returns true if the last question, CODE_ANY, has found code, so CODE_ALL must be asked next. */
static inline bool
database_code_needs_full_read(const struct database_code *code)
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
/* Does what database_code_note_ddl() does, for the structs of all loops whose database has this name in PostgreSQL, or
 * for all structs if database is NULL. */
void code_registry_note_ddl(struct code_registry *registry, const char *database, unsigned risk);
void database_code_lock(const struct database_code *code); /* takes the registry's lock, if there is a registry */
void database_code_unlock(const struct database_code *code);

/* A store has the structs database_code of one loop. Pools of the same database and harmless_code share a struct, even
 * if their users and their names in pgweir differ. A struct lives as long as it has references. */
struct pool;
struct stored_code; /* code_registry.c */
TAILQ_HEAD(stored_codes, stored_code);
struct code_store {
	struct code_registry *registry; /* NULL if there is no other loop */
	uint64_t seed; /* for the hash table; random, because names come from clients */
	struct stored_code *table;
	/* the structs that code_store_tick() visits, because pools have used them since their last question */
	struct stored_codes watched;
};

void code_store_init(struct code_store *store, uint64_t seed, struct code_registry *registry);
/* Gets or makes the struct with this key. Returns a new reference, or NULL if there is no memory. The key is two
 * terminated strings: pool_target_database_key() and database_code.harmless. database: the name in PostgreSQL. */
struct database_code *code_store_get_or_create(struct code_store *store, const void *key, size_t len,
					       const char *database);
struct database_code *code_store_ref(struct database_code *code);
void code_store_unref(struct code_store *store, struct database_code *code); /* code may be NULL */
/* Notes that the pool `by` uses the code, so the next question may go to one of that pool's servers. */
void code_store_note_use(struct code_store *store, struct database_code *code, struct pool *by, uint64_t now_us);
/* Call when the pool ends, or no longer uses this code. code may be NULL. */
void code_store_forget_pool(struct database_code *code, const struct pool *pool);
/* For each struct whose question is due (database_code_is_due()), calls ask() with the pool that used the code last. */
void code_store_tick(struct code_store *store, void (*ask)(struct pool *pool, uint64_t now_us), uint64_t now_us);
