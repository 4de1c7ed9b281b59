/*
 * src/sql/scan.h - finds out whether SQL may leave something behind in the session that runs it.
 *
 * The scan reads SQL in chunks, token by token, and sets flags. When in doubt it sets a flag: a false alarm costs only
 * one probe, which asks the server. Comments (nested), strings (standard, E'', U&'', B'', X'', N''), dollar quotes and
 * quoted identifiers are read as PostgreSQL's scan.l reads them (manual, 4.1). SQL that does not end properly gets all
 * flags. The functions allocate nothing.
 *
 * The scan can't find effects of the database's own code that the SQL does not show: of triggers, views, operators and
 * casts, of a function that is called like a column (t.f instead of f(t)), or of a user's function that has the name of
 * one of PostgreSQL's. seal.h tells how pgweir handles these.
 *
 * Owns:   nothing; struct scan is the caller's, has a fixed size, and may be copied.
 * Always: the flags do not depend on how the SQL is cut into chunks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum scan_flag {
	SCAN_SETTING = 1u << 0, /* SET (except LOCAL, TRANSACTION, CONSTRAINTS), RESET, DISCARD, set_config() */
	SCAN_TEMP = 1u << 1, /* [CREATE|INTO ...] TEMP[ORARY], pg_temp in any spelling */
	SCAN_LOCK = 1u << 2, /* pg_[try_]advisory_*lock*, except pg_[try_]advisory_xact_lock* */
	SCAN_CURSOR = 1u << 3, /* cursors WITH HOLD */
	SCAN_PREPARE = 1u << 4, /* PREPARE (not TRANSACTION), DEALLOCATE, DISCARD */
	SCAN_LISTEN = 1u << 5, /* LISTEN, UNLISTEN, DISCARD */
	SCAN_CODE = 1u << 6, /* DO, and functions that run SQL given as an argument */
	SCAN_EXECUTE = 1u << 7, /* EXECUTE of a statement that SQL has prepared */
	/* LOAD, CREATE FUNCTION ... LANGUAGE C, backups, dblink's connections: may last as long as the backend */
	SCAN_BACKEND = 1u << 8,
	SCAN_CURRVAL = 1u << 9, /* currval(), lastval() */
	/* CREATE of any kind, SELECT INTO: the new object is temporary if search_path begins with pg_temp */
	SCAN_CREATE = 1u << 10,
	/* DROP, CLOSE, DISCARD, DEALLOCATE, UNLISTEN, *unlock*: what earlier SQL has left may be gone */
	SCAN_UNDO = 1u << 11,
	SCAN_DATABASE = 1u << 12, /* CREATE, DROP or ALTER DATABASE */
	SCAN_SAVEPOINT = 1u << 13, /* SAVEPOINT, ROLLBACK [WORK|TRANSACTION] TO, RELEASE */
	SCAN_NEXTVAL = 1u << 15, /* nextval(), setval() */
	SCAN_INSERT = 1u << 16, /* INSERT without RETURNING: the client may ask for currval() or lastval() next */
	SCAN_FUNCTION = 1u << 17, /* CALL, and all functions that are not PostgreSQL's own */
	SCAN_SEED = 1u << 18, /* random(), setseed(), SET [LOCAL] seed, set_config('seed', ...) */
	SCAN_DEFAULTS = 1u << 19, /* INSERT, COPY, MERGE of any kind: a column's default may use a sequence */
	SCAN_LASTING = 1u << 20, /* CREATE or SELECT INTO of an object that is not declared temporary */
	SCAN_CALL = 1u << 21, /* CALL: the procedure may end transactions */
	SCAN_TABLE = 1u << 22, /* like SCAN_LASTING, but an index does not set it */
	/* more names of custom settings than scan.names holds, or a set_config() whose first argument is computed */
	SCAN_NAMES_LOST = 1u << 14,
	SCAN_NAME_BOUND = 1u << 23, /* set_config() whose first argument is a parameter $n */
	SCAN_SLOT = 1u << 24, /* functions that make a replication slot, which may be temporary, or drop a slot */
	SCAN_ORIGIN = 1u << 25 /* functions that set up or reset the session's replication origin */
};
#define SCAN_ALL 0x3ffffffu
#define SCAN_REPLICATION (SCAN_SLOT | SCAN_ORIGIN) /* things that DISCARD ALL does not remove */
/* After a transaction with any of these flags, a probe is needed. */
#define SCAN_PROBED                                                                                                    \
	(SCAN_SETTING | SCAN_TEMP | SCAN_LOCK | SCAN_CURSOR | SCAN_PREPARE | SCAN_LISTEN | SCAN_CODE | SCAN_EXECUTE |  \
	 SCAN_FUNCTION | SCAN_REPLICATION)

/* Hints tell features of pgweir about SQL that leaves nothing in the session. */
enum scan_hint {
	SCAN_HINT_LOCAL = 1u << 0, /* SET LOCAL */
	SCAN_HINT_LOCAL_PATH = 1u << 2, /* SET LOCAL search_path, SET LOCAL SCHEMA */
	SCAN_HINT_CHANNELS = 1u << 3, /* pg_listening_channels */
	SCAN_HINT_NOTIFY = 1u << 4, /* NOTIFY, pg_notify */
	SCAN_HINT_SHOW = 1u << 6, /* SHOW */
	SCAN_HINT_ENDS = 1u << 5 /* COMMIT, END, ROLLBACK, ABORT, PREPARE: a transaction may end within the SQL */
};

/* Says how the client's session reads strings: see gucs_scan_options() (session/gucs.h). */
enum scan_option {
	SCAN_BACKSLASH_STRINGS = 1u << 0, /* standard_conforming_strings is off */
	/* client_encoding is such that the second byte of a character may be below 0x80 (scan_encoding_option()) */
	SCAN_ASCII_TRAIL = 1u << 1,
	/* together with SCAN_ASCII_TRAIL: a Japanese encoding, in which each byte from a1 to df is a character */
	SCAN_SJIS_TRAIL = 1u << 2
};

#define SCAN_WORD_MAX 64 /* PostgreSQL's NAMEDATALEN: the bytes of a word that count, with terminator */
#define SCAN_NAMES_MAX 32
#define SCAN_LITERALS_MAX 4096

/* Returns true if c is the first of two bytes of a character, and the second may be below 0x80 (SCAN_ASCII_TRAIL). */
static inline bool
scan_is_lead(unsigned options, char c)
{
	uint8_t b = (uint8_t)c;

	if ((options & SCAN_ASCII_TRAIL) == 0 || b < 0x80)
		return false;
	return (options & SCAN_SJIS_TRAIL) == 0 || b < 0xa1 || b > 0xdf;
}

/*
 * Literals whose values do not change the scan's result: numbers, and strings that have no backslashes and don't name
 * pg_temp. The list may leave some of these literals out.
 */
struct scan_literals {
	const char *sql; /* the beginning of the SQL */
	size_t count; /* the number of literals; only the first SCAN_LITERALS_MAX are in at[] */
	struct {
		/* offsets in the SQL: of the literal's first byte within the quotes, and of the byte after its last */
		uint32_t begin, end;
	} at[SCAN_LITERALS_MAX];
};

/* The risk of SQL in one database (seal/risk_names.h), kept with the SQL as a cache. Zeroed at first. */
struct sql_risk {
	uint32_t number; /* database_code.number of the answer from which the risk was taken */
	uint32_t parts; /* a set of enum state_part and enum code_risk, without RISK_EFFECTS */
	/* RISK_EFFECTS (seal/seal.h), or 0 if the SQL is a single read that may run twice without a visible effect */
	uint32_t effects;
};

/* The state of a scan, and its result. Callers read only flags, hints, first, name_count and names. */
struct scan {
	uint32_t flags; /* enum scan_flag */
	uint32_t hints; /* enum scan_hint; meaningless if flags is SCAN_ALL */
	uint32_t first; /* enum sql_word (sql_words.h): the word with which the first statement in the SQL begins */
	/* Names in the SQL that may be custom settings, like app.user_id, which pg_settings does not list: in SET a.b,
	 * in literals like 'a.b' near set_config, and in the text of a DO. The names are in lower case, each once. */
	uint32_t name_count;
	char names[SCAN_NAMES_MAX][SCAN_WORD_MAX];
	/* private: the state of reading bytes (scan.c) */
	uint8_t options, lex, string_kind, tag_len, word_len, tag_match, temp_match;
	bool is_trail, has_newline;
	uint32_t comment_depth;
	/* private: the last token and the token before it (scan_rules.c); their bytes lie in the chunk or in `word` */
	uint32_t last, before; /* 32 bits wide, because they are read right after they are written */
	uint8_t qualifier, statement, expect;
	bool is_index, is_with_head, has_join, may_call_after_close;
	uint32_t earlier_flags; /* `flags` as they were when the present statement began */
	/* parens: the number of open parentheses. config_parens: what parens was at the first argument of the present
	 * set_config(), if that argument may be computed; otherwise 0. */
	uint32_t parens, config_parens;
	const char *last_text, *before_text;
	size_t last_len, before_len;
	/* private: the content of literals (scan_literal.c) */
	uint8_t capture, body_expect, body_before, name_len;
	/* the list to which literals are added; NULL if the caller wants none, or the SQL comes in chunks */
	struct scan_literals *literals;
	bool is_whole;
	char name[SCAN_WORD_MAX], word[SCAN_WORD_MAX], tag[SCAN_WORD_MAX];
};

void scan_init(struct scan *s, unsigned options); /* begins a scan */
void scan_feed(struct scan *s, const char *sql, size_t len); /* scans the next chunk of the SQL */
/* Ends the scan. Returns s->flags. */
uint32_t scan_end(struct scan *s);
/* Scans SQL that lies in one piece. Returns the flags. */
uint32_t scan_text(struct scan *s, unsigned options, const char *sql, size_t len);
/* Does what scan_text() does, and lists literals; lists none if options is not 0 or the SQL has a backslash. */
uint32_t scan_text_literals(struct scan *s, unsigned options, const char *sql, size_t len,
			    struct scan_literals *literals);
/*
 * Scans sql once for each combination of options, because earlier SQL may change the settings before PostgreSQL reads
 * this SQL. Returns the union of the flags, as in s->flags; s->hints is the union of the hints. A scan in which the SQL
 * has no proper end does not count, because PostgreSQL would refuse the SQL. Returns SCAN_ALL if none counts.
 */
uint32_t scan_text_all_options(struct scan *s, const char *sql, size_t len);
/*
 * Returns the options for this client_encoding, which is spelled as PostgreSQL reports it: SCAN_ASCII_TRAIL for BIG5,
 * GBK, UHC and GB18030; SCAN_ASCII_TRAIL and SCAN_SJIS_TRAIL for SJIS and SHIFT_JIS_2004; 0 for all others. (In JOHAB,
 * PostgreSQL refuses a second byte below 0x80.)
 */
unsigned scan_encoding_option(const char *client_encoding);
/* Returns true if this value of search_path names pg_temp. */
bool scan_path_has_pg_temp(const char *search_path, size_t len);
