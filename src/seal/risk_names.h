/*
 * src/seal/risk_names.h - the risky names of one database: they tell which session state SQL that uses them could
 * touch.
 *
 * SQL reaches a function of the database only through a name or symbol that stands in it, through syntax that stands
 * for a symbol, through the type of a parameter, or through what PostgreSQL stores as using it. The catalogs say which
 * names these are (seal/database_code.sql); here the words of SQL are looked up. Opaque SQL, whose words don't show
 * what it runs, has the risk of the whole database: DO, U&"...", DDL but for CREATE and DROP of tables, views, indexes
 * and sequences, and whatever does not end properly. But where all that it calls itself shows (TRUNCATE, GRANT, ALTER,
 * CREATE FUNCTION without EXECUTE, ...), what nothing resets counts only if a name or an object reaches that.
 *
 * A name that nothing had when the code was read, in the place of a call or of a relation, is as risky as can be, too:
 * what has it is new. That is a risk of names that are known, so it takes at least one.
 *
 * Pure. Owns: its names.
 * Always: SQL that differs only in numbers, and in strings without backslashes, has the same risk (sql/scan_memory.h),
 * unless that is opaque: a body is a string, too.
 */
#pragma once

#include "seal/seal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RISK_NAMES_MAX 20000u /* more than these: each word is as risky as the whole database */

enum risk_kind {
	RISK_FUNCTION, /* counts before "(" and after "." */
	RISK_RELATION, /* or a type: counts anywhere */
	RISK_OPERATOR, /* counts in any run of operator characters that contains it */
	RISK_KEYWORD, /* stands for a symbol, and counts anywhere */
	RISK_DECLARED, /* no name of SQL's, and no risk: what harmless_code has, "function app.price" */
	RISK_KINDS
};

/* enum state_part, enum code_risk */
struct risk {
	uint32_t always;
	uint32_t in_writes; /* besides, in SQL that has a word like INSERT */
};

/* Whatever could touch all of these runs SQL that it makes itself, and so reaches whatever the database has. */
#define RISK_DYNAMIC 0xffu

struct risk_names; /* opaque: risk_names.c */

struct risk_names *risk_names_new(void); /* returns an empty set, or NULL without memory */
void risk_names_free(struct risk_names *names); /* NULL is fine */
/*
 * name: in lower case, at most 63 bytes; equal ones are added up. All that are not ASCII are RISK_BEYOND_ASCII, as
 * encodings differ. reason: for people to read. Returns 0, or -1: no memory.
 */
#define RISK_BEYOND_ASCII "\x7f"
int risk_names_add(struct risk_names *names, enum risk_kind kind, const char *name, struct risk risk,
		   const char *reason);
/* name: of a function, relation, type or keyword, risky or not; more than these: no name is new. The same. */
#define RISK_KNOWN_MAX 200000u
int risk_names_add_known(struct risk_names *names, const char *name);
/* name: of a function, or of a relation, that may do more than read (RISK_EFFECTS), after all that are known. The same.
 */
int risk_names_add_effects(struct risk_names *names, const char *name, bool is_function);
int risk_names_add_type(struct risk_names *names, uint32_t oid, struct risk risk); /* of parameters; the same */
/*
 * all: of opaque SQL, besides that of the names; ever: of any SQL, even if it has none of the names; ddl: of DDL;
 * by_objects: of SQL that calls only functions that it names, by what tables, types, operators, ... have.
 */
void risk_names_set_all(struct risk_names *names, unsigned all, unsigned ever, unsigned ddl, unsigned by_objects);
unsigned risk_names_all(const struct risk_names *names); /* of opaque SQL */
/* Returns a number that is another one if other names reach what nothing resets. */
uint64_t risk_names_keepers(const struct risk_names *names);
/*
 * Returns the parts (enum state_part, RISK_BY_CALLS) that this SQL could touch, whichever settings PostgreSQL reads it
 * under. With RISK_EFFECTS, unless it is known to be one statement that reads, and may be run twice without a visible
 * effect.
 */
unsigned risk_names_of_sql(const struct risk_names *names, const char *sql, size_t len);
/*
 * Returns what text that is run as SQL (a body of DO, an argument of what runs it) may leave that counts by its words
 * alone: of names, or if names is NULL of none, STATE_BACKEND and WASH_POINTS; and STATE_BACKEND if it may make an
 * extension, a language, or a function in C, or load a library. What the text makes may be gone again after it, by an
 * error or a DROP: then neither a tag nor the catalogs tell of it, and the backend keeps what it has left.
 */
unsigned risk_names_of_text(const struct risk_names *names, const char *text, size_t len);
/* types: of a Parse, an int16 count and so many OIDs; malformed ones are as risky as can be. */
unsigned risk_names_of_types(const struct risk_names *names, const uint8_t *types, size_t len);
/*
 * Returns the reason for a risk that this SQL has (part: STATE_BACKEND, say): that of the most likely name, which is a
 * word of the SQL if possible; or NULL if no name has the risk.
 */
const char *risk_names_blame(const struct risk_names *names, unsigned part, const char *sql, size_t len);
/* Calls row for each name, in no order. */
void risk_names_each(const struct risk_names *names,
		     void (*row)(const char *name, enum risk_kind kind, struct risk risk, const char *reason,
				 void *arg),
		     void *arg);
