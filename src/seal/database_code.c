#include "seal/database_code.h"
#include "base/clock.h"
#include "database_code_sql.h" /* made of database_code*.sql and extensions.tsv */
#include "seal/probe.h"

#include <stdlib.h>
#include <string.h>

#define ASK_AGAIN_US (1 * US_PER_S) /* the least interval_us() and refused_pause_us, and the longest awaited pause */
#define COST_SHARE 50u /* most pauses are this many times as long as a question takes, within limits: pause_us() */
#define AWAITED_SHARE 3u /* used in place of COST_SHARE while servers are held for the answer */
#define ASK_AGAIN_MAX_US (10 * US_PER_S)
#define CHEAP_US (250 * US_PER_MS) /* if reading all code takes less than this, reading may take half of the time */
#define SETTLES_US (2 * US_PER_S) /* the longest pause after DDL that came alone, if reading takes less than 1 s */
#define REFUSED_MAX_US (60 * US_PER_S) /* the longest pause after a question that failed */
#define NO_REMOTE_US (1 * US_PER_S) /* how long pgweir relies on a wash that found neither dblink nor postgres_fdw */

static void
answer_free(struct code_answer *a)
{
	if (a == NULL)
		return;
	for (unsigned i = 0; i < a->setting_count; i++)
		free(a->settings[i]);
	risk_names_free(a->risks);
	role_settings_fini(&a->roles);
	free(a);
}

void
database_code_fini(struct database_code *code)
{
	database_code_leave(code);
	answer_free(code->answer);
	answer_free(code->incoming);
	free(code->hosts);
	buf_fini(&code->question);
	memset(code, 0, sizeof(*code));
}

static uint64_t
interval_us(uint64_t cost_us)
{
	uint64_t us = cost_us * COST_SHARE;

	return us < ASK_AGAIN_US ? ASK_AGAIN_US : clock_lesser_us(us, ASK_AGAIN_MAX_US);
}

static uint64_t
pause_us(const struct database_code *code, bool is_awaited)
{
	/* With RISK_ASSUMED, any SQL that runs on a server causes the server to be closed. */
	bool is_soon =
	    code->had_no_ddl_since_question || (database_code_assumed_risk(code) & (unsigned)RISK_ASSUMED) != 0;

	if (!is_awaited && code->full_cost_us < CHEAP_US)
		return code->full_cost_us * 2;
	if (is_awaited)
		return clock_lesser_us(code->full_cost_us * AWAITED_SHARE, ASK_AGAIN_US);
	if (is_soon && code->full_cost_us * 2 < SETTLES_US)
		return clock_lesser_us(code->full_cost_us * COST_SHARE, SETTLES_US);
	return clock_lesser_us(code->full_cost_us * (is_soon ? 2 : COST_SHARE), ASK_AGAIN_MAX_US);
}

bool
database_code_is_due(const struct database_code *code, uint64_t now_us)
{
	uint64_t age_us = now_us - code->asked_us;

	if (code->incoming != NULL || code->used_us <= code->asked_us)
		return false; /* a question is under way, or no client has used the database since the last question */
	if (code->refused_until_us != 0)
		return now_us > code->refused_until_us;
	if (code->role_altered_us != 0)
		return true;
	/* For a while after DDL, all washable state of a server is washed after each use, which is cheaper than reading
	 * all code again and again. If the DDL was the first for some time, a question follows soon. */
	if (code->ddl_at_full_question != code->ddl_count)
		return (code->is_outdated ? now_us - code->full_asked_us : age_us) > pause_us(code, false);
	return age_us > interval_us(code->cheap_cost_us);
}

enum code_decision
database_code_decide(const struct database_code *code, uint64_t last_keeping_ddl, bool needs_no_hold, uint64_t now_us)
{
	if (code->refused_until_us == 0 && !database_code_has_answer_after(code, last_keeping_ddl)) {
		if (code->incoming == NULL && now_us - code->full_asked_us >= pause_us(code, !needs_no_hold))
			return CODE_ASK;
		return needs_no_hold ? CODE_GO : CODE_WAIT;
	}
	/* For some time after a question became due, clients that wait for this server go first. */
	return !database_code_is_known(code, now_us + CODE_AHEAD_US) && database_code_is_due(code, now_us) &&
		       (code->role_altered_us != 0 || code->ddl_at_full_question != code->ddl_count ||
			now_us - code->asked_us > interval_us(code->cheap_cost_us) / 2 * 3)
		   ? CODE_ASK
		   : CODE_GO;
}

unsigned
database_code_assumed_risk(const struct database_code *code)
{
	unsigned known = code->answer == NULL ? 0 : risk_of_opaque_sql(code->answer->risks);

	/* Assumes code that touches STATE_BACKEND only after DDL that may have made such code. If an old answer or any
	 * DDL were enough, each visit of a client that comes now and then would cost a connection. */
	if (code->ddl_at_full_question >= code->last_assumed_ddl)
		known &= ~(unsigned)STATE_BACKEND;
	return STATE_WASHABLE | RISK_BY_CALLS(STATE_WASHABLE) | (known & STATE_BACKEND) | RISK_CODE | RISK_UNREAD |
	       ((known & STATE_BACKEND) != 0 ? RISK_ASSUMED : 0u) | database_code_context_risk(code) |
	       (code->answer == NULL ? RISK_KEEPS : 0u);
}

unsigned
database_code_assumed_risk_after_wash(const struct database_code *code, uint64_t now_us)
{
	bool lacks_remote = code->no_remote_us != 0 && now_us - code->no_remote_us < NO_REMOTE_US &&
			    code->no_remote_ddl == code->ddl_count;

	return database_code_assumed_risk(code) & ~(lacks_remote ? (unsigned)STATE_REMOTE : 0u);
}

unsigned
database_code_compute_risk(const struct database_code *code, uint64_t now_us, struct sql_risk *kept, const char *sql,
			   size_t len, const uint8_t *types, size_t types_len)
{
	const struct risk_names *risks = code->answer == NULL ? NULL : code->answer->risks;
	unsigned assumed =
	    database_code_is_known(code, now_us) ? 0 : database_code_assumed_risk_after_wash(code, now_us);
	unsigned parts, effects;

	if (risks == NULL)
		return assumed | RISK_OWN_WORDS | (sql == NULL ? 0 : risk_of_runnable_text(NULL, sql, len));
	if (sql == NULL)
		return assumed | risk_of_opaque_sql(risks) | RISK_BY_CALLS(risk_of_opaque_sql(risks)) | RISK_KEEPS |
		       RISK_OWN_WORDS;
	if (kept != NULL && kept->number == code->number)
		return assumed | kept->parts;
	parts = risk_of_sql(risks, sql, len);
	if (types != NULL)
		parts |= risk_of_parameter_types(risks, types, types_len);
	/* Examines a Parse's strings as possible SQL. A Query's strings, and values, are examined when sent. */
	if (types != NULL && ((assumed | parts) & RISK_DYNAMIC) == RISK_DYNAMIC)
		parts |= risk_of_runnable_text(risks, sql, len);
	parts |= (parts & (unsigned)STATE_BACKEND) != 0 ? (unsigned)RISK_OWN_WORDS : 0u;
	effects = (parts & ~(unsigned)RISK_CONTEXT) == 0 ? 0 : RISK_EFFECTS;
	parts &= ~(unsigned)RISK_EFFECTS;
	if (kept != NULL && (parts & RISK_OPAQUE) == 0) /* strings in opaque SQL may be code, so its risk is not kept */
		*kept = (struct sql_risk){ code->number, parts, effects };
	return assumed | parts;
}

bool
database_code_is_sql_repeatable(const struct database_code *code, uint64_t now_us, struct sql_risk *kept,
				const char *sql, size_t len, const uint8_t *types, size_t types_len)
{
	struct sql_risk own = { 0 };

	if (!database_code_is_known(code, now_us))
		return false;
	if (kept == NULL)
		kept = &own;
	database_code_compute_risk(code, now_us, kept, sql, len, types, types_len);
	return kept->number == code->number && kept->effects == 0;
}

/* Returns the question with code->harmless put in. Returns the question unchanged if there is no memory. */
static const char *
put_declarations(struct database_code *code, const char *question)
{
	static const char row[] = "('', '', '')"; /* the row of harmless in database_code_signs.sql */
	const char *at = strstr(question, row);

	if (code->harmless == NULL || *code->harmless == '\0' || at == NULL)
		return question;
	buf_fini(&code->question);
	buf_put(&code->question, question, (size_t)(at - question));
	buf_put(&code->question, code->harmless, strlen(code->harmless));
	buf_put_str(&code->question, at + strlen(row));
	return buf_ok(&code->question) ? (const char *)code->question.bytes : question;
}

const char *
database_code_begin_question(struct database_code *code, uint64_t now_us)
{
	static const char *const questions[] = {
#define QUESTION_HEAD DATABASE_CODE_SETTINGS DATABASE_CODE_VERSION
		[CODE_ANY] = QUESTION_HEAD DATABASE_CODE_ROLES DATABASE_CODE_NAMES DATABASE_CODE_EXTENSIONS
		    DATABASE_CODE_SIGNS DATABASE_CODE_ANY,
		[CODE_VERSION] = QUESTION_HEAD DATABASE_CODE_ROLES,
		[CODE_ALL] = QUESTION_HEAD DATABASE_CODE_ROLES DATABASE_CODE_NAMES DATABASE_CODE_EXTENSIONS
		    DATABASE_CODE_SIGNS DATABASE_CODE,
	};
	bool may_be_unchanged;

	database_code_drop_incoming(code);
	code->incoming = calloc(1, sizeof(*code->incoming));
	if (code->incoming != NULL)
		code->incoming->risks = risk_names_new();
	code->is_broken = code->incoming == NULL || code->incoming->risks == NULL;
	code->asked_us = now_us;
	code->role_altered_us = 0;
	database_code_lock(code);
	code->ddl_at_question = code->ddl_count;
	/* If no DDL was seen since the last full question, the version may show that all code is unchanged. */
	may_be_unchanged = code->answer != NULL && code->answer->version[0] != '\0' && !code->is_outdated &&
			   code->refused_until_us == 0 && code->ddl_at_full_question == code->ddl_count;
	database_code_unlock(code);
	code->asked = may_be_unchanged ? CODE_VERSION : code->has_code ? CODE_ALL : CODE_ANY;
	code->question_number++;
	return put_declarations(code, questions[code->asked]);
}

void
database_code_drop_incoming(struct database_code *code)
{
	answer_free(code->incoming);
	code->incoming = NULL;
}

/* Reads the two numbers of a risk, and sets *end to the position after them. */
static struct risk
read_risk(const char *value, char **end)
{
	unsigned long always = strtoul(value, end, 10);

	return (struct risk){ (unsigned)always & RISK_ASKED, (unsigned)strtoul(*end, end, 10) & RISK_ASKED };
}

/* Adds a name. value: "K RISK WRITE_RISK reason"; K is a letter for enum risk_name_kind. Returns 0, or -1. */
static int
add_name(struct code_answer *a, const char *name, const char *value)
{
	static const char kinds[RISK_KINDS + 1] = "frond";
	const char *kind = value[0] == '\0' ? NULL : strchr(kinds, value[0]);
	struct risk risk;
	char *end;

	if (kind == NULL)
		return -1;
	risk = read_risk(value + 1, &end);
	return risk_names_add(a->risks, (enum risk_name_kind)(kind - kinds), name, risk, end + (*end == ' '));
}

/* The comments in database_code*.sql list the kinds of rows. Ignores other kinds, which PostgreSQL does not send. */
void
database_code_take_row(struct database_code *code, const uint8_t *body, size_t len, bool is_whole)
{
	struct code_answer *a = code->incoming;
	struct probe_row row;
	struct risk risk, more_risk;
	char *copy, *end;

	if (a == NULL || code->is_broken)
		return;
	copy = malloc(len + 3);
	code->is_broken = copy == NULL || !is_whole;
	if (code->is_broken || !probe_read_row(body, len, copy, &row)) {
		free(copy);
		return;
	}
	if (row.kind == 'r') {
		code->is_broken = add_name(a, row.name, row.value) < 0;
	} else if (row.kind == 'k') {
		code->is_broken = risk_names_add_known(a->risks, row.name) < 0;
	} else if (row.kind == 'e') {
		code->is_broken = risk_names_add_effects(a->risks, row.name, row.value[0] == 'f') < 0;
	} else if (row.kind == 't') {
		code->is_broken = risk_names_add_type(a->risks, (uint32_t)strtoul(row.name, NULL, 10),
						      read_risk(row.value, &end)) < 0;
	} else if (row.kind == 'a') {
		/* this row has four numbers, one for each parameter of risk_names_add_general() */
		risk = read_risk(row.value, &end);
		more_risk = read_risk(end, &end);
		risk_names_add_general(a->risks, risk.always, risk.in_writes, more_risk.always, more_risk.in_writes);
	} else if (row.kind == 's' && strlen(row.name) < sizeof(a->fdw_schema)) {
		memcpy(a->fdw_schema, row.name, strlen(row.name) + 1);
	} else if (row.kind == 'v' && strlen(row.name) < sizeof(a->version)) {
		memcpy(a->version, row.name, strlen(row.name) + 1);
	} else if (row.kind == 'd') {
		code->is_broken = role_settings_add(&a->roles, row.name, row.value) < 0;
	} else if (row.kind == 'n' && a->setting_count < CODE_SETTINGS_MAX) {
		a->settings[a->setting_count] = strdup(row.name);
		code->is_broken = a->settings[a->setting_count] == NULL;
		a->setting_count += !code->is_broken;
	} else if (row.kind == 'q') {
		a->has_no_sequence = true;
	}
	code->has_code |= row.kind == 'c';
	code->kind = row.kind == 'm' ? DATABASE_TEMPLATE : code->kind;
	free(copy);
}

/* Makes the last answer valid, unless DDL was seen since its question. Needs the lock, because another loop may see DDL
 * at the same time. */
static void
accept_answer(struct database_code *code)
{
	database_code_lock(code);
	code->answer_asked_us = code->asked_us;
	code->refused_until_us = code->refused_pause_us = 0;
	code->had_no_ddl_since_question = code->ddl_count == code->ddl_at_question;
	code->answer_expires_us =
	    code->had_no_ddl_since_question ? code->asked_us + 2 * interval_us(code->cheap_cost_us) : 0;
	database_code_unlock(code);
}

/* Handles the answer to a cheap question. Changed code counts as DDL with RISK_OWN_WORDS, but not RISK_KEEPS, which
 * only a full answer can show. */
static void
check_version(struct database_code *code)
{
	struct role_settings roles = code->answer == NULL ? (struct role_settings){ 0 } : code->answer->roles;

	code->is_outdated =
	    database_code_needs_full_read(code) || strcmp(code->incoming->version, code->answer->version) != 0;
	if (!code->is_outdated) {
		code->answer->roles = code->incoming->roles;
		code->incoming->roles = roles;
		role_settings_sort(&code->answer->roles);
	}
	database_code_drop_incoming(code);
	if (code->is_outdated)
		database_code_note_ddl(code, RISK_OWN_WORDS);
	else
		accept_answer(code);
}

void
database_code_note_alter_role(struct database_code *code, uint64_t now_us)
{
	database_code_lock(code);
	code->role_altered_us = now_us;
	code->answer_expires_us = clock_lesser_us(code->answer_expires_us, now_us + CODE_AHEAD_US);
	database_code_unlock(code);
}

bool
database_code_end_answer(struct database_code *code, bool ok, uint32_t number, uint64_t now_us)
{
	struct code_answer *before = code->answer;
	uint64_t cost_us = now_us - code->asked_us;
	bool has_new_backend_names;

	if (!ok || code->is_broken) {
		database_code_drop_incoming(code);
		cost_us = cost_us < ASK_AGAIN_US ? ASK_AGAIN_US : cost_us;
		code->refused_pause_us = code->refused_pause_us * 2 < cost_us ? cost_us : code->refused_pause_us * 2;
		code->refused_pause_us = clock_lesser_us(code->refused_pause_us, REFUSED_MAX_US);
		code->refused_until_us = now_us + code->refused_pause_us;
		return false;
	}
	if (code->asked == CODE_VERSION || database_code_needs_full_read(code)) {
		/* If the question took longer than before, or than reading all code, PostgreSQL was busy. */
		code->cheap_cost_us =
		    clock_lesser_us(cost_us, code->cheap_cost_us == 0 ? code->full_cost_us : code->cheap_cost_us);
		check_version(code);
		return false;
	}
	if (before != NULL)
		code->earlier_risks |= risk_of_opaque_sql(before->risks) & (STATE_BACKEND | RISK_CONTEXT);
	has_new_backend_names = before != NULL && risk_names_hash_backend_state(before->risks) !=
						      risk_names_hash_backend_state(code->incoming->risks);
	code->answer = code->incoming;
	code->incoming = NULL;
	role_settings_sort(&code->answer->roles);
	answer_free(before);
	code->number = number;
	code->full_asked_us = code->asked_us;
	code->full_cost_us = cost_us;
	code->cheap_cost_us = 0;
	/* Names may newly reach code with STATE_BACKEND, after DDL that pgweir saw or that another program ran. */
	if (before == NULL || code->is_outdated || code->last_assumed_ddl > code->ddl_at_full_question ||
	    has_new_backend_names)
		code->new_backend_names_us = now_us;
	/* If the same names as before reach such code, DDL with RISK_ASSUMED has made no code of that kind. */
	database_code_lock(code);
	if (!has_new_backend_names && code->last_own_words_ddl <= code->ddl_at_question)
		code->last_assumed_ddl = code->last_own_words_ddl;
	database_code_unlock(code);
	code->ddl_at_full_question = code->ddl_at_question;
	code->is_outdated = false;
	code->full_answer_us = now_us;
	code->no_remote_us = 0;
	accept_answer(code);
	return true;
}
