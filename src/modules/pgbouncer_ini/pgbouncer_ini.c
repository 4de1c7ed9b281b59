/*
 * src/modules/pgbouncer_ini/pgbouncer_ini.c - PgBouncer's file as the core sees it (load/file_format.h): its names in
 * the console, in SHOW CONFIG and in advice.
 *
 * Tools look for PgBouncer's settings by its names, in its units (seconds, 0 and 1), whichever file is in use.
 */
#include "modules/pgbouncer_ini/pgbouncer_ini.h"
#include "base/clock.h"
#include "base/text.h"
#include "load/file_format.h"

/* --- in the console -------------------------------------------------------------------------------------------- */

static int
take_theirs(const struct bouncer_key *theirs, struct load_setting *out, struct fail *why)
{
	const struct config_key *ours = bouncer_key_in_pgweir(theirs);

	if (!bouncer_key_is_changeable(theirs))
		return load_fail_fixed(theirs->name, why);
	snprintf(out->name, sizeof(out->name), "%s", theirs->name);
	out->is_of_tls = strstr(theirs->name, "_tls") != NULL;
	if (ours == NULL)
		out->reason = theirs->note;
	return 0;
}

/* Called for a name that both PgBouncer and pgweir have. Returns true if the value can be in PgBouncer's units. */
static bool
is_their_value(const struct bouncer_key *theirs, const char *value)
{
	struct buf converted = { 0 };
	struct fail why;
	bool is_valid;

	if (theirs->fate > BOUNCER_SPECIAL)
		return false;
	if (value == NULL)
		return true;
	is_valid = bouncer_convert(theirs, value, &converted, &why) >= 0;
	buf_fini(&converted);
	return is_valid;
}

/* Called for a name of PgBouncer's while the file is pgweir's. */
static int
take_foreign(const struct bouncer_key *theirs, struct load_setting *out, struct fail *why)
{
	const struct config_key *ours = bouncer_key_in_pgweir(theirs);

	if (theirs->fate <= BOUNCER_SPECIAL || !bouncer_key_is_changeable(theirs))
		return take_theirs(theirs, out, why);
	fail_set(why, "0A000", "%.63s is PgBouncer's; no single setting here corresponds to it", theirs->name);
	if (ours != NULL)
		return fail_hint(why, "See %s.%s.", ours->section, ours->name);
	return fail_hint(why, "Not needed here: %s.", theirs->note);
}

static int
find_setting(bool is_format_in_use, bool is_ours, const char *name, const char *value, struct load_setting *out,
	     struct fail *why)
{
	const struct bouncer_key *theirs = bouncer_key_find(name);

	if (theirs != NULL && is_format_in_use)
		return take_theirs(theirs, out, why);
	if (theirs != NULL && (!is_ours || is_their_value(theirs, value)))
		return take_foreign(theirs, out, why);
	return 1;
}

/* Writes the value of a setting as PgBouncer would. */
static void
put_theirs(struct buf *to, const struct bouncer_key *theirs, const struct config *config)
{
	const struct config_key *key = bouncer_key_in_pgweir(theirs);
	const void *field = (const char *)config + key->offset;
	struct buf text = { 0 };

	if (key->type == KEY_TIME)
		buf_printf(to, "%.15g",
			   (double)*(const uint64_t *)field /
			       (double)(theirs->type == BOUNCER_MS ? US_PER_MS : US_PER_S));
	else if (theirs->type == BOUNCER_SWITCH)
		buf_printf(to, "%d", *(const bool *)field ? 1 : 0);
	else if (theirs->type == BOUNCER_WORD) {
		const char *ours, *word;

		key_put(key, key_base_const(key, config), &text);
		/* Finds PgBouncer's word for pgweir's. */
		ours = word = value_put_end(&text);
		for (size_t i = 0; theirs->words[i][0] != NULL; i++)
			if (strcmp(theirs->words[i][1], ours) == 0)
				word = theirs->words[i][0];
		buf_printf(to, "%s", word);
	} else
		key_put(key, key_base_const(key, config), to);
	buf_fini(&text);
}

/* The callback of each(), and the argument of the callback. */
struct rows {
	void (*row)(void *arg, const char *name, const char *value, const char *fallback, bool is_changeable);
	void *arg;
};

static void
add_row(const struct rows *rows, const struct bouncer_key *theirs, const char *value, const char *default_value)
{
	const struct config_key *ours = bouncer_key_in_pgweir(theirs);
	bool is_secret = ours != NULL && ours->type == KEY_SECRET && *value != '\0';

	rows->row(rows->arg, theirs->name, is_secret ? "***" : value, default_value, bouncer_key_is_changeable(theirs));
}

/* Adds listen_addr and listen_port: PgBouncer has one port and a list of addresses. */
static void
add_listen(const struct rows *rows, const struct config *config)
{
	struct buf hosts = { 0 };
	char port[8] = "0";

	for (size_t i = 0; i < config->listen_count; i++) {
		const struct config_listen *at = &config->listens[i];

		if (config_listen_is_unix(at))
			continue;
		buf_printf(&hosts, "%s%s", hosts.len > 0 ? "," : "", at->host);
		if (strcmp(port, "0") == 0)
			snprintf(port, sizeof(port), "%u", at->port);
	}
	add_row(rows, bouncer_key_find("listen_addr"), value_put_end(&hosts), "");
	add_row(rows, bouncer_key_find("listen_port"), port, "6432");
	buf_fini(&hosts);
}

static void
each(const struct config *config,
     void (*row)(void *arg, const char *name, const char *value, const char *fallback, bool is_changeable), void *arg)
{
	const struct rows rows = { row, arg };
	const struct bouncer_key *theirs;

	for (size_t i = 0; (theirs = bouncer_key_at(i)) != NULL; i++) {
		const char *written = config_foreign_value(config, bouncer_key_row(theirs));
		const struct config_key *ours = bouncer_key_in_pgweir(theirs);
		bool is_read_back = theirs->fate <= BOUNCER_SPECIAL && (written == NULL || !ours->is_reloadable);
		struct buf value = { 0 }, fallback = { 0 };

		/* With a file of PgBouncer's, values are shown as written, except that a setting that a reload can't
		 * change is read back, because its new value may be waiting for a restart. */
		if (is_read_back)
			put_theirs(&value, theirs, config);
		if (is_read_back && written == NULL) {
			struct config scratch;
			struct fail why;

			/* With a file of pgweir's, the default is that of pgweir's setting. */
			memset(&scratch, 0, sizeof(scratch));
			if (key_store(ours, key_base(ours, &scratch), ours->default_value, "", &why) == 0)
				put_theirs(&fallback, theirs, &scratch);
			key_free(ours, key_base(ours, &scratch));
		}
		if (written != NULL)
			add_row(&rows, theirs, is_read_back ? value_put_end(&value) : written,
				theirs->default_value != NULL ? theirs->default_value : "");
		else if (is_read_back)
			add_row(&rows, theirs, value_put_end(&value), value_put_end(&fallback));
		buf_fini(&value);
		buf_fini(&fallback);
	}
	if (config_foreign_value(config, 0) == NULL) {
		add_listen(&rows, config);
		add_row(&rows, bouncer_key_find("stats_period"), "60", "60"); /* the averages of SHOW STATS */
	}
}

/* --- in advice ------------------------------------------------------------------------------------------------- */

static bool
find(const char *name, bool is_scoped_section, struct foreign_name *out)
{
	const struct bouncer_word *word = bouncer_word_find(name, OF_DATABASE | OF_USER);
	const struct bouncer_key *key = bouncer_key_find(word != NULL && word->key != NULL ? word->key : name);
	bool is_shown = text_is_one_of(name, "host port dbname user");

	if (word != NULL && word->part != WORD_SETTING && (is_scoped_section || key == NULL))
		snprintf(
		    out->note, FOREIGN_NOTE_MAX,
		    "%swrite it into upstream, for example upstream = host=db1 port=5432 dbname=app user=web%s%s%s",
		    !is_scoped_section && text_is_one_of(name, "host port")
			? "for pgweir's own write listen = 127.0.0.1:6432; for PostgreSQL's "
			: "",
		    is_shown ? "" : " ", is_shown ? "" : name, is_shown ? "" : "=...");
	else if (key == NULL)
		return false;
	else if (key->section != NULL) {
		out->section = key->section;
		out->our_name = key->key;
		if (key->fate == BOUNCER_PART)
			snprintf(out->note, sizeof(out->note), "%s", key->note);
	} else
		snprintf(out->note, sizeof(out->note), "%s%s", key->fate == BOUNCER_IGNORED ? "not needed: " : "",
			 key->note);
	return true;
}

static const char *
section_advice(const char *name)
{
	static const char *const texts[][2] = {
		{ "pgbouncer", "is PgBouncer's name; here it is [pgweir], and [pool], [timeouts], [auth], [log]" },
		{ "databases",
		  "is PgBouncer's; here each database has a section: [database app], and in it upstream = ..." },
		{ "users", "is PgBouncer's; here each user has a section: [user app]" },
		{ "peers", "is PgBouncer's; here it is the setting peers in section [pgweir]" },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(texts[i][0], name) == 0)
			return texts[i][1];
	return NULL;
}

static const struct config_key *
key_of(const char *name)
{
	const struct bouncer_key *key = bouncer_key_find(name);

	return key != NULL ? bouncer_key_in_pgweir(key) : NULL;
}

static int
convert(const char *name, const char *value, struct buf *to, struct fail *why)
{
	return bouncer_convert(bouncer_key_find(name), value, to, why);
}

const struct file_format file_format_pgbouncer_ini = {
	.program = "PgBouncer",
	.no_database = "[databases] has none: clients can only use the console; for all of them: * = host=127.0.0.1",
	.words = &bouncer_problem_words,
	.recognizes = bouncer_is_ini,
	.read = bouncer_read,
	.import = bouncer_import,
	.print_keys = bouncer_print_keys,
	.key_of = key_of,
	.find = find,
	.section_advice = section_advice,
	.try_names = bouncer_try_keys,
	.convert = convert,
	.find_setting = find_setting,
	.each = each,
};
