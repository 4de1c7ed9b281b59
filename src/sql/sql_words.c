/* src/sql/sql_words.c - see sql_words.h. */
#include "sql/sql_words.h"

#include <stdbool.h>
#include <stdint.h>

enum { LONGEST = sizeof("transaction") - 1 };

/* Setting the bit makes letters lower case, and no other character that a word may have a letter. */
static bool
is_same(const char *text, const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((text[i] | 0x20) != word[i])
			return false;
	return true;
}

#define IS(word, id)                                                                                                   \
	if (len == sizeof(word) - 1 && is_same(text, word, sizeof(word) - 1))                                          \
	return WORD_##id

/* Few words share a first letter, fewer a length as well. */
enum sql_word
sql_word_find(const char *text, size_t len)
{
	if (len < 2 || len > LONGEST)
		return SQL_WORDS_NONE;
	switch (text[0] | 0x20) {
	case 'a':
		IS("aggregate", AGGREGATE);
		IS("alter", ALTER);
		IS("analyze", ANALYZE);
		IS("as", AS);
		break;
	case 'b':
		break;
	case 'c':
		IS("call", CALL);
		IS("close", CLOSE);
		IS("conflict", CONFLICT);
		IS("constraints", CONSTRAINTS);
		IS("copy", COPY);
		IS("create", CREATE);
		IS("cross", CROSS);
		break;
	case 'd':
		IS("database", DATABASE);
		IS("deallocate", DEALLOCATE);
		IS("delete", DELETE);
		IS("discard", DISCARD);
		IS("distinct", DISTINCT);
		IS("do", DO);
		IS("drop", DROP);
		break;
	case 'e':
		IS("execute", EXECUTE);
		IS("exists", EXISTS);
		IS("explain", EXPLAIN);
		break;
	case 'f':
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
