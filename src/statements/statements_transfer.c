/*
 * src/statements/statements_transfer.c - a client's statements move with the client to another process of pgweir; see
 * statements_transfer.h.
 *
 * The new process finds out by itself which servers have the statements. The old process's ids mean nothing there, so
 * the columns that RowDescription told the client are compared again before the client's first Bind (row_shape.c).
 */
#include "statements/statements_transfer.h"
#include "statements/statements_state.h"

#include <stdlib.h>

static bool
may_be_transferred(const struct client_statements *s)
{
	if (s->unnamed_under_way > 0 || s->unnamed != s->confirmed || s->is_clearing || s->oversize_count > 0)
		return false;
	for (uint32_t i = 0; i < s->slot_count; i++) {
		const struct client_statement *n = s->slots[i];

		if (n != NULL && (n->st == NULL || n->state != NAME_PREPARED || n->describing >= DESCRIBING_TO_PROVE))
			return false;
	}
	return true;
}

bool
statements_ties(const struct exchange *x, enum feature_tie to)
{
	return (to == TIE_SERVER && statements_need_server(x)) ||
	       (to == TIE_PROCESS && x->statements != NULL && !may_be_transferred(x->statements));
}

static int
by_order(const void *a, const void *b)
{
	const struct client_statement *const *one = a, *const *other = b;

	return (*one)->order < (*other)->order ? -1 : (*one)->order > (*other)->order;
}

int
statements_each(const struct exchange *x, void (*visit)(const struct statement_transfer *s, void *arg), void *arg)
{
	struct client_statements *s = x->statements;
	struct client_statement **all = NULL;
	uint32_t count = 0;

	if (s == NULL)
		return 0;
	if (s->count > 0 && (all = calloc(s->count, sizeof(*all))) == NULL)
		return -1;
	for (uint32_t i = 0; i < s->slot_count; i++)
		if (s->slots[i] != NULL)
			all[count++] = s->slots[i];
	if (count > 0)
		qsort(all, count, sizeof(*all), by_order);
	for (uint32_t i = 0; i < count; i++) {
		const struct client_statement *n = all[i];
		uint32_t context = n->st->context;

		visit(&(struct statement_transfer){ .name = n->name,
						    .st = n->st,
						    .shape_hash = n->shape_hash,
						    .types_hash = n->types_hash,
						    .is_of_session = context != 0 && context == gucs_context(x->gucs),
						    .is_proven = n->is_proven,
						    .is_told = n->rows != ROWS_UNTOLD },
		      arg);
	}
	free(all);
	if (s->unnamed != NULL)
		visit(&(struct statement_transfer){ .name = "", .st = s->unnamed }, arg);
	return 0;
}

int
statements_add_transferred(struct exchange *x, const struct statement_transfer *s)
{
	struct client_statement *n = NULL;
	bool is_unnamed = s->name[0] == '\0';
	int r;

	if (statements_get_or_create(x) != NULL && is_unnamed && x->statements->unnamed == NULL) {
		x->statements->unnamed = s->st;
		x->statements->confirmed = statement_ref(s->st);
		x->statements->token = ++x->env->last_token;
		return 0;
	}
	if (x->statements != NULL && !is_unnamed && client_statement_find(x, s->name) == NULL)
		n = client_statement_new(x, s->name, s->st);
	if (n == NULL) {
		statement_unref(s->st);
		return -1;
	}
	n->shape_hash = s->shape_hash;
	n->types_hash = s->types_hash;
	client_statement_step(n, NAME_PARSED);
	n->is_proven = s->is_proven;
	n->rows = s->is_told ? ROWS_TOLD : ROWS_UNTOLD;
	r = client_statement_enter(x->statements, n);
	client_statement_unref(n);
	return r;
}
