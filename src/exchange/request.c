#include "exchange/request.h"
#include "exchange/exchange.h"

const char *
request_sql(const struct request *m, size_t *len)
{
	*len = m->statement == NULL ? m->sql_len : m->statement->query_len;
	return m->statement == NULL ? m->sql : (const char *)m->statement->bytes;
}

const struct known_text *
request_known(const struct exchange *x, struct request *m)
{
	struct exchange_env *env = x->env;
	const char *sql;
	size_t len;

	if (!m->is_taken_apart || env->known_of != m) {
		sql = request_sql(m, &len);
		known_parse(&env->known, gucs_scan_options(x->gucs), sql, sql == NULL ? 0 : len);
		env->known_of = m;
		m->is_taken_apart = true;
	}
	return &env->known;
}

const struct known_statement *
request_single_known(const struct exchange *x, struct request *m)
{
	static const struct known_statement none;
	const struct known_text *text = request_known(x, m);

	return text->count == 1 ? text->statements : &none;
}

bool
request_must_wait(const struct exchange *x, const struct request *m)
{
	return m->type == 'Q' && !x->srv->is_synced && x->srv->ledger.count > 0;
}

enum feature_step
request_hold_behind_ours(const struct exchange *x, const struct request *m)
{
	if (m->type != 'Q' || x->srv->is_synced || x->srv->ledger.intake == INTAKE_SYNC)
		return STEP_FORWARD;
	x->srv->loan.held_behind_ours = QUERY_BEHIND_OURS;
	return STEP_HOLD;
}
