/*
 * src/seal/risk_names.h - the risky names of one database, and which session state SQL with such names could touch.
 *
 * SQL can reach a function of the database in four ways: by a name or symbol in the SQL, by syntax that stands for a
 * symbol (LIKE), by the type of a parameter, or by an object that the SQL names and that uses the function (a view, a
 * trigger). seal/database_code.sql finds all such names in the catalogs; here the words of SQL are looked up among
 * them. SQL is opaque if its words don't show what it runs: a DO whose text can't be read, U&"...", most DDL (not
 * CREATE and DROP of tables, views, indexes and sequences), and SQL that does not end properly. Opaque SQL has the risk
 * of the whole database, with one exception. Some opaque SQL (TRUNCATE, GRANT, ALTER, CREATE FUNCTION without EXECUTE,
 * ...) shows all functions that it calls itself. Such SQL has STATE_BACKEND only if one of its names reaches such
 * state, or if an object of the database does that is not a function.
 *
 * A name that was not in the catalogs when the code was read may belong to an object that was created since. Where such
 * a new name may be a call or a relation, it is risky, too. If the list of known names was not read, no name counts as
 * new.
 *
 * Pure. Owns: its names.
 * Always: SQL that differs only in numbers, and in strings without backslashes, has the same risk (sql/scan_memory.h),
 *         except opaque SQL, whose strings may be code.
 */
#pragma once

#include "seal/seal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RISK_NAMES_MAX 20000u /* with more names, all SQL is opaque */

enum risk_kind {
	RISK_FUNCTION, /* a function's name: counts before "(" and after "." */
	RISK_RELATION, /* a relation's or a type's name: counts anywhere */
	RISK_OPERATOR, /* a symbol: counts in any run of operator characters that contains it */
	RISK_KEYWORD, /* a word that stands for a symbol: counts anywhere */
	RISK_DECLARED, /* an entry of harmless_code, such as "function app.price": never counts as a name in SQL */
	RISK_KINDS
};

/* Sets of enum state_part and enum code_risk. */
struct risk {
	uint32_t always;
	uint32_t in_writes; /* added in SQL that has a word like INSERT */
};

/* Code that composes the SQL that it runs has a risk with all of these parts, because it may reach all code. */
#define RISK_DYNAMIC 0xffu

struct risk_names; /* opaque: risk_names.c */

struct risk_names *risk_names_new(void); /* returns an empty set, or NULL without memory */
void risk_names_free(struct risk_names *names); /* NULL is fine */
/* Adds a risk to a name, which is in lower case and has at most 63 bytes. Names that are not ASCII must all be given as
 * RISK_BEYOND_ASCII, because encodings differ. reason is for people to read; the reason of the first call is kept.
 * Returns 0, or -1 without memory. */
#define RISK_BEYOND_ASCII "\x7f"
int risk_names_add(struct risk_names *names, enum risk_kind kind, const char *name, struct risk risk,
		   const char *reason);
/* Adds a known name: of a function, relation, type or keyword, risky or not. With more than RISK_KNOWN_MAX of them, no
 * name counts as new. Returns 0, or -1 without memory. */
#define RISK_KNOWN_MAX 200000u
int risk_names_add_known(struct risk_names *names, const char *name);
/* Marks the name of a function or relation that may do more than read (RISK_EFFECTS). Call it after all known names
 * were added. Returns 0, or -1 without memory. */
int risk_names_add_effects(struct risk_names *names, const char *name, bool is_function);
/* Adds a risk to parameters of this type. Returns 0, or -1 without memory. */
int risk_names_add_type(struct risk_names *names, uint32_t oid, struct risk risk);
/*
 * Adds risks that do not belong to a single name.
 * all:        the risk of opaque SQL
 * any_sql:       the risk of any SQL, even if it has none of the names
 * ddl:        the risk of DDL
 * by_objects: the risk of tables, types, operators and all other objects except functions; for opaque SQL that shows
 *             all functions that it calls itself
 */
void risk_names_set_all(struct risk_names *names, unsigned all, unsigned any_sql, unsigned ddl, unsigned by_objects);
unsigned risk_names_of_opaque(const struct risk_names *names); /* returns the risk of opaque SQL */
/* Returns a fingerprint of the set of names that reach state which no reset removes. */
uint64_t risk_names_keepers_hash(const struct risk_names *names);
/* Returns the risk of this SQL, with RISK_BY_CALLS, under any settings with which PostgreSQL may read the SQL. The risk
 * includes RISK_EFFECTS, unless the SQL is known to be one statement that only reads and has no visible effect when it
 * runs twice. */
unsigned risk_names_of_sql(const struct risk_names *names, const char *sql, size_t len);
/*
 * Judges text that may be run as SQL by its words alone: the text of a DO, or an argument of a function that runs SQL.
 * Returns STATE_BACKEND and WASH_POINTS if a word of the text has this risk in `names`, which may be NULL. Returns
 * STATE_BACKEND also if the text may create an extension, a language or a function in C, or load a library. An error or
 * a DROP may remove the new object again; then no command tag and no catalog shows the object, but the backend keeps
 * the state that the object has left.
 */
unsigned risk_names_of_text(const struct risk_names *names, const char *text, size_t len);
/* Returns the risk of a Parse's types: an int16 count and that many OIDs. If they are malformed, returns the risk of
 * the whole database. */
unsigned risk_names_of_types(const struct risk_names *names, const uint8_t *types, size_t len);
/* Returns the reason of a name that has the risk `part` (such as STATE_BACKEND): of a word of this SQL if one has that
 * risk, otherwise of any name with that risk; NULL if no name has it. */
const char *risk_names_blame(const struct risk_names *names, unsigned part, const char *sql, size_t len);
/* Calls row for each name, in no order. */
void risk_names_each(const struct risk_names *names,
		     void (*row)(const char *name, enum risk_kind kind, struct risk risk, const char *reason,
				 void *arg),
		     void *arg);
