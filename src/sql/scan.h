/*
 * src/sql/scan.h - finds out whether SQL may leave something behind in the session that runs it.
 *
 * A pure, incremental lexer over a small set of tokens. Suspects cheaply, for the server can be asked: it
 * over-approximates. A false alarm costs one probe; nothing that its rules name is ever missed. Comments (nested),
 * strings (standard, E'', U&'', B'', X'', N''), dollar quotes and quoted identifiers are read as PostgreSQL's scan.l
 * does (manual, 4.1); SQL that does not end properly is suspected of everything.
 *
 * The lexer can't see what the SQL does not show: what triggers, views, operators and casts do, a function that is
 * called like a column (t.f instead of f(t)), a user's function that has the name of one of PostgreSQL's. All of that
 * is the database's own code: see seal.h.
 *
 * Owns:   nothing; struct scan is the caller's storage, bounded, and may be copied.
 * Always: the flags do not depend on how the SQL is cut into chunks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum scan_flag {
	SCAN_SETTING = 1u << 0, /* SET (but LOCAL, TRANSACTION, CONSTRAINTS), RESET, DISCARD, set_config() */
	SCAN_TEMP = 1u << 1, /* [CREATE|INTO ...] TEMP[ORARY], pg_temp in any spelling */
	SCAN_LOCK = 1u << 2, /* pg_[try_]advisory_*lock*, but for pg_[try_]advisory_xact_lock* */
	SCAN_CURSOR = 1u << 3, /* WITH HOLD */
	SCAN_PREPARE = 1u << 4, /* PREPARE (not TRANSACTION), DEALLOCATE, DISCARD */
	SCAN_LISTEN = 1u << 5, /* LISTEN, UNLISTEN, DISCARD */
	SCAN_CODE = 1u << 6, /* DO, functions that run SQL that is their argument */
	SCAN_EXECUTE = 1u << 7, /* EXECUTE of what PREPARE made */
	SCAN_LOAD = 1u << 8, /* the backend has something it can't get rid of: LOAD, CREATE FUNCTION ... LANGUAGE C,
			      * replication origins, backups, dblink's connections */
	SCAN_SEQUENCE = 1u << 9, /* currval(), lastval() */
	SCAN_CREATE = 1u << 10, /* CREATE of any kind, SELECT INTO: temporary if search_path begins with pg_temp */
	SCAN_UNDO = 1u << 11, /* DROP, CLOSE, DISCARD, DEALLOCATE, UNLISTEN, *unlock*: what pins may be gone */
	SCAN_DATABASE = 1u << 12, /* CREATE, DROP or ALTER DATABASE */
	SCAN_SAVEPOINT = 1u << 13, /* SAVEPOINT, ROLLBACK [WORK|TRANSACTION] TO, RELEASE */
	SCAN_NEXTVAL = 1u << 15, /* nextval(), setval() */
	SCAN_INSERT = 1u << 16, /* INSERT without RETURNING: currval() or lastval() may be asked for next */
	SCAN_FUNCTION = 1u << 17, /* CALL, functions that PostgreSQL does not bring along: the database's code */
	SCAN_SEED = 1u << 18, /* random(), setseed(), SET [LOCAL] seed, set_config('seed', ...) */
	SCAN_WRITES = 1u << 19, /* INSERT, COPY, MERGE of any kind: a sequence may be asked for a default */
	SCAN_LASTING = 1u << 20, /* CREATE, SELECT INTO of what is not said to be temporary */
	SCAN_CALL = 1u << 21, /* CALL: the procedure may end transactions */
	SCAN_TABLE = 1u << 22, /* SCAN_LASTING, and no index: perhaps a table made of a query */
	SCAN_NAMES_LOST = 1u << 14, /* more custom settings' names than fit, or set_config() of a name the text hides */
	SCAN_NAME_BOUND = 1u << 23, /* set_config() of a name that is a parameter */
	SCAN_SLOT = 1u << 24 /* makes a replication slot, which may be temporary, or drops one */
};
#define SCAN_ALL 0x1ffffffu
/* If any of these is set, a probe is needed when the transaction is over. */
#define SCAN_PROBED                                                                                                    \
	(SCAN_SETTING | SCAN_TEMP | SCAN_LOCK | SCAN_CURSOR | SCAN_PREPARE | SCAN_LISTEN | SCAN_CODE | SCAN_EXECUTE |  \
	 SCAN_FUNCTION | SCAN_SLOT)

/* Hints: these leave nothing behind, but matter to features. */
enum scan_hint {
	SCAN_HINT_LOCAL = 1u << 0, /* SET LOCAL */
	SCAN_HINT_LOCAL_PATH = 1u << 2, /* SET LOCAL search_path, SET LOCAL SCHEMA */
	SCAN_HINT_CHANNELS = 1u << 3, /* pg_listening_channels */
	SCAN_HINT_NOTIFY = 1u << 4, /* NOTIFY, pg_notify */
	SCAN_HINT_SHOW = 1u << 6, /* SHOW */
	SCAN_HINT_ENDS = 1u << 5 /* COMMIT, END, ROLLBACK, ABORT, PREPARE: a transaction may end within the SQL */
};

/* How the client's session reads strings; both come from its GUC set. */
enum scan_option {
	SCAN_BACKSLASH_STRINGS = 1u << 0, /* standard_conforming_strings = off */
	SCAN_ASCII_TRAIL = 1u << 1, /* client_encoding has trail bytes below 0x80 (scan_encoding_option) */
	SCAN_SJIS_TRAIL = 1u << 2 /* besides: it is one of Japan's, whose bytes a1 to df are characters of one byte */
};

#define SCAN_WORD_MAX 64 /* NAMEDATALEN: bytes of a word that count, with terminator */
#define SCAN_NAMES_MAX 32
#define SCAN_LITERALS_MAX 4096

/* Returns true if, in an encoding with ASCII trail bytes, another byte of the character follows this one. */
static inline bool
scan_is_lead(unsigned options, char c)
{
	uint8_t b = (uint8_t)c;

	if ((options & SCAN_ASCII_TRAIL) == 0 || b < 0x80)
		return false;
	return (options & SCAN_SJIS_TRAIL) == 0 || b < 0xa1 || b > 0xdf;
}

/*
 * Numbers, and strings without backslashes that don't name pg_temp (their quotes are not part of them): whichever they
 * are, the scan finds the same. That some literal is not among them means nothing.
 */
struct scan_literals {
	const char *sql; /* the beginning of all */
	size_t count; /* more than SCAN_LITERALS_MAX: only so many are noted */
	struct {
		uint32_t begin, end; /* bytes of the SQL before it, and with it */
	} at[SCAN_LITERALS_MAX];
};

/* The risk of SQL by the names of its database (seal/risk_names.h), kept with it. Zeroed: not looked up yet. */
struct sql_risk {
	uint32_t number; /* of the names: database_code.h */
	uint32_t parts; /* enum state_part, enum code_risk */
	uint32_t effects; /* RISK_EFFECTS (seal/seal.h), unless it is one read that may be run twice unseen */
};

/* opaque but for flags, hints, first and names; scan.c */
struct scan {
	uint32_t flags;
	uint32_t hints; /* enum scan_hint; of no use where flags are SCAN_ALL */
	/* Names like app.user_id that may be custom settings (pg_settings does not list those): SET a.b, 'a.b' near
	 * set_config, and in the texts of DO. Folded to lower case; each once. */
	uint32_t first; /* enum sql_word (sql_words.h): the first word that a statement begins with */
	uint32_t name_count;
	char names[SCAN_NAMES_MAX][SCAN_WORD_MAX];
	/* private: how far the bytes are read (scan.c) */
	uint8_t options, lex, string_kind, tag_len, word_len, tag_match, temp_match;
	bool is_trail, has_newline;
	uint32_t comment_depth;
	/* private: the last tokens (scan_rules.c); their bytes lie in the chunk or in word */
	uint32_t last, before; /* wide: read right after they are written */
	uint8_t qualifier, statement, expect;
	bool is_index, is_with_head, has_join, has_odd_parens;
	uint32_t parens, config_parens; /* config_parens: those around the values of a set_config(); 0: none matters */
	const char *last_text, *before_text;
	size_t last_len, before_len;
	/* private: what literals hold (scan_literal.c) */
	uint8_t capture, body_expect, body_before, name_len;
	struct scan_literals *literals; /* NULL: nobody wants to know; set only while all of the SQL is there */
	bool is_whole;
	char name[SCAN_WORD_MAX], word[SCAN_WORD_MAX], tag[SCAN_WORD_MAX];
};

void scan_init(struct scan *s, unsigned options);
void scan_feed(struct scan *s, const char *sql, size_t len);
/* Ends the scan. Returns the flags (enum scan_flag), which are also in s->flags. */
uint32_t scan_end(struct scan *s);
/* Scans SQL that lies in one piece. Returns the flags. */
uint32_t scan_text(struct scan *s, unsigned options, const char *sql, size_t len);
/* The same. Notes in *literals where some are; with options it notes none. */
uint32_t scan_text_literals(struct scan *s, unsigned options, const char *sql, size_t len,
			    struct scan_literals *literals);
/*
 * Returns the flags of all possible readings, which are also in s, as are the hints: earlier SQL may change the options
 * before PostgreSQL reads this. A reading that does not end properly does not count: PostgreSQL would refuse all of the
 * SQL.
 */
uint32_t scan_text_anyhow(struct scan *s, const char *sql, size_t len);
/* client_encoding as PostgreSQL reports it -> SCAN_ASCII_TRAIL [| SCAN_SJIS_TRAIL] (SJIS, SHIFT_JIS_2004, BIG5, GBK,
 * UHC, GB18030) or 0 (JOHAB, too: PostgreSQL refuses trail bytes below 0x80 in it). */
unsigned scan_encoding_option(const char *client_encoding);
/* Returns true if this value of search_path names pg_temp. */
bool scan_bytes_name_pg_temp(const char *search_path, size_t len);
