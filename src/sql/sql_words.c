/* src/sql/sql_words.c - see sql_words.h. */
#include "sql/sql_words.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { LONGEST = sizeof("transaction") - 1 };

/* Setting the bit makes letters lower case, and no other character that a word may have a letter. */
static inline uint32_t
lower_four(const char *p)
{
	uint32_t four;

	memcpy(&four, p, sizeof(four));
	return four | 0x20202020u;
}

/* Four at a time; the last four may have been among those before. For a word in the source little of this is left. */
static inline bool
word_is_same(const char *text, const char *word, size_t len)
{
	if (len < 4)
		return (text[0] | 0x20) == word[0] && (text[1] | 0x20) == word[1] &&
		       (text[len - 1] | 0x20) == word[len - 1];
	return lower_four(text) == lower_four(word) && (len <= 8 || lower_four(text + 4) == lower_four(word + 4)) &&
	       lower_four(text + len - 4) == lower_four(word + len - 4);
}

#define IS(word, id)                                                                                                   \
	if (len == sizeof(word) - 1 && word_is_same(text, word, sizeof(word) - 1))                                     \
	return WORD_##id

/* Few words share a first letter, fewer a length as well. */
enum sql_word
sql_word_find(const char *text, size_t len)
{
	if (len < 2 || len > LONGEST)
		return SQL_WORDS_NONE;
	switch (text[0] | 0x20) {
	case 'a':
		IS("abort", ABORT);
		IS("aggregate", AGGREGATE);
		IS("alter", ALTER);
		IS("analyze", ANALYZE);
		IS("as", AS);
		break;
	case 'b':
		IS("begin", BEGIN);
		break;
	case 'c':
		IS("call", CALL);
		IS("close", CLOSE);
		IS("commit", COMMIT);
		IS("conflict", CONFLICT);
		IS("constraints", CONSTRAINTS);
		IS("copy", COPY);
		IS("create", CREATE);
		IS("cross", CROSS);
		break;
	case 'd':
		IS("database", DATABASE);
		IS("deallocate", DEALLOCATE);
		IS("declare", DECLARE);
		IS("delete", DELETE);
		IS("discard", DISCARD);
		IS("distinct", DISTINCT);
		IS("do", DO);
		IS("drop", DROP);
		break;
	case 'e':
		IS("end", END);
		IS("execute", EXECUTE);
		IS("exists", EXISTS);
		IS("explain", EXPLAIN);
		break;
	case 'f':
		IS("fetch", FETCH);
		IS("foreign", FOREIGN);
		IS("full", FULL);
		IS("function", FUNCTION);
		break;
	case 'g':
		IS("global", GLOBAL);
		IS("group", GROUP);
		IS("grouping", GROUPING);
		break;
	case 'h':
		IS("hold", HOLD);
		break;
	case 'i':
		IS("index", INDEX);
		IS("inner", INNER);
		IS("insert", INSERT);
		IS("into", INTO);
		break;
	case 'j':
		IS("join", JOIN);
		break;
	case 'l':
		IS("language", LANGUAGE);
		IS("left", LEFT);
		IS("listen", LISTEN);
		IS("load", LOAD);
		IS("local", LOCAL);
		break;
	case 'm':
		IS("merge", MERGE);
		break;
	case 'n':
		IS("natural", NATURAL);
		IS("notify", NOTIFY);
		break;
	case 'o':
		IS("on", ON);
		IS("operator", OPERATOR);
		IS("order", ORDER);
		IS("outer", OUTER);
		break;
	case 'p':
		IS("partition", PARTITION);
		IS("prepare", PREPARE);
		IS("primary", PRIMARY);
		IS("procedure", PROCEDURE);
		break;
	case 'r':
		IS("recursive", RECURSIVE);
		IS("references", REFERENCES);
		IS("release", RELEASE);
		IS("replace", REPLACE);
		IS("reset", RESET);
		IS("returning", RETURNING);
		IS("right", RIGHT);
		IS("rollback", ROLLBACK);
		IS("routine", ROUTINE);
		break;
	case 's':
		IS("savepoint", SAVEPOINT);
		IS("select", SELECT);
		IS("set", SET);
		IS("start", START_TRANSACTION);
		break;
	case 't':
		IS("table", TABLE);
		IS("temp", TEMP);
		IS("temporary", TEMPORARY);
		IS("time", TIME);
		IS("to", TO);
		IS("transaction", TRANSACTION);
		break;
	case 'u':
		IS("unique", UNIQUE);
		IS("unlisten", UNLISTEN);
		IS("update", UPDATE);
		IS("using", USING);
		break;
	case 'v':
		IS("vacuum", VACUUM);
		IS("values", VALUES);
		IS("view", VIEW);
		break;
	case 'w':
		IS("with", WITH);
		break;
	default:
		break;
	}
	return SQL_WORDS_NONE;
}
