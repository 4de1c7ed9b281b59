/*
 * src/seal/risk_names.h - the names in one database that reach code, and the risk (seal/seal.h) of SQL with such names.
 *
 * SQL can reach a function of the database in four ways: by a name or symbol in the SQL, by a keyword that stands for a
 * symbol (LIKE), by the type of a parameter, or by an object that the SQL names and that uses the function (a view, a
 * table with a trigger). seal/database_code.sql finds all such names in the catalogs; this module finds them in SQL.
 *
 * SQL is *opaque* if its words don't show what it runs: a DO whose text can't be read, U&"...", most DDL (not CREATE
 * and DROP of tables, views, indexes and sequences), and SQL that does not end properly. Opaque SQL has the risk of the
 * whole database, with one exception: the words of some opaque SQL (TRUNCATE, GRANT, ALTER, CREATE FUNCTION without
 * EXECUTE, ...) at least show all functions that the SQL calls directly. Such SQL has STATE_BACKEND only if a word of
 * the SQL, or an object of the database other than a function, has STATE_BACKEND.
 *
 * A *new* name is a name that was not in the catalogs when the code was read; an object of that name may have been
 * created since. So a new name is risky, too, wherever it may be a call or a relation. If the list of known names was
 * not read to its end, no name counts as new.
 *
 * Owns:   the names. The functions do no I/O.
 * Always: two pieces of SQL that differ only in numbers and in strings without backslashes have the same risk
 *         (sql/scan_cache.h), except opaque SQL, whose strings may be code.
 */
#pragma once

#include "seal/seal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RISK_NAMES_MAX 20000u /* if there are more risky names or types, all SQL is opaque */

/* The kinds of names. The comments say where in SQL a name of the kind counts. */
enum risk_name_kind {
	RISK_FUNCTION, /* a function's name: before "(" and after "." */
	RISK_RELATION, /* a relation's or a type's name: anywhere */
	RISK_OPERATOR, /* a symbol: anywhere, even as part of a longer symbol */
	RISK_KEYWORD, /* a keyword that stands for a symbol: anywhere */
	RISK_DECLARED_HARMLESS, /* an entry of harmless_code, such as "function app.price": nowhere */
	RISK_KINDS
};

/* The risk of a name: sets of enum state_part and enum code_risk. */
struct risk {
	uint32_t always; /* for any SQL with the name */
	uint32_t in_writes; /* the additional risk of SQL that also has a word like INSERT */
};

/* Code that composes SQL and runs the SQL has a risk with all of these bits, because it may reach all code. */
#define RISK_DYNAMIC 0xffu

struct risk_names; /* defined in risk_names.c */

struct risk_names *risk_names_new(void); /* returns an empty set, or NULL if there is no memory */
void risk_names_free(struct risk_names *names); /* NULL is fine */
/* Adds a risk to a name, which is in lower case and has at most 63 bytes. For a name that is not ASCII, the caller must
 * pass RISK_BEYOND_ASCII as name, because encodings differ. reason: a text that tells people why the name is risky; the
 * first call for a name sets its reason. Returns 0, or -1 if there is no memory. */
#define RISK_BEYOND_ASCII "\x7f"
int risk_names_add(struct risk_names *names, enum risk_name_kind kind, const char *name, struct risk risk,
		   const char *reason);
/* Adds the name of a function, relation, type or keyword, risky or not, to the known names. If there are more than
 * RISK_KNOWN_MAX known names, no name counts as new. Returns 0, or -1 if there is no memory. */
#define RISK_KNOWN_MAX 200000u
int risk_names_add_known(struct risk_names *names, const char *name);
/* Notes that the function or relation of this name may do more than read (RISK_EFFECTS). Call this after all known
 * names were added. Returns 0, or -1 if there is no memory. */
int risk_names_add_effects(struct risk_names *names, const char *name, bool is_function);
/* Adds a risk to SQL that has a parameter of this type. Returns 0, or -1 if there is no memory. */
int risk_names_add_type(struct risk_names *names, uint32_t oid, struct risk risk);
/*
 * Adds risks that do not belong to a single name.
 * all:        the risk of opaque SQL
 * any_sql:    the risk of any SQL, even if it has none of the names
 * ddl:        the risk of DDL
 * by_objects: the risk of all objects of the database except functions; used for opaque SQL whose words show all
 *             functions that the SQL calls directly (see above)
 */
void risk_names_add_general(struct risk_names *names, unsigned all, unsigned any_sql, unsigned ddl,
			    unsigned by_objects);
unsigned risk_of_opaque_sql(const struct risk_names *names); /* returns the risk of the whole database */
/* Returns a hash of all names and types whose risk has STATE_BACKEND, or all bits of RISK_DYNAMIC. */
uint64_t risk_names_hash_backend_state(const struct risk_names *names);
/* Returns the risk of this SQL under any settings of the session, with bits of RISK_BY_CALLS(). The risk lacks
 * RISK_EFFECTS if the SQL is certainly a single read that may run twice without a visible effect. */
unsigned risk_of_sql(const struct risk_names *names, const char *sql, size_t len);
/*
 * Returns the risk of text that may be run as SQL: the text of a DO, or an argument of a function that runs SQL. Judges
 * the text by its words alone. The result has STATE_BACKEND or WASH_POINT_SEED if a word of the text has that risk in
 * `names`, which may be NULL. The result also has STATE_BACKEND if the text may create, alter or drop an extension or a
 * language, create a function in C, or load a library. State that a new object leaves in the backend outlives the
 * object; once an error or a DROP has removed the object, no command tag or catalog shows that the object existed.
 */
unsigned risk_of_runnable_text(const struct risk_names *names, const char *text, size_t len);
/* Returns the risk of SQL with these parameter types. types: an int16 count and that many OIDs, as in a Parse. If the
 * types are malformed or too many, returns the risk of the whole database. */
unsigned risk_of_parameter_types(const struct risk_names *names, const uint8_t *types, size_t len);
/* Returns the reason (risk_names_add()) of a name that has the risk `part`, such as STATE_BACKEND: a name in this SQL
 * if possible, else any name. Returns NULL if no name has that risk. */
const char *risk_names_blame(const struct risk_names *names, unsigned part, const char *sql, size_t len);
/* Calls row, in any order, for each name and kind whose risk has other bits than RISK_EFFECTS and RISK_UNDOES. */
void risk_names_each(const struct risk_names *names,
		     void (*row)(const char *name, enum risk_name_kind kind, struct risk risk, const char *reason,
				 void *arg),
		     void *arg);
